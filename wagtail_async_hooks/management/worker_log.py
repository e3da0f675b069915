"""Where the lines of ``wagtail_worker`` go, if the site does not say."""

from __future__ import annotations

import logging
import sys

from wagtail_async_hooks.queue.huey_log import LOGGERS
from wagtail_async_hooks.worker.console import Console


def log_to_stderr(verbosity: int) -> None:
    """Show the worker's lines, unless the site's LOGGING already says where they go."""
    ours = logging.getLogger("wagtail_async_hooks")
    if not ours.hasHandlers():
        handler = Console(sys.stderr)
        ours.addHandler(handler)
        for name in LOGGERS:
            theirs = logging.getLogger(name)
            if not theirs.hasHandlers():
                # Else Python would print what they warn of as it is. Of the APIs of TASKS that is
                # what our own lines say as well.
                theirs.addHandler(handler if name == "huey" else logging.NullHandler())
            if theirs.level == logging.NOTSET:
                theirs.setLevel(logging.WARNING)
    if ours.level == logging.NOTSET:
        ours.setLevel([logging.WARNING, logging.INFO, logging.INFO, logging.DEBUG][verbosity])
