"""How a worker's threads learn, quickly and cheaply, that a task may be waiting."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final, Protocol

from django.apps import apps
from django.db import Error, connections

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

RECONNECT_INTERVAL: Final = 1.0
"""Seconds between two attempts to reach a database that went away."""


class Waiter(Protocol):
    """What a worker's thread asks before and after it found nothing to do."""

    def mark(self) -> int:
        """Return the present moment, to be passed to :meth:`wait`."""

    def wait(self, mark: int, timeout: float) -> None:
        """Return when a task may have come since ``mark``, or after ``timeout`` seconds."""

    def found(self) -> None:
        """A thread has found a task, so that there may be one for another thread as well."""

    def close(self) -> None:
        """Stop watching, and wake whoever waits."""


class Look(Protocol):
    """One look at the database, in the waiter's own thread and over its own connection."""

    def __call__(self) -> bool:
        """Tell whether a task may have come since the last look; may block for a while."""


class DatabaseWaiter:
    """One thread watches the database for all threads of the worker, while any of them waits.

    It wakes one of them, and each that finds a task wakes the next. If all woke at once, each
    commit would have every idle thread of every worker look into the ledger, most of them in vain.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._waiting = 0
        self._news = 0
        self._changed = threading.Condition()
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="Waiter", daemon=True)
        self._thread.start()

    def mark(self) -> int:
        """See :meth:`Waiter.mark`."""
        return self._news

    def wait(self, mark: int, timeout: float) -> None:
        """See :meth:`Waiter.wait`."""
        with self._changed:
            self._wanted.set()
            self._waiting += 1
            self._changed.wait_for(
                lambda: self._news != mark or self._closed.is_set(), timeout=timeout
            )
            self._waiting -= 1

    def found(self) -> None:
        """See :meth:`Waiter.found`."""
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def close(self) -> None:
        """See :meth:`Waiter.close`."""
        self._closed.set()
        self._wanted.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(LISTEN_INTERVAL * 4)

    def _wake(self) -> None:
        with self._changed:
            self._news += 1
            self._wanted.clear()
            self._changed.notify()

    def _watch(self) -> None:
        """Look while somebody waits, and now and then otherwise; survive the database's absence."""
        look: Look | None = None
        lost = False
        while not self._closed.is_set():
            self._wanted.wait(RECONNECT_INTERVAL)
            try:
                look = look or look_at(self.alias)
                if look():
                    self._wake()
                lost = False
            except Error as error:
                if not lost:
                    logger.warning("The database %r cannot be watched: %s", self.alias, error)
                look, lost = None, True
                connections[self.alias].close()
                self._closed.wait(RECONNECT_INTERVAL)
                self._wake()
        connections.close_all()


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
