"""How many tasks a worker process runs at this moment, so that a drain knows when all is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Activity:
    """How many threads claim or run a task, and how many coroutine functions run beside them.

    :param threads: how many there are.
    """

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._none_claims = threading.Condition(self._lock)
        self._busy = threads
        self._begun = 0
        self._claiming = 0
        self._is_closed = False

    @property
    def begun(self) -> int:
        """How many tasks the threads have begun, all together."""
        return self._begun

    def begin_claim(self) -> bool:
        """Return whether the calling thread may claim a task; then it says when it has."""
        with self._lock:
            if self._is_closed:
                return False
            self._claiming += 1
            return True

    def end_claim(self) -> None:
        """The calling thread has claimed a task, or there was none."""
        with self._lock:
            self._claiming -= 1
            if self._is_closed:
                self._none_claims.notify_all()

    def close(self, patience: float = 0.0) -> None:
        """Let no thread claim a task any more.

        :param patience: seconds to wait for those that are about to.
        """
        with self._lock:
            self._is_closed = True
            self._none_claims.wait_for(lambda: not self._claiming, patience)

    def begin(self) -> None:
        """Count a task that is about to run."""
        with self._lock:
            self._begun += 1

    def occupy(self) -> None:
        """Count one more that runs, beside those of the threads."""
        with self._lock:
            self._busy += 1

    def vacate(self) -> None:
        """Count one less, which was counted by :meth:`occupy`."""
        with self._lock:
            self._busy -= 1

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Count the calling thread as idle, within the context."""
        with self._lock:
            self._busy -= 1
        try:
            yield
        finally:
            with self._lock:
                self._busy += 1

    def is_over(self) -> bool:
        """Return whether nobody claims or runs a task at this moment."""
        with self._lock:
            return self._busy == 0
