"""The types of what ``background.task()`` makes: Huey has none, so they are told to checkers here.

At runtime these are Huey's own objects. Everything of Huey's that is not named here is ``Any``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal, ParamSpec, Protocol, TypedDict, TypeVar, overload

from wagtail_async_hooks.conf.options import ErrorClasses, Explain, KeyTemplate, Text

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Time = datetime.datetime | datetime.timedelta | float


class KeyOptions(TypedDict, total=False):
    """The options of a task that say which others it waits for."""

    queue: str | None
    exclusive: KeyTemplate | None
    retry_jitter: float | None
    retry_on: ErrorClasses | None
    discard_on: ErrorClasses | None
    title: Text | None
    explain: Explain | None
    side_effect: str | None
    forget_arguments: bool


class TaskKeywords(KeyOptions, total=False):
    """The keyword arguments of ``background.task()`` that Huey does not have."""

    coalesce: KeyTemplate | None
    debounce: float | None
    debounce_max: float | None


class Result(Protocol[R_co]):
    """What a call returns: it waits for the outcome, if it is asked to."""

    @property
    def id(self) -> str:
        """Huey's identifier of the task."""

    @property
    def task(self) -> Any:
        """The task, as Huey has it."""

    @overload
    def __call__(
        self,
        blocking: Literal[True],
        timeout: float | None = None,
        backoff: float = 1.15,
        max_delay: float = 1.0,
        revoke_on_timeout: bool = False,
        preserve: bool = False,
    ) -> R_co: ...
    @overload
    def __call__(self, blocking: bool = False, *, preserve: bool = False) -> R_co | None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the result; see :meth:`get`."""

    @overload
    def get(
        self,
        blocking: Literal[True],
        timeout: float | None = None,
        backoff: float = 1.15,
        max_delay: float = 1.0,
        revoke_on_timeout: bool = False,
        preserve: bool = False,
    ) -> R_co: ...
    @overload
    def get(self, blocking: bool = False, *, preserve: bool = False) -> R_co | None: ...
    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Return the result, or wait for it; without ``blocking``, ``None`` if there is none."""

    def is_ready(self) -> bool:
        """Return whether there is a result."""

    def is_revoked(self) -> bool:
        """Return whether the task was revoked."""

    def revoke(self, revoke_once: bool = True) -> None:
        """Keep the task from running."""

    def restore(self) -> bool:
        """Undo :meth:`revoke`."""

    def reset(self) -> None:
        """Forget the result that was read."""

    def reschedule(
        self,
        eta: datetime.datetime | None = None,
        delay: float | None = None,
        expires: Time | None = None,
        priority: int | None = None,
        preserve_pipeline: bool = True,
    ) -> Result[R_co]:
        """Run the task at another time."""


class Results(Protocol[R_co]):
    """What many calls return."""

    def get(self, *args: Any, **kwargs: Any) -> Sequence[R_co]:
        """Return all results."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Result[R_co]: ...


class AnyTask(Protocol[P, R_co]):
    """What ``background.task()`` makes of a function: to call it is to enqueue a task.

    One option at least of a single call, such as ``priority=50``, keeps checkers from looking at
    the other arguments.
    """

    task_class: Any
    name: str | None
    context: bool

    @property
    def retries(self) -> int:
        """How often it is run again after an error."""

    @property
    def retry_delay(self) -> float:
        """Seconds between an error and the next attempt."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result[R_co]: ...
    @overload
    def __call__(self, *args: Any, priority: int | None, **kwargs: Any) -> Result[R_co]: ...
    @overload
    def __call__(self, *args: Any, delay: Time | None, **kwargs: Any) -> Result[R_co]: ...
    @overload
    def __call__(
        self, *args: Any, eta: datetime.datetime | None, **kwargs: Any
    ) -> Result[R_co]: ...
    @overload
    def __call__(self, *args: Any, expires: Time | None, **kwargs: Any) -> Result[R_co]: ...
    @overload
    def __call__(self, *args: Any, retries: int | None, **kwargs: Any) -> Result[R_co]: ...
    @overload
    def __call__(self, *args: Any, timeout: float | None, **kwargs: Any) -> Result[R_co]: ...
    @overload
    def __call__(self, *args: Any, id: str | None, **kwargs: Any) -> Result[R_co]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue a task that calls the function with these arguments."""

    @overload
    def s(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def s(self, *args: Any, priority: int | None, **kwargs: Any) -> Any: ...
    @overload
    def s(self, *args: Any, delay: Time | None, **kwargs: Any) -> Any: ...
    @overload
    def s(self, *args: Any, eta: datetime.datetime | None, **kwargs: Any) -> Any: ...
    @overload
    def s(self, *args: Any, expires: Time | None, **kwargs: Any) -> Any: ...
    @overload
    def s(self, *args: Any, retries: int | None, **kwargs: Any) -> Any: ...
    @overload
    def s(self, *args: Any, timeout: float | None, **kwargs: Any) -> Any: ...
    @overload
    def s(self, *args: Any, id: str | None, **kwargs: Any) -> Any: ...
    def s(self, *args: Any, **kwargs: Any) -> Any:
        """Return a task that is not enqueued yet: for pipelines, groups and ``enqueue_many()``."""

    def schedule(
        self,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        eta: datetime.datetime | None = None,
        delay: Time | None = None,
        priority: int | None = None,
        retries: int | None = None,
        retry_delay: float | None = None,
        retry_backoff: float | None = None,
        expires: Time | None = None,
        timeout: float | None = None,
        id: str | None = None,
    ) -> Result[R_co]:
        """Enqueue a task for a later time."""

    def map(self, it: Iterable[Any]) -> Results[R_co]:
        """Enqueue a task for each item."""

    def revoke(
        self, revoke_until: datetime.datetime | None = None, revoke_once: bool = False
    ) -> None:
        """Keep all tasks of the function from running."""

    def restore(self) -> bool:
        """Undo :meth:`revoke`."""

    def is_revoked(self, timestamp: datetime.datetime | None = None, peek: bool = True) -> bool:
        """Return whether the function is revoked."""

    def unregister(self) -> bool:
        """Have Huey forget the function."""


class BackgroundTask(AnyTask[P, R_co], Protocol[P, R_co]):
    """A background task of a function."""

    @property
    def func(self) -> Callable[P, R_co]:
        """The function."""

    def call_local(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function here and now."""


class CoroutineTask(AnyTask[P, R_co], Protocol[P, R_co]):
    """A background task of a coroutine function."""

    @property
    def func(self) -> Callable[P, Coroutine[Any, Any, R_co]]:
        """The function."""

    def call_local(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function here and now; what it returns is to be awaited."""


class TaskDecorator(Protocol):
    """What ``background.task(…)`` returns."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> CoroutineTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> BackgroundTask[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        """Make a background task of a function."""


class ContextTaskDecorator(Protocol):
    """What ``background.task(context=True)`` returns: who calls the task does not pass ``task``."""

    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, R]], /
    ) -> CoroutineTask[..., R]: ...
    @overload
    def __call__(self, function: Callable[..., R], /) -> BackgroundTask[..., R]: ...
    def __call__(self, function: Any, /) -> Any:
        """Make a background task of a function that gets its task as well."""
