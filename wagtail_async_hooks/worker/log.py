"""The worker's log: one line for each step of a task, made from the signals, with fields.

At the level INFO nothing is logged that a task was called with, also not by way of an error's text.
Where :class:`~wagtail_async_hooks.worker.console.Console` alone gets them, steps at that level are
written without a record, which would take longer than the rest of the line.
"""

from __future__ import annotations

import datetime
import logging
from typing import Any, Final

from blinker import NamedSignal

from wagtail_async_hooks import signals
from wagtail_async_hooks.queue.huey_log import task_here
from wagtail_async_hooks.types import TaskInfo
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.worker.console import sole_console

logger = logging.getLogger("wagtail_async_hooks.worker")

FIELDS: Final = (
    *("task_pk", "task_id", "task_name", "hook", "function", "queue", "attempt"),
    *("action", "duration", "delay", "run_at", "error_type"),
)
"""Attributes that records about tasks have beside those of Python."""

_OURS: Final = ("wagtail_async_hooks.", "huey.exceptions.")
"""Modules of the errors whose texts are reasons, rather than what a function was called with."""


class TaskFields(logging.Filter):
    """Adds fields that name the running task to all records of a handler in ``LOGGING``.

    Outside a task, the fields are ``None``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """See ``logging.Filter``; every record passes."""
        here = task_here()
        known = {} if here is None else here.log_fields
        for name in FIELDS:
            if not hasattr(record, name):
                setattr(record, name, known.get(name))
        return True


def connect() -> None:
    """Start to log every step of a task."""
    signals.started.connect(_log_start)
    for signal, receiver in _RECEIVERS.items():
        signal.connect(receiver)


def disconnect() -> None:
    """Stop logging them."""
    signals.started.disconnect(_log_start)
    for signal, receiver in _RECEIVERS.items():
        signal.disconnect(receiver)


def _log_start(sender: str, *, task: TaskInfo) -> None:
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    _log(logging.INFO, task, "started", "%s started%s", again)


def _log_end(signal: NamedSignal, level: int) -> Any:
    def receiver(
        sender: str,
        *,
        task: TaskInfo,
        duration: float,
        error: str = "",
        error_type: str = "",
        delay: float | None = None,
    ) -> None:
        what = signal.name if delay is None else f"{signal.name} {_in_words(delay)}"
        told = _reason(error, error_type) if level <= logging.INFO else error
        _log(
            level,
            task,
            signal.name,
            "%s %s after %s s%s",
            *(what, _number(duration), f": {one_line(told)}" if told else ""),
            duration=duration,
            delay=delay,
            error_type=error_type or None,
        )

    return receiver


def _log_snooze(sender: str, *, task: TaskInfo, duration: float, run_at: datetime.datetime) -> None:
    _log(
        logging.INFO,
        task,
        "snoozed",
        "%s snoozed after %s s, to be called again at %s",
        *(_number(duration), run_at.isoformat(sep=" ", timespec="seconds")),
        duration=duration,
        run_at=run_at.isoformat(),
    )


def _log_rescue(sender: str, *, task: TaskInfo, waits: bool) -> None:
    _log(
        logging.WARNING,
        task,
        "rescued",
        "%s was held by a worker that died, and %s",
        "waits again" if waits else "failed, because too many workers died of it",
    )


def _log(
    level: int, task: TaskInfo, action: str, pattern: str, *arguments: str, **more: Any
) -> None:
    """Log a step of a task.

    :param pattern: with a place for the task, and for each of the arguments.
    :param more: fields that the step has beside those of the task.
    """
    if not logger.isEnabledFor(level):
        return
    if level == logging.INFO and (console := sole_console(logger)) is not None:
        console.tell_step("INFO", pattern % (str(task), *arguments))
        return
    fields = _fields(task, action, **more)
    logger.log(level, pattern, str(task), *arguments, extra=fields, stacklevel=2)


def _fields(task: TaskInfo, action: str, **more: Any) -> dict[str, Any]:
    fields = task.log_fields
    fields["action"] = action
    for name, value in more.items():
        if value is not None:
            fields[name] = value
    return fields


def _reason(error: str, error_type: str) -> str:
    """Return an error of ours; of any other, whose text may have arguments, the class."""
    if not error_type or error_type.startswith(_OURS):
        return error
    return error_type.rpartition(".")[2]


def _in_words(delay: float) -> str:
    return f"in {_number(delay)} s" if delay > 0 else "at once"


def _number(seconds: float) -> str:
    """Return seconds with as many digits as say something, such as 0.02, 5 and 12.3."""
    text = f"{seconds:.3f}" if seconds < 1 else f"{seconds:.1f}"
    return text.rstrip("0").rstrip(".")


_RECEIVERS: dict[NamedSignal, Any] = {
    signals.succeeded: _log_end(signals.succeeded, logging.INFO),
    signals.failed: _log_end(signals.failed, logging.ERROR),
    signals.retrying: _log_end(signals.retrying, logging.WARNING),
    signals.snoozed: _log_snooze,
    signals.cancelled: _log_end(signals.cancelled, logging.INFO),
    signals.expired: _log_end(signals.expired, logging.INFO),
    signals.rescued: _log_rescue,
}
