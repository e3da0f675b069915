"""How many calls to another server a worker makes in a second, and what it needs for it."""

from __future__ import annotations

import os
from typing import Final

from benchmarks import contenders, proc, work
from benchmarks.calls import answering
from benchmarks.cases import Case
from benchmarks.draining import rate
from benchmarks.measures import Metric
from benchmarks.workers import working

TITLE: Final = "Waiting for other servers"
EXPLAINED: Final = (
    "Each task calls a local server that answers after 200 ms. One process makes 20 or 100 calls "
    "at once, by coroutines (ours, procrastinate) or gevent (Celery, Huey): at most 100 or 500 a "
    "second. The server shares the two cores. Memory is that of the worker half-way (PSS)."
)
METRICS: Final = {
    "rate": Metric("calls per second", digits=0, less_is_better=False),
    "memory": Metric("MB", digits=0),
    "per": Metric("calls per second and MB", digits=2, less_is_better=False),
}
BASELINE: Final = "ours"
SMALL: Final = {"tasks": 20, "at_once": 5, "seconds": 0.01}

_WHO: Final = ("ours", "procrastinate_itself", "celery_itself", "huey_itself")
_HOW: Final = {"celery_itself": ", gevent", "huey_itself": ", greenlets"}
_AT_ONCE: Final = {20: 600, 100: 3000}
"""How many calls at once, and how many there are."""


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured, with how many calls at once."""
    found = []
    for at_once, tasks in _AT_ONCE.items():
        for case in contenders.cases("waiting", {}):
            if case.contender not in _WHO or (case.contender == "huey_itself" and case.database):
                continue  # what gevent does not make wait as greenlets
            title = f"{case.title}{_HOW.get(case.contender, '')}, {at_once} at once"
            options = {"tasks": tasks // 5 if quick else tasks, "at_once": at_once, "seconds": 0.2}
            found.append(Case("waiting", case.contender, title, case.database, case.redis, options))
    return found


def baseline(case: Case, cases: list[Case]) -> Case:
    """Return ours with as many calls at once, and the same storage or the first."""
    ours = [
        each
        for each in cases
        if each.contender == BASELINE and each.options["at_once"] == case.options["at_once"]
    ]
    same = [each for each in ours if (each.database, each.redis) == (case.database, case.redis)]
    return (same or ours)[0]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Return calls per second, megabytes, and the one by the other."""
    module, tasks = contenders.module_of(case), case.options["tasks"]
    module.set_up()
    os.environ["BENCH_SITE"] = "1"
    with answering(case.options["seconds"]) as port:
        module.enqueue_calls(tasks, port)
        with working(module.callers(case.options["at_once"])) as workers:
            workers.wait_for(tasks // 2, pause=0.02)
            memory = proc.memory(workers.processes()).own
            workers.wait_for(tasks, pause=0.05)
    done = rate()
    assert len(work.traces()) == tasks
    return {"rate": [done], "memory": [memory], "per": [done / memory]}
