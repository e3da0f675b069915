"""The decorators of the task queue: Huey's, with types, more options, and guards against errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, Unpack, overload

from huey.api import Huey, TaskWrapper

from wagtail_async_hooks.queue import keys
from wagtail_async_hooks.queue.submission import QueuedPeriodicTask
from wagtail_async_hooks.queue.task_types import (
    ContextTaskDecorator,
    KeyOptions,
    TaskDecorator,
    TaskKeywords,
    Time,
)
from wagtail_async_hooks.utils import catching, crontab
from wagtail_async_hooks.utils.crontab import Asked

F = TypeVar("F", bound=Callable[..., Any])

PACKAGE: Final = "wagtail_async_hooks"
"""What the names of the package's own tasks begin with."""


class DecoratingHuey(Huey):  # type: ignore[misc]  # Huey has no types
    """What sites decorate functions with: tasks, and what Huey calls around them."""

    @overload
    def task(
        self,
        retries: int = 0,
        retry_delay: float = 0,
        retry_backoff: float = 0,
        priority: int | None = None,
        context: Literal[False] = False,
        name: str | None = None,
        expires: Time | None = None,
        timeout: float | None = None,
        **options: Unpack[TaskKeywords],
    ) -> TaskDecorator: ...
    @overload
    def task(
        self,
        retries: int = 0,
        retry_delay: float = 0,
        retry_backoff: float = 0,
        priority: int | None = None,
        *,
        context: Literal[True],
        name: str | None = None,
        expires: Time | None = None,
        timeout: float | None = None,
        **options: Unpack[TaskKeywords],
    ) -> ContextTaskDecorator: ...
    def task(self, *args: Any, **options: Any) -> Any:
        """Return a decorator that makes a background task of a function, as Huey does.

        :raises TypeError: if it is given the function itself, which would be taken for a number of
            retries.
        """
        if args and callable(args[0]):
            raise TypeError(
                "background.task(…) returns a decorator: write @background.task() with its brackets"
                f" above {getattr(args[0], '__qualname__', 'the function')}."
            )
        return super().task(*args, **options)

    def task_with(self, **settings: Any) -> Callable[[Callable[..., Any]], TaskWrapper]:
        """Return what :meth:`task` does, for attributes of this package's own."""
        decorator: Callable[[Callable[..., Any]], TaskWrapper] = super().task(**settings)
        return decorator

    @overload
    def own_task(
        self, name: str, *, context: Literal[True], **settings: Any
    ) -> ContextTaskDecorator: ...
    @overload
    def own_task(self, name: str, **settings: Any) -> TaskDecorator: ...
    def own_task(self, name: str, **settings: Any) -> Any:
        """Return a decorator for a task of this package, which is stored as ``PACKAGE.name``.

        Huey would store the path of its module, and rows of an older release would name none that
        exists once the function has moved.
        """
        settings.update(__module__=PACKAGE, function=f"{PACKAGE}.{name}")
        return super().task(name=name, **settings)

    @overload
    def periodic_task(
        self,
        validate_datetime: str | Asked,
        retries: int = 0,
        retry_delay: float = 0,
        retry_backoff: float = 0,
        priority: int | None = None,
        context: Literal[False] = False,
        name: str | None = None,
        expires: Time | None = None,
        timeout: float | None = None,
        *,
        time_zone: str = "",
        missed: str = "once",
        **options: Unpack[KeyOptions],
    ) -> TaskDecorator: ...
    @overload
    def periodic_task(
        self,
        validate_datetime: str | Asked,
        retries: int = 0,
        retry_delay: float = 0,
        retry_backoff: float = 0,
        priority: int | None = None,
        *,
        context: Literal[True],
        name: str | None = None,
        expires: Time | None = None,
        timeout: float | None = None,
        time_zone: str = "",
        missed: str = "once",
        **options: Unpack[KeyOptions],
    ) -> ContextTaskDecorator: ...
    def periodic_task(
        self,
        validate_datetime: str | Asked,
        *args: Any,
        time_zone: str = "",
        missed: str = "once",
        **options: Any,
    ) -> Any:
        """Return a decorator for a function that recurs, as Huey does.

        :param validate_datetime: Huey's ``crontab()``, or any function that says of a naive time
            in UTC whether the task is due; or a crontab as text, which knows time zones.
        :param time_zone: where the clock of a crontab that is text hangs; by default that of
            Django's ``TIME_ZONE``.
        :param missed: what becomes of what fell due while no worker looked: run ``"once"``, or
            ``"skip"``.
        :raises ValueError: if the crontab, the time zone or ``missed`` cannot be used.
        :raises TypeError: if an option is given that merges tasks: a run that has not ended keeps
            the next one from being enqueued, so there is nothing to merge.
        """
        for name in keys.OPTIONS:
            if name != "exclusive" and name in options:
                raise TypeError(
                    f"@background.periodic_task({name}=…) cannot be given: a run that has not "
                    "ended keeps the next one from being recorded, so there is nothing to merge."
                )
        times = crontab.times_of(validate_datetime, time_zone)
        if missed not in crontab.MISSED:
            raise ValueError(f'missed should be "once" or "skip", but is {missed!r}.')
        return super().periodic_task(times.is_due, *args, times=times, missed=missed, **options)

    def periodic_tasks(self) -> list[QueuedPeriodicTask]:
        """Return a task of each function that recurs, as they are registered now."""
        tasks: list[QueuedPeriodicTask] = self._registry.periodic_tasks
        return tasks

    # What Huey calls of the site's ------------------------------------------------------------

    def signal(self, *names: str) -> Callable[[F], F]:
        """Return a decorator for a receiver of Huey's signals."""
        return _guarding(super().signal(*names))

    def pre_execute(self, name: str | None = None) -> Callable[[F], F]:
        """Return a decorator for a function that Huey calls before each task."""
        return _guarding(super().pre_execute(name))

    def post_execute(self, name: str | None = None) -> Callable[[F], F]:
        """Return a decorator for a function that Huey calls after each task."""
        return _guarding(super().post_execute(name))

    def on_startup(self, name: str | None = None) -> Callable[[F], F]:
        """Return a decorator for a function that each thread of a worker calls as it starts."""
        return _guarding(super().on_startup(name))

    def on_shutdown(self, name: str | None = None) -> Callable[[F], F]:
        """Return a decorator for a function that each thread of a worker calls as it ends."""
        return _guarding(super().on_shutdown(name))


def _guarding(decorator: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return a decorator that has Huey call a function which raises an ``Exception`` if any."""

    def register(function: F) -> F:
        decorator(catching.Guarded(function))
        return function

    return register
