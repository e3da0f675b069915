"""When a worker process is to be replaced: after so many tasks, or with too much memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

MEGABYTE: Final = 1024 * 1024

CHECK_INTERVAL: Final = 1.0
"""Seconds between two looks at the memory of a process."""

_STATM: Final = Path("/proc/self/statm")


class Limits(NamedTuple):
    """After what a process is replaced; ``None`` for never.

    :param tasks: how many it has begun.
    :param memory: how many megabytes are resident, as ``ps`` and ``top`` show them.
    """

    tasks: int | None = None
    memory: float | None = None

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return self.tasks is not None or self.memory is not None

    def __str__(self) -> str:
        """Return what they are, for people."""
        words = []
        if self.tasks is not None:
            words.append(f"after {self.tasks} task{'' if self.tasks == 1 else 's'}")
        if self.memory is not None:
            words.append(f"above {self.memory:g} MB")
        return " or ".join(words)


class Wear:
    """How worn a process is.

    :param limits: what it can take.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._checked_at = float("-inf")
        self._excess = ""

    def excess(self, tasks: int) -> str:
        """Return which limit was reached, in words; blank if none was.

        A process that has run nothing is not replaced: what it takes, the next one would take too.

        :param tasks: how many it has begun.
        """
        if not self._excess and tasks:
            self._excess = self._found(tasks)
        return self._excess

    def _found(self, tasks: int) -> str:
        if self._limits.tasks is not None and tasks >= self._limits.tasks:
            return f"it has run {tasks} task{'' if tasks == 1 else 's'}"
        now = time.monotonic()
        if self._limits.memory is not None and now - self._checked_at >= CHECK_INTERVAL:
            self._checked_at = now
            taken = resident()
            if taken > self._limits.memory:
                return f"it takes {taken:.0f} MB"
        return ""


def resident() -> float:
    """Return how many megabytes of memory this process takes.

    Where the system does not say, what it took at most.
    """
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (MEGABYTE if sys.platform == "darwin" else 1024)
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
