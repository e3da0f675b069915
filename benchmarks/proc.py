"""What Linux tells in ``/proc`` of a running process: its memory, and how long it has computed.

psutil tells the memory as well, but counts the time in hundredths of a second, of which an idle
process has few: it reads ``/proc/PID/stat``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Memory(NamedTuple):
    """Memory of processes, in megabytes of 1,000,000 bytes.

    :param resident: all that they have in memory. What several share counts for each (RSS).
    :param own: what they share counts in parts (PSS).
    """

    resident: float
    own: float


def session(leader: int) -> list[int]:
    """Return the processes of a session: those that its first process has started, and itself."""
    numbers = [int(place.name) for place in _PROC.iterdir() if place.name.isdecimal()]
    return [number for number in numbers if _session_of(number) == leader]


def memory(processes: Iterable[int]) -> Memory:
    """Return what processes have in memory, all together; those that have ended have none."""
    resident = own = 0
    for process in processes:
        try:
            told = _fields(_PROC / str(process) / "smaps_rollup")
        except (FileNotFoundError, ProcessLookupError):
            continue
        resident += told["Rss"]
        own += told["Pss"]
    return Memory(resident * 1024 / 1e6, own * 1024 / 1e6)


def computed(processes: Iterable[int]) -> float:
    """Return for how many seconds the threads that processes have now were on a processor.

    By the scheduler, in nanoseconds.
    """
    return 1e-9 * sum(
        _nanoseconds(thread)
        for process in processes
        for thread in (_PROC / str(process) / "task").glob("*/schedstat")
    )


def _nanoseconds(thread: Path) -> int:
    try:
        return int(thread.read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended meanwhile


def _session_of(process: int) -> int | None:
    try:
        return os.getsid(process)
    except ProcessLookupError:
        return None  # it has ended meanwhile


def _fields(place: Path) -> dict[str, int]:
    lines = (line.split() for line in place.read_text().splitlines()[1:])
    return {name.rstrip(":"): int(number) for name, number, *_ in lines}
