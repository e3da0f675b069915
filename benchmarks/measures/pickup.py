"""How soon a task begins that is left to workers which have time for it."""

from __future__ import annotations

import statistics
import time
from typing import Final

from benchmarks import contenders, latency
from benchmarks.cases import Case
from benchmarks.measures import Metric
from benchmarks.workers import working

TITLE: Final = "Picking a task up"
EXPLAINED: Final = (
    "From the call that enqueues a task to its first line, with two workers: idle for a second, "
    "and busy with a task of 20 ms every 20 to 40 ms. Default options."
)
METRICS: Final = {
    "p50": Metric("p50, ms"),
    "p95": Metric("p95, ms"),
    "p99": Metric("p99, ms"),
    "busy_p50": Metric("busy: p50, ms"),
    "busy_p95": Metric("busy: p95, ms"),
    "busy_p99": Metric("busy: p99, ms"),
}
BASELINE: Final = "ours"
SMALL: Final = {"idle": 0.05, "times": 2, "busy": 2}
WORKERS: Final = 2


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured."""
    options = {"idle": 1.0, "times": 12, "busy": 100}
    if quick:
        options = {"idle": 0.2, "times": 5, "busy": 20}
    found = contenders.cases("pickup", options)
    return contenders.some(found) if quick else found


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Return quantiles of the milliseconds."""
    module, options = contenders.module_of(case), case.options
    module.set_up()
    with working(module.workers(WORKERS)) as workers:
        module.enqueue(0.0, time.monotonic())
        workers.wait_for(1, pause=0.005)  # now they have begun
        rested = latency.after_rests(module, workers, options["times"], options["idle"])
        busy = latency.while_busy(module, workers, contenders.at_most(case, options["busy"]))
    return {**_quantiles(rested, "p"), **_quantiles(busy, "busy_p")}


def _quantiles(taken: list[float], prefix: str) -> dict[str, list[float]]:
    quantiles = statistics.quantiles(taken, n=100, method="inclusive")
    return {f"{prefix}{number}": [quantiles[number - 1]] for number in (50, 95, 99)}
