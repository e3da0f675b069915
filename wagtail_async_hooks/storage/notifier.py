"""Any of Huey's storages as a notifier: it wakes an idle thread for each task that comes to wait.

The truth stays in the ledger, and so does the order. What goes through the other storage is the
primary key of a row, for people who look into it; nothing is lost when it is emptied, and who can
write to it can at most have a worker look. When it cannot be reached, tasks are still enqueued, and
workers find them in the ledger.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from heapq import nlargest
from typing import Any, Final

from django.db import models, transaction
from huey.storage import BaseStorage

from wagtail_async_hooks.storage.database import DatabaseStorage, Row
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)

MAX_NOTIFICATIONS: Final = 100
"""Maximum notifications for tasks that come to wait all at once."""

NEXT: Final = b"next"
"""The notification of a thread that has found a task and does not know whether there are more."""

POLL_INTERVAL: Final = 0.02
"""Seconds between two looks at a storage that cannot block."""

OUTAGE_INTERVAL: Final = 5.0
"""Seconds for which a storage that did not answer is left alone, so that an editor who saves
several times waits for it once; and between two attempts of a worker."""

_DIGITS: Final = len(str(models.BigAutoField.MAX_BIGINT))


class NotifierStorage(DatabaseStorage):
    """The ledger's storage, with another one that notifies workers.

    :param name: of the Huey instance.
    :param make: makes the other storage, for what must not block; called when first needed.
    :param make_listener: makes it once more, for workers that wait for it.
    """

    LOST = (
        'The storage of WAGTAIL_TASKS["BACKEND"] cannot be reached, so tasks are found in the '
        "ledger until it answers: %s"
    )
    """What is logged when it does not answer, with why."""

    FOUND = 'The storage of WAGTAIL_TASKS["BACKEND"] answers again.'

    def __init__(
        self,
        name: str,
        make: Callable[[], BaseStorage],
        make_listener: Callable[[], BaseStorage],
    ) -> None:
        super().__init__(name)
        self._make = make
        self._make_listener = make_listener
        self._thread = _ThreadState()
        self._lock = threading.Lock()
        self._lost_at: float | None = None

    @cached_property
    def notifier(self) -> BaseStorage:
        """The other storage, for what must not block."""
        notifier = self._make()
        notifier.blocking = False
        return notifier

    @cached_property
    def listener(self) -> BaseStorage:
        """The other storage once more, to wait for it."""
        return self._make_listener()

    def close(self) -> None:
        """Close the other storage, where it was made; it is made again when it is next needed."""
        for name in ("notifier", "listener"):
            if (made := self.__dict__.pop(name, None)) is not None:
                made.close()

    def _enqueued(self, rows: list[tuple[int, Row]]) -> None:
        """Notify of tasks once the caller's transaction has committed."""
        super()._enqueued(rows)
        waiting = [
            (pk, row.get("priority", 0)) for pk, row in rows if row["state"] == State.WAITING
        ]
        connection = transaction.get_connection(self.ledger.database())
        # Of the commit of a transaction that Django has not begun nobody learns. Workers look.
        if waiting and (connection.in_atomic_block or connection.get_autocommit()):
            connection.on_commit(partial(self.announce, waiting), robust=True)

    def announce(self, due: Iterable[tuple[int, int]]) -> None:
        """Notify of tasks that wait from now on, of the first ones at most.

        That wakes every thread that waits, and none stops before the ledger has no more.
        """
        first = nlargest(MAX_NOTIFICATIONS, due, key=lambda task: (task[1], -task[0]))
        for pk, priority in first:
            self.notify(pk, priority)

    def announce_next(self, exclusive_key: str) -> None:
        """Notify of the next task with an exclusive key: it may have been notified of in vain."""
        if (found := self.ledger.next_in_line(exclusive_key)) is not None:
            self.notify(*found)

    def announce_room(self, queue: str) -> None:
        """Notify of the next task of a limited queue: it may have been notified of in vain."""
        if (found := self.ledger.next_in_queue(queue)) is not None:
            self.notify(*found)

    def forget_notifications(self, more_than: int = 0) -> bool:
        """Empty the notifier if it holds more than that; return whether it was emptied.

        Notifications that came while all threads were busy are for tasks that were claimed since,
        but for the last ones. Where no worker listens, they would pile up for ever.
        """
        if self._is_left_alone():
            return False
        try:
            if self.notifier.queue_size() <= more_than:
                return False
            self.notifier.flush_queue()
        except Exception as error:
            self._lose(error)
            return False
        return True

    def notify(self, pk: int, priority: int) -> None:
        """Notify workers of one row. A lost notification delays the task, and no more."""
        self._notify(b"%d" % pk, priority)

    def pass_on(self) -> None:
        """Notify another idle thread, if the notification that was for it may be forgotten."""
        if self._thread.passes_on:
            self._thread.passes_on = False
            self._notify(NEXT, 0)

    def _notify(self, message: bytes, priority: int) -> bool:
        """Put a notification into the other storage; return whether it has taken it."""
        if self._is_left_alone():
            return False
        try:
            self.notifier.enqueue(message, priority if self.notifier.priority else None)
        except Exception as error:
            self._lose(error)
            return False
        self._find()
        return True

    def waiter(self) -> NotifierWaiter:
        """Return what waits for the notifier."""
        return NotifierWaiter(self)

    def listen(self, timeout: float, closed: threading.Event) -> None:
        """Wait until this thread is notified, at most ``timeout`` seconds or so.

        It takes nothing out of the notifier while it is busy. So what is in there is forgotten,
        and the ledger asked once more, as that is less than to ask for each notification.
        """
        self._thread.passes_on = self.forget_notifications()
        if self._thread.passes_on:
            return
        deadline = time.monotonic() + timeout
        while not closed.is_set() and time.monotonic() < deadline:
            if (heard := self._hear()) is not None:
                self._thread.passes_on = heard == NEXT
                return
            if self._is_left_alone():
                closed.wait(deadline - time.monotonic())
            elif not self.listener.blocking:
                closed.wait(POLL_INTERVAL)

    def _hear(self) -> bytes | None:
        """Take out the next notification; ``None`` when there is none, or no answer."""
        if self._is_left_alone():
            return None
        try:
            data = self.listener.dequeue()
        except Exception as error:
            self._lose(error)
            return None
        self._find()
        if data is None or not _is_ours(data):
            return None
        return data.encode() if isinstance(data, str) else data

    def _is_left_alone(self) -> bool:
        lost_at = self._lost_at
        return lost_at is not None and time.monotonic() - lost_at < OUTAGE_INTERVAL

    def _lose(self, error: Exception) -> None:
        with self._lock:
            first, self._lost_at = self._lost_at is None, time.monotonic()
        if first:
            logger.warning(self.LOST, one_line(error))

    def _find(self) -> None:
        if self._lost_at is None:
            return
        with self._lock:
            lost, self._lost_at = self._lost_at is not None, None
        if lost:
            logger.info(self.FOUND)


