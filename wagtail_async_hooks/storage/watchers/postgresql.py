"""Watches PostgreSQL: listens for the notification that comes with the commit of a task."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from django.db import connections

from wagtail_async_hooks.storage.watchers.base import LISTEN_INTERVAL

logger = logging.getLogger(__name__)

CHANNEL: Final = "wagtail_async_hooks"
"""PostgreSQL's channel on which a trigger notifies, see ``migrations/_initial_postgresql.py``."""

PROBE_TIMEOUT: Final = 1.0
"""Seconds within which PostgreSQL's notification to ourselves has to arrive."""


class PostgreSQLWatcher:
    """Listen for the notification that comes with the commit of a waiting task."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._listens_on: Any = None

    @classmethod
    def works(cls, alias: str) -> bool:
        """Return whether notifications reach us; behind a transaction-pooling proxy they do not.

        Django's documentation asks sites behind one to set ``DISABLE_SERVER_SIDE_CURSORS``. Where
        that is not set, a notification to ourselves has to arrive.
        """
        connection = connections[alias]
        if connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            return False
        watcher = cls(alias)
        connection.ensure_connection()
        if not hasattr(connection.connection, "notifies") or isinstance(
            connection.connection.notifies, list
        ):
            return False  # psycopg2
        watcher.has_news()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
        deadline = time.monotonic() + PROBE_TIMEOUT
        while time.monotonic() < deadline:
            if watcher.has_news():
                return True
        logger.info("PostgreSQL's notifications do not arrive: polling %r instead.", alias)
        return False

    def close(self) -> None:
        """See :class:`.Watcher`."""

    def has_news(self) -> bool:
        """See :class:`.Watcher`."""
        connection = connections[self.alias]
        connection.ensure_connection()
        if connection.connection is not self._listens_on:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
            self._listens_on = connection.connection
            return True  # what came before we listened was not heard
        with connection.wrap_database_errors:
            heard = connection.connection.notifies(timeout=LISTEN_INTERVAL, stop_after=1)
            return bool(list(heard))
