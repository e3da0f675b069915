"""How to learn that a task may be waiting: one look at a database, in the way that it has."""

from __future__ import annotations

import logging
import time
from typing import Any, Final, Protocol

from django.apps import apps
from django.db import connections

from wagtail_async_hooks.records import State

logger = logging.getLogger(__name__)

CHANNEL: Final = "wagtail_async_hooks"
"""PostgreSQL's channel on which the trigger of migration 0003 notifies."""

SQLITE_INTERVAL: Final = 0.0125
"""Seconds between two looks at an SQLite file."""

SQLITE_LOOKS: Final = 10
"""Looks at an SQLite file after which its thread looks whether it should stop."""

POLL_INTERVAL: Final = 0.05
"""Seconds between two looks for a waiting row, on databases that cannot tell us."""

LISTEN_INTERVAL: Final = 0.25
"""Seconds after which a listening thread looks whether it should stop."""

PROBE_TIMEOUT: Final = 1.0
"""Seconds within which PostgreSQL's notification to ourselves has to arrive."""


class Look(Protocol):
    """One look at the database, in the waiter's own thread and over its own connection."""

    def __call__(self) -> bool:
        """Tell whether a task may have come since the last look; may block for a while."""


def look_at(alias: str) -> Look:
    """Return the quickest way to look that the database has."""
    connection = connections[alias]
    if connection.vendor == "sqlite":
        return SQLiteLook(alias)
    if connection.vendor == "postgresql" and PostgresLook.works(alias):
        return PostgresLook(alias)
    return PollingLook(alias)


class SQLiteLook:
    """Ask whether another connection has committed since the last look.

    Many times in one call: at this rate, what Django does for each use of a connection and of a
    cursor would be as much again as the question itself.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._seen: Any = None

    def __call__(self) -> bool:
        """See :class:`Look`."""
        connection = connections[self.alias]
        connection.ensure_connection()
        with connection.wrap_database_errors:
            execute = connection.connection.execute
            for _ in range(SQLITE_LOOKS):
                time.sleep(SQLITE_INTERVAL)
                version = execute("PRAGMA data_version").fetchone()
                if version != self._seen:
                    self._seen = version
                    return True
        return False


class PostgresLook:
    """Listen for the notification that comes with the commit of a waiting task."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._listens_on: Any = None

    @classmethod
    def works(cls, alias: str) -> bool:
        """Tell whether notifications reach us; behind a transaction-pooling proxy they do not.

        Django's documentation asks sites behind one to set ``DISABLE_SERVER_SIDE_CURSORS``. Where
        that is not set, a notification to ourselves has to arrive.
        """
        connection = connections[alias]
        if connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            return False
        look = cls(alias)
        connection.ensure_connection()
        if not hasattr(connection.connection, "notifies") or isinstance(
            connection.connection.notifies, list
        ):
            return False  # psycopg2
        look()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
        deadline = time.monotonic() + PROBE_TIMEOUT
        while time.monotonic() < deadline:
            if look():
                return True
        logger.info("PostgreSQL's notifications do not arrive: polling %r instead.", alias)
        return False

    def __call__(self) -> bool:
        """See :class:`Look`."""
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


class PollingLook:
    """Ask whether a row waits."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def __call__(self) -> bool:
        """See :class:`Look`."""
        time.sleep(POLL_INTERVAL)
        tasks: Any = apps.get_model("wagtail_async_hooks", "BackgroundTask")._default_manager
        return bool(tasks.using(self.alias).filter(state=State.WAITING).exists())
