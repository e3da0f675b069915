"""How fast workers get done what waits: starting and ending do not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import work
from benchmarks.workers import working


def drained(
    module: Any, commands: Sequence[Sequence[str]], tasks: int, seconds: float = 0.0
) -> float:
    """Enqueue tasks, then start workers; return how many they get done in a second.

    :param module: the contender's.
    :param commands: what starts the workers.
    :param seconds: that each task takes.
    """
    module.set_up()
    module.enqueue_many(tasks, seconds)
    get_done(commands, tasks)
    return rate()


def get_done(commands: Sequence[Sequence[str]], tasks: int) -> None:
    """Have workers run until so many tasks are done."""
    with working(commands) as workers:
        workers.wait_for(tasks, pause=0.05)


def rate(begin: float = 0.1, end: float = 0.95) -> float:
    """Return how many tasks were done in a second, in some part of all.

    :param begin: the part of all tasks that is done before.
    :param end: the part that is done at the end of it.
    """
    done = [trace.done for trace in work.traces()]
    first, last = int(begin * len(done)), int(end * len(done)) - 1
    return (last - first) / (done[last] - done[first])
