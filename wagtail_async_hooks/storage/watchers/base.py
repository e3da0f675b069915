"""A watcher: how a waiter learns that a task may have come to the database, and when it stops."""

from __future__ import annotations

from typing import Final, Protocol

LISTEN_INTERVAL: Final = 0.25
"""Maximum seconds that a watcher blocks before its thread checks whether it should stop."""


class Watcher(Protocol):
    """Watches one database in the waiter's own thread and over its own connection."""

    def has_news(self) -> bool:
        """Return whether a task may have come since the last call; may block for a while."""

    def close(self) -> None:
        """Stop watching, and release what it holds."""
