"""Background tasks for Wagtail: hooks that run in a worker, right after the commit.

The public names are loaded when they are first asked for, so that importing the package costs
nothing and works before Django's app registry is ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from wagtail_async_hooks import hooks, signals
    from wagtail_async_hooks.current import background_task
    from wagtail_async_hooks.exceptions import Snooze
    from wagtail_async_hooks.publishing import went_live
    from wagtail_async_hooks.queue import background
    from wagtail_async_hooks.receivers import receiver
    from wagtail_async_hooks.reporting import aprogress, progress, track

__version__ = "0.1.0"

__all__ = [
    "Snooze",
    "__version__",
    "aprogress",
    "background",
    "background_task",
    "hooks",
    "progress",
    "receiver",
    "signals",
    "track",
    "went_live",
]

_FROM: Final = {
    "Snooze": "exceptions",
    "aprogress": "reporting",
    "background": "queue",
    "background_task": "current",
    "progress": "reporting",
    "receiver": "receivers",
    "track": "reporting",
    "went_live": "publishing",
}


if not TYPE_CHECKING:  # else checkers would take any name for one of these

    def __getattr__(name: str) -> Any:
        if name in _FROM:
            return getattr(import_module(f"wagtail_async_hooks.{_FROM[name]}"), name)
        if name in ("hooks", "signals"):
            return import_module(f"wagtail_async_hooks.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
