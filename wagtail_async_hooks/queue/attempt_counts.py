"""Counts how attempts end in this process, for the worker's statistics."""

from __future__ import annotations

import threading
from typing import Final

from wagtail_async_hooks.types import Counted, State, Tally, TaskInfo

_SUCCEEDED, _FAILED, _OTHERWISE, _REPEATED, _RAN, _LONGEST = range(6)
_COLUMNS: Final = {
    State.SUCCEEDED: _SUCCEEDED,
    State.FAILED: _FAILED,
    State.CANCELLED: _OTHERWISE,
    State.EXPIRED: _OTHERWISE,
}


class AttemptCounts:
    """Numbers of attempts by queue, hook and function, since they were taken last.

    Threads add to them after each task; only while a worker takes them, so that they do not grow
    where nobody does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], list[float]] = {}
        self._is_on = False

    def begin(self) -> None:
        """Count from now on."""
        with self._lock:
            self._counts = {}
            self._is_on = True

    def end(self) -> None:
        """Count no more."""
        self._is_on = False

    def add(self, task: TaskInfo, state: State, duration: float = 0.0) -> None:
        """Count an attempt whose outcome is recorded.

        :param state: that of the task, now.
        :param duration: in seconds.
        """
        if not self._is_on:
            return
        key = (task.queue, task.hook, task.function or task.name)
        with self._lock:
            counts = self._counts.get(key)
            if counts is None:
                counts = self._counts[key] = [0, 0, 0, 0, 0.0, 0.0]
            counts[_COLUMNS.get(state, _REPEATED)] += 1
            counts[_RAN] += duration
            if duration > counts[_LONGEST]:
                counts[_LONGEST] = duration

    def take(self) -> dict[Counted, Tally]:
        """Return what was counted, and begin anew."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return {
            Counted(*key): Tally(*map(int, counts[:_RAN]), *counts[_RAN:])
            for key, counts in taken.items()
        }
