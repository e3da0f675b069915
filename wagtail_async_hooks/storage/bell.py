"""Any of Huey's storages as a doorbell: it tells workers, quickly and in order, what waits.

The truth stays in the ledger. What goes through the other storage is the primary key of a row, so
that nothing is lost when it is emptied, and who can write to it can at most have a waiting task
run. When it cannot be reached, tasks are still recorded, and workers find them in the ledger.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from huey.storage import BaseStorage

from wagtail_async_hooks.storage.database import DatabaseStorage

if TYPE_CHECKING:
    from wagtail_async_hooks.models import BackgroundTask

logger = logging.getLogger(__name__)

LEDGER_INTERVAL: Final = 5.0
"""Seconds after which a busy worker's thread claims by the ledger's order once, whatever rings."""

POLL_INTERVAL: Final = 0.02
"""Seconds between two looks at a storage that cannot block."""


class BellStorage(DatabaseStorage):
    """The ledger's storage, with another one that rings.

    :param name: of the Huey instance.
    :param make: makes the other storage; called when it is first needed.
    """

    def __init__(self, name: str, make: Callable[[], BaseStorage]) -> None:
        super().__init__(name)
        self._make = make
        self._thread = _ThreadState()
        self._unreachable = False

    @cached_property
    def bell(self) -> BaseStorage:
        """The other storage, for what must not block."""
        bell = self._make()
        bell.blocking = False
        return bell

    @cached_property
    def listener(self) -> BaseStorage:
        """The other storage once more, to wait for it."""
        return self._make()

    def enqueue(self, data: bytes, priority: int | None = None) -> None:
        """Record a message, and ring once the caller's transaction has committed."""
        super().enqueue(data, priority)
        row: BackgroundTask | None = getattr(data, "row", None)
        if row is not None and row.state == "waiting":
            transaction.on_commit(
                partial(self.ring, row.pk, row.priority), using=self.ledger.database(), robust=True
            )

    def announce(self, due: Iterable[tuple[int, int]]) -> None:
        """Ring for scheduled tasks that are due."""
        for pk, priority in due:
            self.ring(pk, priority)

    def ring(self, pk: int, priority: int) -> None:
        """Tell workers of one row. A bell that does not ring delays the task, and no more."""
        try:
            self.bell.enqueue(b"%d" % pk, priority if self.bell.priority else None)
        except Exception as error:
            self._lost(error)
        else:
            self._unreachable = False

    def hint(self) -> int | None:
        """Return the key that was rung for next; now and then ``None``, to find lost ones."""
        now = time.monotonic()
        if now - self._thread.claimed_in_order_at < LEDGER_INTERVAL:
            pk = self._thread.take() or self.pop(self.bell)
            if pk is not None:
                return pk
        self._thread.claimed_in_order_at = now
        return None

    def waiter(self) -> BellWaiter:
        """Return what waits for the bell."""
        return BellWaiter(self)

    def pop(self, storage: BaseStorage) -> int | None:
        """Take the next key out of the other storage; ``None`` when there is none, or no answer."""
        try:
            data = storage.dequeue()
        except Exception as error:
            self._lost(error)
            return None
        self._unreachable = False
        return _key(data)

    def listen(self, timeout: float, closed: threading.Event) -> None:
        """Wait until the bell rings for this thread, at most ``timeout`` seconds or so."""
        deadline = time.monotonic() + timeout
        while not closed.is_set() and time.monotonic() < deadline:
            self._thread.heard = self.pop(self.listener)
            if self._thread.heard is not None:
                return
            if self._unreachable or not self.listener.blocking:
                closed.wait(POLL_INTERVAL)

    def _lost(self, error: Exception) -> None:
        if not self._unreachable:
            logger.warning(
                'The storage of WAGTAIL_TASKS["BACKEND"] cannot be reached, tasks are found in '
                "the ledger until it answers: %s",
                error,
            )
        self._unreachable = True


class _ThreadState(threading.local):
    """What one thread of the worker remembers between two claims."""

    heard: int | None = None
    """The key for which the bell rang while the thread waited."""

    claimed_in_order_at: float = float("-inf")

    def take(self) -> int | None:
        heard, self.heard = self.heard, None
        return heard


class BellWaiter:
    """Wait for the bell, in each thread by itself."""

    def __init__(self, storage: BellStorage) -> None:
        self._storage = storage
        self._closed = threading.Event()

    def mark(self) -> int:
        """See :meth:`~wagtail_async_hooks.storage.waiting.Waiter.mark`."""
        return 0

    def wait(self, mark: int, timeout: float) -> None:
        """See :meth:`~wagtail_async_hooks.storage.waiting.Waiter.wait`."""
        self._storage.listen(timeout, self._closed)

    def close(self) -> None:
        """See :meth:`~wagtail_async_hooks.storage.waiting.Waiter.close`."""
        self._closed.set()


def _key(data: Any) -> int | None:
    """Return the key that a message is; what is not one did not come from us."""
    if data is None:
        return None
    try:
        return int(bytes(data))
    except ValueError:
        logger.error("A message that is not ours was dropped from the storage: %.80r", data)
        return None
