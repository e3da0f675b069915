"""How a worker's threads learn, quickly and cheaply, that a task may be waiting."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import Final, Protocol

from django.db import Error, connections

from wagtail_async_hooks.storage.watchers import watcher_for
from wagtail_async_hooks.storage.watchers.base import LISTEN_INTERVAL, Watcher
from wagtail_async_hooks.utils.database.errors import in_one_line, is_of_database, meaning

logger = logging.getLogger(__name__)

RECONNECT_INTERVAL: Final = 1.0
"""Seconds between two attempts to reach a database that went away."""

MOST_TURNS: Final = 5
"""Threads that wait take turns to look without a notification: the more of them wait, the longer
each does, up to so many times its timeout. All of them looking each second is most of what an idle
worker would cost."""


class Waiter(Protocol):
    """What a worker's thread asks before and after it found nothing to do."""

    def mark(self) -> int:
        """Return the present moment, to be passed to :meth:`wait`."""

    def wait(self, mark: int, timeout: float) -> None:
        """Return when a task may have come since ``mark``, or after ``timeout`` seconds.

        Where several threads wait, one of them does so after that time.
        """

    def found(self) -> None:
        """A thread has found a task, so that there may be one for another thread as well."""

    def close(self) -> None:
        """Stop watching, and wake whoever waits."""


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
                lambda: self._news != mark or self._closed.is_set(),
                timeout=timeout * min(self._waiting, MOST_TURNS),
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
        """Watch while a thread waits, else now and then; survive an outage of the database."""
        watcher: Watcher | None = None
        lost = ""
        while not self._closed.is_set():
            self._wanted.wait(RECONNECT_INTERVAL)
            try:
                watcher = watcher or watcher_for(self.alias)
                if watcher.has_news():
                    self._wake()
                if lost:
                    logger.info("The database %r can be watched again.", self.alias)
                lost = ""
            except Exception as error:
                words = meaning(error)
                if lost != words:
                    logger.warning(
                        "The database %r cannot be watched, so that workers look into it every "
                        "second: %s",
                        self.alias,
                        in_one_line(error),
                        exc_info=None if is_of_database(error) else error,
                    )
                lost = words
                if watcher:
                    watcher.close()
                    watcher = None
                with suppress(Error):
                    connections[self.alias].close()
                self._closed.wait(RECONNECT_INTERVAL)
                self._wake()
        if watcher:
            watcher.close()
        connections.close_all()


class NobodyWaits:
    """The waiter of a worker without threads of its own: whoever calls it knows when to."""

    def mark(self) -> int:
        """See :meth:`Waiter.mark`."""
        return 0

    def wait(self, mark: int, timeout: float) -> None:
        """See :meth:`Waiter.wait`."""

    def found(self) -> None:
        """See :meth:`Waiter.found`."""

    def close(self) -> None:
        """See :meth:`Waiter.close`."""
