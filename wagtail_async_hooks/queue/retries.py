"""What follows from an error of a function: another attempt, the end, or a call at a later time."""

from __future__ import annotations

import datetime
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, cast

from django.utils.module_loading import import_string
from huey.exceptions import CancelExecution, RateLimitExceeded, RetryTask, TaskLockedException
from huey.utils import utcnow

from wagtail_async_hooks import current_task
from wagtail_async_hooks.conf.options import ErrorClasses
from wagtail_async_hooks.current_task import Running
from wagtail_async_hooks.exceptions import Snooze
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.utils.catching import passes
from wagtail_async_hooks.utils.errors import class_of, report, text_of
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)

JITTER: Final = 0.1
"""Maximum random extension of a delay, as a fraction of it, unless ``retry_jitter`` is given: what
failed together, since a server was away, does not come back to it in the same instant."""

LEAST_DELAY: Final = 1.0
"""Minimum seconds before a task is begun again, whatever its options say.

A task that is begun again keeps its place, ahead of what was enqueued after it. Without a delay it
would be claimed at once, before anything else that waits, as often as it has retries left.
"""

LONGEST_LEAST_DELAY: Final = 60.0
"""The minimum doubles with each error, up to this: many tasks that fail slowly would otherwise keep
all threads busy."""

IMMEDIATE_TRIES: Final = 10
"""Maximum attempts at a task in immediate mode, where they are all made in the editor's request."""

_WISHES: Final = (CancelExecution, RetryTask, RateLimitExceeded, TaskLockedException)
"""What a function raises to tell Huey what to do: nothing has gone wrong."""


_MARK: Final = "wagtail_async_hooks_reason"
"""The attribute of an exception of Huey's that says why we have raised it. They are no subclasses,
because error reporters compare exact classes and would report a subclass as an error."""


def retry_for(snooze: Snooze) -> RetryTask:
    """Return what tells Huey that the function asked to be called again later."""
    return _marked(RetryTask(str(snooze), delay=snooze.seconds), snooze)


def discarded(error: BaseException) -> CancelExecution:
    """Return what tells Huey that a task has ended with an error that ``discard_on`` names."""
    return _marked(CancelExecution(text_of(error), retry=False), error)


def is_snooze(error: BaseException | None) -> bool:
    """Return whether an error was made by :func:`retry_for`."""
    return type(error) is RetryTask and type(vars(error).get(_MARK)) is Snooze


def discarded_for(error: BaseException | None) -> BaseException | None:
    """Return the error for which :func:`discarded` made another one; ``None`` if it made none."""
    reason: BaseException | None = None
    if type(error) is CancelExecution:
        reason = vars(error).get(_MARK)
    return reason


def _marked(error: Any, reason: BaseException) -> Any:
    setattr(error, _MARK, reason)
    return error


def judge(running: Running, error: BaseException) -> None:
    """Turn an error of a function into an instruction for Huey; return if it is to be raised.

    :raises CancelExecution: for an error that ends the task, see :func:`discarded`.
    :raises RetryTask: for ``Snooze``, see :func:`retry_for`. Immediate mode would call the function
        without end; there, it is an error in the log and the task is cancelled.
    """
    if issubclass(type(error), _WISHES):
        return
    if issubclass(type(error), Snooze):
        raise _answer(running, cast(Snooze, error)) from error
    options = running.task.options()
    if options.discard_on is not None and _is_named(error, options.discard_on):
        raise discarded(error) from error
    if options.retry_on is not None and not _is_named(error, options.retry_on):
        running.task.retries = 0


def _is_named(error: BaseException, named: ErrorClasses) -> bool:
    """Return whether an error is of one of some classes; one that cannot tell is logged."""
    try:
        return isinstance(error, classes(named))
    except BaseException as another:  # of a metaclass
        if passes(another):
            raise
        told = "Of an option retry_on or discard_on, a class cannot say whether %s is one of it."
        report(logger, another, told, class_of(error))
        return False


def _answer(running: Running, snooze: Snooze) -> BaseException:
    if running.claim is not None:
        later: BaseException = retry_for(snooze)
        return later
    logger.error(
        "%s is not called again: %s, which immediate mode cannot do.",
        type(running.task).__name__,
        one_line(snooze),
    )
    cancelled: BaseException = CancelExecution(
        f"{snooze}, which immediate mode cannot do", retry=False
    )
    return cancelled


