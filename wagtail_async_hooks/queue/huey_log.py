"""What Huey logs, without what tasks were called with, and without control characters."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from huey.api import Task

from wagtail_async_hooks.utils.text import visible


class WithoutTasks(logging.Filter):
    """Replaces tasks, which have arguments and a message, by what is printed of them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See ``logging.Filter``; every record passes."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_printed, record.args))
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            text = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
            if (harmless := visible(text, lines=True)) != text:
                record.exc_text = harmless  # which formatters take if it is there
        return True


def _printed(given: Any) -> Any:
    return repr(given) if isinstance(given, Task) else given


_filter = WithoutTasks()


def connect() -> None:
    """Filter all that Huey logs from now on; a filter that is there already stays the only one."""
    logging.getLogger("huey").addFilter(_filter)
