"""How many tasks of a millisecond are done in a second, and what each costs beyond its function."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks import contenders, proc, work
from benchmarks.cases import Case
from benchmarks.draining import rate
from benchmarks.measures import Metric
from benchmarks.workers import Workers, working

TITLE: Final = "Short tasks"
EXPLAINED: Final = (
    "Tasks that wait for 1 ms, or do nothing, by threads × processes. All tasks wait before the "
    "workers start; the first tenth and the last twentieth do not count. Processor time is that "
    "of all threads of the worker's processes, without that of the function, and without the "
    "server's."
)
METRICS: Final = {
    "rate": Metric("tasks per second", digits=0, less_is_better=False),
    "cpu": Metric("processor time of a task beyond its function, µs", digits=0),
}
BASELINE: Final = "ours"
SMALL: Final = {"tasks": 40}

MILLISECOND: Final = 0.001
SIZES: Final = {(1, 1): 0.0, (2, 1): MILLISECOND, (4, 1): MILLISECOND, (1, 2): MILLISECOND}
"""Threads in each process and processes, and for how many seconds a task waits."""

_BEGIN: Final = 0.1
_END: Final = 0.95
_CALLS: Final = 300


def cases(*, quick: bool) -> list[Case]:
    """Return us and Huey, with some numbers of threads and processes."""
    found = []
    for who in contenders.cases("short", {}):
        if who.contender not in ("ours", "huey_itself") or who.redis:
            continue
        for (threads, processes), seconds in SIZES.items():
            told = "1 ms" if seconds else "nothing"
            title = f"{who.title}, {told}, {threads} × {processes}"
            options = {"threads": threads, "processes": processes, "seconds": seconds}
            options["tasks"] = 600 if quick else 4000
            found.append(Case("short", who.contender, title, who.database, options=options))
    return found


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1 if quick else 2


def run(case: Case) -> dict[str, list[float]]:
    """Return tasks per second, and microseconds."""
    module, options = contenders.module_of(case), case.options
    seconds, tasks = options["seconds"], options["tasks"]
    function = _cost_of_function(seconds)
    module.set_up()
    module.enqueue_many(tasks, seconds)
    with working(module.workers(options["threads"], options["processes"])) as workers:
        computed = _computed(workers, tasks)
    return {"rate": [rate(_BEGIN, _END)], "cpu": [computed - function]}


def _computed(workers: Workers, tasks: int) -> float:
    """Wait until all tasks are done; return the microseconds that workers computed for each."""
    workers.wait_for(int(_BEGIN * tasks), pause=0.005)
    begun, before = work.count(), proc.computed(workers.processes())
    workers.wait_for(int(_END * tasks), pause=0.005)
    taken, after = proc.computed(workers.processes()) - before, work.count()
    workers.wait_for(tasks, pause=0.05)
    return 1e6 * taken / max(1, after - begun)


def _cost_of_function(seconds: float) -> float:
    """Return the microseconds that a thread computes in the function itself."""
    with _traces_elsewhere():
        before = time.thread_time()
        for _ in range(_CALLS):
            work.do(seconds, 0.0)
        return 1e6 * (time.thread_time() - before) / _CALLS


@contextmanager
def _traces_elsewhere() -> Iterator[None]:
    place = os.environ["SITE_DATA"]
    with tempfile.TemporaryDirectory() as elsewhere:
        os.environ["SITE_DATA"] = elsewhere
        try:
            yield
        finally:
            os.environ["SITE_DATA"] = place
