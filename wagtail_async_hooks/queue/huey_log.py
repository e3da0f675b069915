"""What Huey and the APIs of ``TASKS`` log, so that their lines go with ours.

A task is named as in ours, without what it was called with, and without control characters.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any, Final

from huey.api import Task

from wagtail_async_hooks import current_task, signals
from wagtail_async_hooks.types import TaskInfo
from wagtail_async_hooks.utils.text import visible

APIS: Final = ("django.tasks", "django_tasks")
"""Loggers of the APIs of ``TASKS``."""

LOGGERS: Final = ("huey", *APIS)
"""Loggers of others that log steps of our tasks."""


class WithoutTasks(logging.Filter):
    """Names tasks as our own lines do, instead of by an id, or by what has arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See ``logging.Filter``; every record passes."""
        here = task_here()
        if isinstance(record.args, tuple):
            record.args = tuple(_named(given, here) for given in record.args)
        if here is not None:
            vars(record).update(here.log_fields)
        if record.exc_info and record.exc_info[1] is None:
            record.exc_info = None  # what is logged after an error was handled has none
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            text = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
            if (harmless := visible(text, lines=True)) != text:
                record.exc_text = harmless  # which formatters take if it is there
        return True


def task_here() -> TaskInfo | None:
    """Return the task that this thread runs, or of which it announces something."""
    running = current_task.running()
    if running is not None and running.claim is not None:
        return running.claim.info
    announced = signals.announced()
    return announced if isinstance(announced, TaskInfo) else None


def _named(given: Any, here: TaskInfo | None) -> Any:
    key = given.id if isinstance(given, Task) else given
    if here is not None and isinstance(key, str) and key == here.task_id:
        return str(here)
    return repr(given) if isinstance(given, Task) else given


_filter = WithoutTasks()


def connect() -> None:
    """Filter what they log from now on; a filter that is there already stays the only one."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)
