"""How a worker's threads learn, quickly and cheaply, that a task may be waiting."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from django.apps import apps
from django.db import Error, connections

from wagtail_async_hooks.records import State

logger = logging.getLogger(__name__)

SQLITE_INTERVAL: Final = 0.005
"""Seconds between two looks at an SQLite file; a look takes some 20 microseconds."""

POLL_INTERVAL: Final = 0.05
"""Seconds between two looks for a waiting row, on databases that cannot tell us."""

RECONNECT_INTERVAL: Final = 1.0
"""Seconds between two attempts to reach a database that went away."""


class Waiter(Protocol):
    """What a worker's thread asks before and after it found nothing to do."""

    def mark(self) -> int:
        """Return the present moment, to be passed to :meth:`wait`."""

    def wait(self, mark: int, timeout: float) -> None:
        """Return when a task may have come since ``mark``, or after ``timeout`` seconds."""

    def close(self) -> None:
        """Stop watching, and wake whoever waits."""


class DatabaseWaiter:
    """One thread watches the database for all threads of the worker.

    :param alias: of the database.
    :param look: called again and again; tells whether something may have come.
    :param interval: seconds between two looks.
    """

    def __init__(self, alias: str, look: Callable[[], bool], interval: float) -> None:
        self.alias = alias
        self._look = look
        self._interval = interval
        self._news = 0
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="Waiter", daemon=True)
        self._thread.start()

    def mark(self) -> int:
        """See :meth:`Waiter.mark`."""
        return self._news

    def wait(self, mark: int, timeout: float) -> None:
        """See :meth:`Waiter.wait`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._news != mark or self._closed.is_set(), timeout=timeout
            )

    def close(self) -> None:
        """See :meth:`Waiter.close`."""
        self._closed.set()
        self._wake()
        self._thread.join()

    def _wake(self) -> None:
        with self._changed:
            self._news += 1
            self._changed.notify_all()

    def _watch(self) -> None:
        lost = False
        while not self._closed.wait(RECONNECT_INTERVAL if lost else self._interval):
            try:
                if self._look():
                    self._wake()
                lost = False
            except Error as error:
                if not lost:
                    logger.warning("The database %r cannot be watched: %s", self.alias, error)
                lost = True
                connections[self.alias].close()
        connections.close_all()


def waiter_for(alias: str) -> DatabaseWaiter:
    """Return a waiter that suits the database."""
    if connections[alias].vendor == "sqlite":
        return DatabaseWaiter(alias, _SQLiteLook(alias), SQLITE_INTERVAL)
    return DatabaseWaiter(alias, lambda: _anything_waiting(alias), POLL_INTERVAL)


class _SQLiteLook:
    """Tell whether another connection has committed since the last look."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._seen: Any = None

    def __call__(self) -> bool:
        with connections[self.alias].cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            version = cursor.fetchone()
        changed = version != self._seen
        self._seen = version
        return bool(changed)


def _anything_waiting(alias: str) -> bool:
    tasks: Any = apps.get_model("wagtail_async_hooks", "BackgroundTask")._default_manager
    return bool(tasks.using(alias).filter(state=State.WAITING).exists())