class _ThreadState(threading.local):
    """What one thread of the worker remembers until it has claimed a task."""

    passes_on: bool = False
    """Whether it was woken by what may have been meant for others as well."""


class NotifierWaiter:
    """Wait for the notifier, in each thread by itself."""

    def __init__(self, storage: NotifierStorage) -> None:
        self._storage = storage
        self._closed = threading.Event()

    def mark(self) -> int:
        """See :meth:`~wagtail_async_hooks.storage.waiter.Waiter.mark`."""
        return 0

    def wait(self, mark: int, timeout: float) -> None:
        """See :meth:`~wagtail_async_hooks.storage.waiter.Waiter.wait`."""
        self._storage.listen(timeout, self._closed)

    def found(self) -> None:
        """See :meth:`~wagtail_async_hooks.storage.waiter.Waiter.found`; each wakes one."""
        self._storage.pass_on()

    def close(self) -> None:
        """See :meth:`~wagtail_async_hooks.storage.waiter.Waiter.close`."""
        self._closed.set()


def _is_ours(data: Any) -> bool:
    """Return whether a message is a notification; it may be anything, and of any size."""
    if isinstance(data, str):  # of a client that decodes what it reads
        data = data.encode()
    is_short = isinstance(data, bytes | bytearray | memoryview) and len(data) <= _DIGITS
    told = bytes(data) if is_short else b""
    if told == NEXT or told.isdigit():
        return True
    shown = data[:80] if isinstance(data, bytes | bytearray | str) else type(data)
    logger.error("A message that is not ours was dropped from the storage: %r", shown)
    return False
