"""Watches any other database: asks, many times a second, whether a row waits."""

from __future__ import annotations

import time
from typing import Any, Final

from django.apps import apps

from wagtail_async_hooks.types import State

POLL_INTERVAL: Final = 0.05
"""Seconds between two queries for a waiting row, on databases that cannot notify."""


class PollingWatcher:
    """Ask whether a row waits."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def close(self) -> None:
        """See :class:`.Watcher`."""

    def has_news(self) -> bool:
        """See :class:`.Watcher`."""
        time.sleep(POLL_INTERVAL)
        tasks: Any = apps.get_model("wagtail_async_hooks", "BackgroundTask")._default_manager
        return bool(tasks.using(self.alias).filter(state=State.WAITING).exists())
