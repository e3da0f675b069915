"""Background tasks for Wagtail: hooks that run in a worker, right after the commit.

The public names are loaded when they are first asked for, so that importing the package costs
nothing and works before Django's app registry is ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from wagtail_async_hooks._version import __version__

if TYPE_CHECKING:
    from wagtail_async_hooks import hooks, signals
    from wagtail_async_hooks.current_task import background_task
    from wagtail_async_hooks.exceptions import Snooze
    from wagtail_async_hooks.hooks import catalogue
    from wagtail_async_hooks.hooks.publishing import went_live
    from wagtail_async_hooks.hooks.receivers import receiver
    from wagtail_async_hooks.integrations import commands
    from wagtail_async_hooks.queue import control, pausing
    from wagtail_async_hooks.queue.progress import aprogress, progress, track
    from wagtail_async_hooks.queue.task_queue import background
    from wagtail_async_hooks.serialization import arguments
    from wagtail_async_hooks.worker import schedule

__all__ = [
    "Snooze",
    "__version__",
    "aprogress",
    "arguments",
    "background",
    "background_task",
    "catalogue",
    "commands",
    "control",
    "hooks",
    "pausing",
    "progress",
    "receiver",
    "schedule",
    "signals",
    "track",
    "went_live",
]

_MODULES: Final = {
    "arguments": "serialization.arguments",
    "catalogue": "hooks.catalogue",
    "commands": "integrations.commands",
    "control": "queue.control",
    "hooks": "hooks",
    "pausing": "queue.pausing",
    "schedule": "worker.schedule",
    "signals": "signals",
}
"""The public modules, and where they live."""

_MEMBERS: Final = {
    "Snooze": "exceptions",
    "aprogress": "queue.progress",
    "background": "queue.task_queue",
    "background_task": "current_task",
    "progress": "queue.progress",
    "receiver": "hooks.receivers",
    "track": "queue.progress",
    "went_live": "hooks.publishing",
}
"""The other public names, and the modules that define them."""


if not TYPE_CHECKING:  # else checkers would take any name for one of these

    def __getattr__(name: str) -> Any:
        if name in _MEMBERS:
            return getattr(import_module(f"{__name__}.{_MEMBERS[name]}"), name)
        if name in _MODULES:
            return import_module(f"{__name__}.{_MODULES[name]}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
