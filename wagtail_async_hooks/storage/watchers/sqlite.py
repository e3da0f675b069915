"""Watches an SQLite file: the kernel reports writes, or the data version is asked for often."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from django.db import connections

from wagtail_async_hooks.storage.files import leave_replaced
from wagtail_async_hooks.storage.watchers.base import LISTEN_INTERVAL, Watcher
from wagtail_async_hooks.utils.text import one_line

if TYPE_CHECKING:
    import sqlite3

logger = logging.getLogger(__name__)

SQLITE_INTERVAL: Final = 0.0125
"""Seconds between two checks of an SQLite file, where the kernel does not report its changes."""

SQLITE_CHECKS: Final = 10
"""Checks of an SQLite file after which its thread checks whether it should stop."""

TOLD_INTERVAL: Final = 0.005
"""Seconds after which the kernel is asked again: a file that is written to all the time wakes us
two hundred times a second at most."""

COMMIT_INTERVAL: Final = 0.0004
"""Seconds after which to try whether what was written can be read; later, in longer intervals."""

COMMIT_TIMEOUT: Final = 0.5
"""Seconds within which what was written to an SQLite file can be read, if it was committed."""

_DEAF: Final = "The kernel does not tell when %s is written to, looking at it instead: %s"


def sqlite_watcher(alias: str) -> Watcher:
    """Return the watcher that suits an SQLite database and this operating system."""
    with connections[alias].cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        file = cursor.fetchone()[2]
    try:
        return InotifyWatcher(alias, file) if file else SQLiteWatcher(alias)
    except ImportError:
        return SQLiteWatcher(alias)  # it is only installed on Linux
    except OSError as error:
        logger.info(_DEAF, file, one_line(error))
        return SQLiteWatcher(alias)


class SQLiteWatcher:
    """Ask, every few milliseconds, whether another connection has committed.

    Many times in one call: at this rate, what Django does for each use of a connection and of a
    cursor would be as much again as the question itself.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._seen: Any = None

    def has_news(self) -> bool:
        """See :class:`.Watcher`."""
        if leave_replaced(self.alias):
            self._begin_anew()
            return True
        connection = connections[self.alias]
        connection.ensure_connection()
        with connection.wrap_database_errors:
            return self._check(connection.connection)

    def _begin_anew(self) -> None:
        """The file was replaced by another one, of which nothing is known."""
        self._seen = None

    def close(self) -> None:
        """See :class:`.Watcher`."""

    def _check(self, connection: sqlite3.Connection) -> bool:
        for _ in range(SQLITE_CHECKS):
            time.sleep(SQLITE_INTERVAL)
            if self._has_changed(connection):
                return True
        return False

    def _has_changed(self, connection: sqlite3.Connection) -> bool:
        version = connection.execute("PRAGMA data_version").fetchone()
        seen, self._seen = self._seen, version
        return bool(version != seen)


class InotifyWatcher(SQLiteWatcher):
    """Ask only when Linux tells that SQLite's files were written to: an idle worker sleeps.

    Some file systems do not tell of everything, those of other machines for example. So it asks
    now and then nevertheless. If there is something that it was not told of, it does without.

    :param file: where the database is.
    :raises ImportError: if there is no inotify here.
    :raises OSError: if the kernel has none left.
    """

    def __init__(self, alias: str, file: str) -> None:
        from inotify_simple import INotify

        super().__init__(alias)
        self._files = (file, f"{file}-wal")
        self._kernel = INotify()
        self._watched: set[int] = set()
        self._one_is_owed = False
        """Whether one more commit may become readable that was not told of, or before: one that
        takes long, that was written right after another one, or before the file was watched. There
        cannot be two, as SQLite has one writer at a time."""
        self._is_deaf = False

    def close(self) -> None:
        """See :class:`.Watcher`."""
        self._kernel.close()

    def _begin_anew(self) -> None:
        super()._begin_anew()
        for watch in self._watched:
            with suppress(OSError):  # it may have ended with its file
                self._kernel.rm_watch(watch)
        self._watched = set()

    def _check(self, connection: sqlite3.Connection) -> bool:
        if self._is_deaf:
            return super()._check(connection)
        try:
            return self._listen(connection)
        except OSError as error:
            self._do_without(str(error))
            return True

    def _listen(self, connection: sqlite3.Connection) -> bool:
        if not self._watched:
            self._watch(connection)
            return True  # what came before was not heard
        time.sleep(TOLD_INTERVAL)
        if self._is_told(LISTEN_INTERVAL):
            self._one_is_owed = True
            return self._is_committed(connection)
        if not self._has_changed(connection):
            return False
        if not (self._one_is_owed or self._is_told(0) or self._watch(connection)):
            self._do_without("something has changed")
        self._one_is_owed = False
        return True

    def _do_without(self, why: str) -> None:
        self._is_deaf = True
        logger.info(_DEAF, self._files[0], why)

    def _watch(self, connection: sqlite3.Connection) -> bool:
        """Watch the files that are there, and return whether one was not watched before."""
        from inotify_simple import flags

        before = set(self._watched)
        self._has_changed(connection)  # SQLite makes its second file when it first reads
        for file in self._files:
            with suppress(FileNotFoundError):
                self._watched.add(self._kernel.add_watch(file, flags.MODIFY))
        self._has_changed(connection)  # all that is written from now on is told
        self._one_is_owed = True
        return self._watched != before

    def _is_told(self, timeout: float) -> bool:
        return any(self._kernel.read(timeout=int(1000 * timeout)))

    def _is_committed(self, connection: sqlite3.Connection) -> bool:
        """Wait until what was written can be read: a moment, or longer on a slow disk.

        What does not become readable was rolled back, or only moved from one file to the other; or
        it was read together with what was written before it.
        """
        deadline, pause = time.monotonic() + COMMIT_TIMEOUT, COMMIT_INTERVAL
        while not self._has_changed(connection):
            if time.monotonic() > deadline:
                return False
            time.sleep(COMMIT_INTERVAL)
            told = self._is_told(pause)
            pause = COMMIT_INTERVAL if told else min(2 * pause, SQLITE_INTERVAL)
        return True
