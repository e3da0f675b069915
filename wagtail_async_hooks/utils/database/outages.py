"""What a process does while its database does not work: it waits between tries, and logs it once.

Each part of a process (a thread that claims, the thread of the maintenance, the start) says by
itself that the database has failed it, and that it has not. An outage ends when all of them got on,
so that one which only reads does not end it while the others cannot write.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections

from wagtail_async_hooks.utils.database.errors import (
    Verdict,
    in_one_line,
    is_of_database,
    is_stale,
    judge,
    meaning,
)
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger("wagtail_async_hooks.worker")

CONTENTION_INTERVAL: Final = 0.05
"""Seconds before something is tried again that another transaction was in the way of."""

CONTENTION_TIMEOUT: Final = 10.0
"""Seconds after which it is an outage that other transactions are in the way."""

OUTAGE_INTERVAL: Final = 1.0
"""Seconds between two tries while the database does not work."""

RECONNECT_INTERVAL: Final = 10.0
"""Seconds after which a connection is replaced that answers, but only with errors: a new one may
lead to another server."""

REMINDER_INTERVAL: Final = 300.0
"""Seconds after which an outage that lasts is logged again, with its newest error."""


@dataclass
class _Part:
    """A part of the process that the database has failed."""

    since: float
    failures: int = 0
    reconnected_at: float = float("-inf")
    is_told: bool = False


@dataclass
class Outage:
    """Logs an outage once when it begins and once when it ends, for all parts of a process.

    In between it logs what comes to be wrong besides, and a reminder now and then.
    """

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _parts: dict[object, _Part] = field(default_factory=dict)
    _since: float | None = None
    _told_at: float = 0.0
    _told: set[str] = field(default_factory=set)
    _newest: str = ""

    def begin(self, error: Exception, part: object = None) -> float:
        """The database has failed a part of the process; return after how many seconds to go on.

        :param part: which one, this thread if not given.
        """
        key, now = part or threading.get_ident(), time.monotonic()
        with self._lock:
            known = self._parts.setdefault(key, _Part(now))
            known.failures += 1
            if judge(error) is Verdict.CONTENTION and now - known.since < CONTENTION_TIMEOUT:
                logger.debug(
                    "Another transaction was in the way, trying again: %s", one_line(error)
                )
                return CONTENTION_INTERVAL
            stale = is_stale(error)
            if stale or now - known.reconnected_at > RECONNECT_INTERVAL:
                known.reconnected_at = now
                was_open = close_connections()
                # It may only have been an old one: what counts is whether a new one works.
                if stale and was_open and known.failures == 1:
                    return CONTENTION_INTERVAL
            known.is_told = True
            self._tell(error, now)
        return OUTAGE_INTERVAL

    def end(self, part: object = None) -> None:
        """The database works for a part of the process."""
        if self._parts:
            self._forget(part or threading.get_ident(), "The database answers again, after %.0f s.")

    def leave(self, part: object = None) -> None:
        """A part of the process ends, or gives up: it says nothing of the database any more."""
        if self._parts:
            self._forget(part or threading.get_ident(), "")

    @property
    def seconds(self) -> float:
        """For how long it has lasted; 0 if there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def newest(self) -> str:
        """What is wrong, as a sentence without its full stop."""
        return self._newest

    def _forget(self, key: object, message: str) -> None:
        with self._lock:
            self._parts.pop(key, None)
            if self._since is None or any(part.is_told for part in self._parts.values()):
                return
            since, self._since = self._since, None
            self._told.clear()
        if message:
            logger.info(message, time.monotonic() - since)

    def _tell(self, error: Exception, now: float) -> None:
        words = meaning(error)
        self._newest = f"{words}: {in_one_line(error)}"
        is_new, is_due = words not in self._told, now - self._told_at > REMINDER_INTERVAL
        if not is_new and not is_due:
            return
        for_long = "" if is_new else f", for {now - (self._since or now):.0f} s now"
        self._since = self._since or now
        self._told_at = now
        self._told.add(words)
        logger.warning(
            "%s%s; trying again every second: %s",
            words,
            for_long,
            in_one_line(error),
            exc_info=None if is_of_database(error) else error,
        )


def close_connections() -> bool:
    """Close this thread's connections; return whether any was open."""
    was_open = False
    for connection in connections.all(initialized_only=True):
        was_open = was_open or connection.connection is not None
        with suppress(DatabaseError, InterfaceError):
            connection.close()
    return was_open


def persist(action: Callable[[], Any], outage: Outage, patience: float) -> Any:
    """Do something in the database, and again while that does not work.

    :param patience: seconds after which to give up.
    :raises DatabaseError: or ``InterfaceError``, after that time.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            value = action()
        except (DatabaseError, InterfaceError) as error:
            pause = outage.begin(error)
            if time.monotonic() + pause > deadline:
                outage.leave()
                raise
            time.sleep(pause)
        else:
            outage.end()
            return value
