"""Background tasks for Wagtail: hooks that run in a worker, right after the commit.

The public names are loaded when they are first asked for, so that importing the package costs
nothing and works before Django's app registry is ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wagtail_async_hooks import hooks, signals
    from wagtail_async_hooks.queue import background

__version__ = "0.1.0"

__all__ = ["__version__", "background", "hooks", "signals"]


def __getattr__(name: str) -> Any:
    if name == "background":
        return import_module("wagtail_async_hooks.queue").background
    if name in ("hooks", "signals"):
        return import_module(f"wagtail_async_hooks.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
