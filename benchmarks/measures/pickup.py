"""How soon a task begins that is left to workers which have nothing to do."""

from __future__ import annotations

import statistics
import time
from typing import Final

from benchmarks import contenders, work
from benchmarks.cases import Case
from benchmarks.measures import Metric
from benchmarks.workers import working

TITLE: Final = "Picking a task up"
EXPLAINED: Final = (
    "From the call that enqueues a task to its first line, with two workers that have been idle "
    "for the time that is said. All have their default options."
)
METRICS: Final = {
    "p50": Metric("p50, ms"),
    "p95": Metric("p95, ms"),
    "p99": Metric("p99, ms"),
}
BASELINE: Final = "ours"
SMALL: Final = {"idle": 0.05, "times": 2}
WORKERS: Final = 2

_LONG: Final = 60.0
"""Seconds of a rest that only ours have: the others would take half an hour."""


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured, after how long a rest."""
    rests = {0.1: 20} if quick else {0.1: 100, 1.0: 20, _LONG: 2}
    return [
        Case(
            "pickup",
            case.contender,
            f"{case.title}, after {idle:g} s",
            case.database,
            case.redis,
            {"idle": idle, "times": times},
        )
        for idle, times in rests.items()
        for case in contenders.cases("pickup", {})
        if idle < _LONG or case.contender == "ours"
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1 if quick else 2


def run(case: Case) -> dict[str, list[float]]:
    """Return quantiles of the milliseconds."""
    module = contenders.module_of(case)
    module.set_up()
    with working(module.workers(WORKERS)) as workers:
        for number in range(case.options["times"] + 1):  # the first one tells that they have begun
            if number:
                time.sleep(case.options["idle"])
            module.enqueue(0.0, time.monotonic())
            workers.wait_for(number + 1, pause=0.005)
    taken = [1000 * (trace.begun - trace.sent) for trace in work.traces()[1:]]
    quantiles = statistics.quantiles(taken, n=100, method="inclusive")
    return {f"p{number}": [quantiles[number - 1]] for number in (50, 95, 99)}
