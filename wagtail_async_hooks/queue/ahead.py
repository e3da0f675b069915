"""Calls that were enqueued ahead of time: by the INSERT of the call that comes right before them.

Wagtail makes some calls in a row, with nothing between them that could fail or change what they
are about. Each would be an INSERT of its own, for which an editor waits. Keeping the first rows
back until the last call has come would save as much, but nothing public runs just before a commit:
if that call never came, what was kept back would be lost. So it is the other way round: the first
call enqueues those that follow, too, and each of them, once it is made, finds that it was enqueued.

What was enqueued ahead is taken for one call only, which has to be the very next one of its thread.
In a transaction it is taken only as long as that is open, and not rolled back to before the INSERT.
So nothing is lost, whatever else happens: a call that finds no such row enqueues itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import transaction

C = TypeVar("C")


class Ahead(threading.local, Generic[C]):
    """The calls of one kind that a thread has enqueued ahead, in their order."""

    def __init__(self) -> None:
        self._calls: list[C] = []
        self._alias = ""
        self._mark: Callable[[], None] | None = None

    def expect(self, calls: Sequence[C], alias: str) -> None:
        """Note that some calls, which come next, were enqueued just now.

        :param alias: of the database that they are in.
        """
        self.forget()
        if not calls:
            return
        self._calls[:] = calls
        if transaction.get_connection(alias).in_atomic_block:
            self._alias, self._mark = alias, _Mark(self)
            transaction.on_commit(self._mark, using=alias)

    def take(self, is_made: Callable[[C], bool]) -> C | None:
        """Return the call that is being made, if it was enqueued ahead; ``None`` if it was not.

        :param is_made: returns whether a call is the one that is being made.
        """
        if not self._calls:
            return None
        if is_made(self._calls[0]) and self._is_there():
            return self._calls.pop(0)
        self.forget()
        return None

    def _is_there(self) -> bool:
        """Return whether the rows are committed, or in the transaction that is open here."""
        if self._mark is None:
            return True
        # A rollback, and one to a savepoint, takes out what was to follow upon the commit.
        waiting = transaction.get_connection(self._alias).run_on_commit
        return any(entry[1] is self._mark for entry in waiting)

    def forget(self, mark: Callable[[], None] | None = None) -> None:
        """Expect no call any more.

        :param mark: only if the calls are those of this mark.
        """
        if mark is None or mark is self._mark:
            self._calls.clear()
            self._mark = None


class _Mark:
    """Stands for the rows of a transaction among what follows upon its commit."""

    def __init__(self, ahead: Ahead[C]) -> None:
        self._ahead = ahead

    def __call__(self) -> None:
        self._ahead.forget(self)
