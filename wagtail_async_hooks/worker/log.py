"""The worker's log: one line for each step of a task, made from the signals."""

from __future__ import annotations

import datetime
import logging
from typing import Any

from blinker import NamedSignal

from wagtail_async_hooks import signals
from wagtail_async_hooks.types import TaskInfo
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger("wagtail_async_hooks.worker")


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
    if not logger.isEnabledFor(logging.INFO):
        return
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    logger.info("%s started%s", str(task), again, extra={"action": "started", "task_pk": task.pk})


def _log_end(signal: NamedSignal, level: int) -> Any:
    def receiver(sender: str, *, task: TaskInfo, duration: float, error: str = "") -> None:
        if not logger.isEnabledFor(level):
            return
        logger.log(
            level,
            "%s %s after %.3f s%s",
            str(task),
            signal.name,
            duration,
            f": {one_line(error)}" if error else "",
            extra={"action": signal.name, "task_pk": task.pk},
        )

    return receiver


def _log_snooze(sender: str, *, task: TaskInfo, duration: float, run_at: datetime.datetime) -> None:
    logger.info(
        "%s snoozed after %.3f s, to be called again at %s",
        str(task),
        duration,
        run_at.isoformat(sep=" ", timespec="seconds"),
        extra={"action": "snoozed", "task_pk": task.pk},
    )


def _log_rescue(sender: str, *, task: TaskInfo, waits: bool) -> None:
    logger.warning(
        "%s was held by a worker that died, and %s",
        str(task),
        "waits again" if waits else "failed, because too many workers died of it",
        extra={"action": "rescued", "task_pk": task.pk},
    )


_RECEIVERS: dict[NamedSignal, Any] = {
    signals.succeeded: _log_end(signals.succeeded, logging.INFO),
    signals.failed: _log_end(signals.failed, logging.ERROR),
    signals.retrying: _log_end(signals.retrying, logging.WARNING),
    signals.snoozed: _log_snooze,
    signals.cancelled: _log_end(signals.cancelled, logging.INFO),
    signals.expired: _log_end(signals.expired, logging.INFO),
    signals.rescued: _log_rescue,
}
