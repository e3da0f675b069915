"""The background task that runs in this thread, for the function that it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.http import HttpRequest

from wagtail_async_hooks.types import Claim, Progress

if TYPE_CHECKING:  # what serializes requests imports this module
    from wagtail_async_hooks.queue.submission import QueuedTask
    from wagtail_async_hooks.serialization.context import Context
    from wagtail_async_hooks.serialization.revisions import Target


@dataclass(repr=False, eq=False)
class Running:
    """A task while it runs.

    :param task: Huey's task.
    :param context: what surrounds the call.
    :param claim: the ledger's row; ``None`` in immediate mode.
    :param messages: what the function has to tell the editor.
    :param tries: number of this attempt in immediate mode; the ledger's row counts any other.
    :ivar is_called: whether the function itself is running, and not what Huey does around it.
    :ivar progress: what it reported last.
    :ivar reported_at: when that was written into the row, by the monotonic clock; ``None`` if it
        was not.
    :ivar stopped_by: what stops the process, such as Ctrl-C, if that came while it ran.
    :ivar exception: what went wrong, if anything did.
    :ivar signal: the last of Huey's signals that says how it ended; blank if it failed.
    :ivar runs_again: whether Huey is to run the task once more.
    """

    task: QueuedTask
    context: Context
    claim: Claim | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    tries: int = 1
    is_called: bool = field(default=False, init=False)
    progress: Progress | None = field(default=None, init=False)
    reported_at: float | None = field(default=None, init=False)
    stopped_by: BaseException | None = field(default=None, init=False)
    exception: BaseException | None = field(default=None, init=False)
    signal: str = field(default="", init=False)
    runs_again: bool = field(default=False, init=False)

    def __repr__(self) -> str:
        return f"<Running {self.claim or type(self.task).__name__}>"


_running: Final[ContextVar[Running | None]] = ContextVar("running", default=None)
_request: Final[ContextVar[HttpRequest | None]] = ContextVar("request", default=None)


def running() -> Running | None:
    """Return the task that runs here, if one does."""
    return _running.get()


class Entered:
    """While a task runs; no generator, as each task would pay for that."""

    def __init__(self, task: Running) -> None:
        self._task = task

    def __enter__(self) -> Running:
        self._token = _running.set(self._task)
        return self._task

    def __exit__(self, *error: object) -> None:
        _running.reset(self._token)


def editors_request() -> HttpRequest | None:
    """Return the request within which a task runs in immediate mode."""
    return _request.get()


@contextmanager
def within(request: HttpRequest | None) -> Iterator[None]:
    """While tasks may run inside a request, as they do in immediate mode."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


class CurrentTask:
    """The background task that runs the function that asks.

    Outside a task it is false, and its attributes are ``None``, 0 or blank.
    """

    def __bool__(self) -> bool:
        return running() is not None

    @property
    def pk(self) -> int | None:
        """Number of the task's row; ``None`` in immediate mode, which writes no rows."""
        found = running()
        return found.claim.pk if found is not None and found.claim is not None else None

    @property
    def task_id(self) -> str:
        """Huey's id; blank outside a task."""
        found = running()
        return "" if found is None else str(found.task.id)

    @property
    def hook(self) -> str:
        """Name of the hook or signal; blank for any other task."""
        found = running()
        return "" if found is None else found.task.definition.hook

    @property
    def attempt(self) -> int:
        """Which attempt this is, beginning with 1; 0 outside a task."""
        found = running()
        if found is None:
            return 0
        return found.claim.attempt if found.claim is not None else found.tries

    @property
    def revision(self) -> Any:
        """Primary key of the revision that was saved or published; ``None`` without revisions."""
        target = self._target()
        return target and target.revision

    @property
    def is_superseded(self) -> bool:
        """Whether a newer revision has taken that one's place; asks the database each time."""
        target = self._target()
        return target is not None and target.successor() is not None

    def _target(self) -> Target | None:
        found = running()
        return None if found is None else found.context.target


background_task: Final = CurrentTask()
