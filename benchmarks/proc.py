"""What Linux tells in ``/proc`` of a running process: its memory, and how long it has computed."""

from __future__ import annotations

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
    found = []
    for place in _PROC.iterdir():
        if place.name.isdecimal() and _session_of(place) == leader:
            found.append(int(place.name))
    return found


def memory(processes: Iterable[int]) -> Memory:
    """Return what processes have in memory, all together."""
    resident = own = 0
    for process in processes:
        told = _fields(_PROC / str(process) / "smaps_rollup")
        resident += told["Rss"]
        own += told["Pss"]
    return Memory(resident * 1024 / 1e6, own * 1024 / 1e6)


def computed(processes: Iterable[int]) -> float:
    """Return for how many seconds the threads that processes have now were on a processor.

    By the scheduler, in nanoseconds: ``/proc/PID/stat`` counts hundredths of a second, of which an
    idle process has few.
    """
    return 1e-9 * sum(
        int(thread.read_text().split()[0])
        for process in processes
        for thread in (_PROC / str(process) / "task").glob("*/schedstat")
    )


def _session_of(place: Path) -> int | None:
    try:
        told = (place / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended meanwhile
    # The second field is the program's name in parentheses, in which anything may be.
    return int(told.rpartition(")")[2].split()[3])


def _fields(place: Path) -> dict[str, int]:
    lines = (line.split() for line in place.read_text().splitlines()[1:])
    return {name.rstrip(":"): int(number) for name, number, *_ in lines}
