"""What follows from an error of a function: another attempt, the end, or a call at a later time."""

from __future__ import annotations

import datetime
import logging
import random
from collections.abc import Iterator
from typing import Any, Final

from django.utils.module_loading import import_string
from huey.api import Task
from huey.exceptions import CancelExecution, RateLimitExceeded, RetryTask, TaskLockedException
from huey.utils import utcnow

from wagtail_async_hooks.current import Running
from wagtail_async_hooks.exceptions import Snooze
from wagtail_async_hooks.options import ErrorClasses, TaskOptions

logger = logging.getLogger(__name__)

JITTER: Final = 0.1
"""By up to which part of itself a delay is lengthened, unless ``retry_jitter`` says otherwise: what
failed together, since a server was away, does not come back to it in the same instant."""

_OF_RETRIES: Final = ("retry_delay", "retry_backoff", "retry_jitter", "retry_on")
_OF_DELAYS: Final = ("retry_backoff", "retry_jitter")
"""The options that say nothing without ``retries``, and without ``retry_delay``."""

_NOTHING: Final = TaskOptions()

_WISHES: Final = (CancelExecution, RetryTask, RateLimitExceeded, TaskLockedException)
"""What a function raises to tell Huey what to do: nothing has gone wrong."""


class PutOff(RetryTask):  # type: ignore[misc]  # Huey has no types
    """The function asked to be called again later."""


class Discarded(CancelExecution):  # type: ignore[misc]  # Huey has no types
    """The task has ended with an error that ``discard_on`` names, its cause."""


def options_of(task: Task) -> TaskOptions:
    """Return the options in force for a task, for those of which Huey knows nothing."""
    options: TaskOptions | None = getattr(task, "options_known", None)
    if options is None:
        ask = getattr(task, "options_now", None)
        options = _NOTHING if ask is None else ask()
    return options


def judge(running: Running, error: Exception) -> None:
    """Make of what a task's function has raised what Huey is to do; else it is raised as it is.

    :raises Discarded: for an error that ends the task.
    :raises PutOff: for ``Snooze``. Immediate mode would call the function without end; there, it
        is an error in the log and the task is cancelled.
    """
    if isinstance(error, _WISHES):
        return
    if isinstance(error, Snooze):
        raise _answer(running, error) from error
    options = options_of(running.task)
    if options.discard_on is not None and isinstance(error, classes(options.discard_on)):
        raise Discarded(str(error), retry=False) from error
    if options.retry_on is not None and not isinstance(error, classes(options.retry_on)):
        running.task.retries = 0


def _answer(running: Running, snooze: Snooze) -> BaseException:
    if running.claim is not None:
        put_off: BaseException = PutOff(str(snooze), delay=snooze.seconds)
        return put_off
    logger.error(
        "%r is not called again: %s, which immediate mode cannot do.", running.task, snooze
    )
    cancelled: BaseException = CancelExecution(
        f"{snooze}, which immediate mode cannot do", retry=False
    )
    return cancelled


def classes(named: ErrorClasses) -> tuple[type[BaseException], ...]:
    """Return classes of exceptions; what cannot be imported is logged, and counts as not given."""
    found, problems = _imported(named)
    for problem in problems:
        logger.error("Of an option retry_on, discard_on or explain, %s.", problem)
    return found


def problems_of(named: ErrorClasses | None) -> list[str]:
    """Return what is wrong with classes of exceptions, in half a sentence each."""
    return [] if named is None else _imported(named)[1]


def contradictions(options: TaskOptions) -> Iterator[tuple[str, str]]:
    """Say which options of one function do not go together, in half a sentence, and what to do."""
    given = [name for name, value in options.items().items() if value]
    idle = [name for name in _OF_RETRIES if name in given]
    if idle and not options.retries:
        named = " and ".join(idle)
        yield (
            f"has {named}, but no retries: it is not tried again",
            f"Set retries as well, or remove {named}.",
        )
        return
    idle = [name for name in _OF_DELAYS if name in given and getattr(options, name) != 1]
    if idle and not options.retry_delay:
        named = " and ".join(idle)
        yield (
            f"has {named}, but no retry_delay: it is tried again at once",
            f"Set retry_delay as well, or remove {named}.",
        )
    if options.retry_on is not None and options.discard_on is not None:
        both = set(_imported(options.retry_on)[0]) & set(_imported(options.discard_on)[0])
        for name in sorted(kind.__name__ for kind in both):
            yield (
                f"has {name} in both retry_on and discard_on: it is not tried again after it",
                "Remove it from one of them.",
            )


def _imported(named: ErrorClasses) -> tuple[tuple[type[BaseException], ...], list[str]]:
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


def spread(task: Task, error: BaseException | None) -> None:
    """Lengthen the delay of a task that an error has cut off by a little, at random."""
    if task.eta is None or error is None or isinstance(error, _WISHES):
        return
    jitter = options_of(task).retry_jitter
    delay = (task.eta - utcnow()).total_seconds()
    if delay > 0:
        longer = delay * (JITTER if jitter is None else jitter) * random.random()
        task.eta += datetime.timedelta(seconds=longer)