def classes(named: ErrorClasses) -> tuple[type[BaseException], ...]:
    """Return classes of exceptions; what cannot be imported is logged, and counts as not given."""
    found, problems = imported(named)
    for problem in problems:
        logger.error("Of an option retry_on, discard_on or explain, %s.", one_line(problem))
    return found


def problems_of(named: ErrorClasses | None) -> list[str]:
    """Return what is wrong with classes of exceptions, in half a sentence each."""
    return [] if named is None else imported(named)[1]


def imported(named: ErrorClasses) -> tuple[tuple[type[BaseException], ...], list[str]]:
    """Return classes of exceptions, and what is wrong with the others, in half a sentence each."""
    found, problems = [], []
    for each in named if isinstance(named, tuple | list) else [named]:
        try:
            kind: Any = _import(each) if isinstance(each, str) else each
        except Exception as error:  # of a module on the way
            problems.append(f"{each!r} cannot be imported: {error}")
            continue
        if isinstance(kind, type) and issubclass(kind, BaseException):
            found.append(kind)
        else:
            problems.append(f"{each!r} is no class of exceptions")
    return tuple(found), problems


def _import(path: str) -> Any:
    return import_string(path if "." in path else f"builtins.{path}")


def names_time(error: BaseException | None) -> bool:
    """Return whether an error names the time at which to run again, rather than a delay."""
    return isinstance(error, RetryTask) and error.eta is not None


def again_at(
    task: QueuedTask, error: BaseException | None, tries: int, *, asked: bool
) -> datetime.datetime | None:
    """Return when a task is to be begun again, in Huey's naive UTC; ``None`` for at once.

    :param error: what ended the attempt.
    :param tries: number of attempts that counted, this one included.
    :param asked: whether the task's ``eta`` is the time that its options or its function asked for.
    """
    wanted: datetime.datetime | None = task.eta if asked else None
    delay = 0.0
    if wanted is not None:
        wanted = _spread(task, wanted, error)
        delay = (wanted - utcnow()).total_seconds()
    if delay >= LEAST_DELAY or _at_once.get():
        return wanted
    # Some time has passed since Huey made an eta of the delay.
    least = LEAST_DELAY if delay > LEAST_DELAY / 2 else _least_delay(error, tries)
    later: datetime.datetime = utcnow() + datetime.timedelta(seconds=least)
    return later


def immediate_tries(task: QueuedTask) -> int:
    """Return the number of the attempt that immediate mode is about to make at a task.

    All of them are made within each other, in the caller's request. So there are at most
    ``IMMEDIATE_TRIES``; a task that asks for more is logged.
    """
    outer = current_task.running()
    if outer is None or outer.task is not task or outer.is_called:
        return 1
    tries = outer.tries + 1
    if tries > IMMEDIATE_TRIES:
        told = "%s is not tried again: immediate mode makes at most %d attempts."
        logger.error(told, repr(task), IMMEDIATE_TRIES)
    return tries


def _least_delay(error: BaseException | None, tries: int) -> float:
    if issubclass(type(error), _WISHES):
        return LEAST_DELAY
    return float(min(LEAST_DELAY * 2 ** min(tries - 1, 10), LONGEST_LEAST_DELAY))


@contextmanager
def without_least_delay() -> Iterator[None]:
    """Begin tasks again at once that ask for no delay: in tests, where nothing else waits."""
    token = _at_once.set(True)
    try:
        yield
    finally:
        _at_once.reset(token)


_at_once: Final[ContextVar[bool]] = ContextVar("at_once", default=False)


def _spread(
    task: QueuedTask, moment: datetime.datetime, error: BaseException | None
) -> datetime.datetime:
    """Lengthen the delay of a task that an error has cut off by a little, at random."""
    delay = (moment - utcnow()).total_seconds()
    if delay <= 0 or error is None or issubclass(type(error), _WISHES):
        return moment
    jitter = task.options().retry_jitter
    longer = delay * (JITTER if jitter is None else jitter) * random.random()
    return moment + datetime.timedelta(seconds=longer)
