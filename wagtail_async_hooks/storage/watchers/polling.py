"""Watches any other database: asks, many times a second, whether a row waits."""

from __future__ import annotations

import time
from typing import Final

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
        # Not above: a site without the app in INSTALLED_APPS imports this, and has no models.
        from wagtail_async_hooks import ledger

        return ledger.is_any_waiting(self.alias)
