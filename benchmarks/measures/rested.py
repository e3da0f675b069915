"""How soon a task begins that is left to workers which have had nothing to do for long."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from benchmarks import contenders, latency
from benchmarks.cases import Case
from benchmarks.measures import Metric
from benchmarks.workers import working

TITLE: Final = "Picking a task up after a long rest"
EXPLAINED: Final = (
    "The same after an idle minute, for ours only. The workers of all storages rest together and "
    "are asked in turn."
)
METRICS: Final = {"p50": Metric("p50, ms"), "most": Metric("the longest, ms")}
BASELINE: Final = "ours"
SMALL: Final = {"idle": 0.05, "times": 2}
WORKERS: Final = 2


def cases(*, quick: bool) -> list[Case]:
    """Return each storage of ours."""
    options = {"idle": 3.0, "times": 1} if quick else {"idle": 60.0, "times": 5}
    found = contenders.cases("rested", options)
    return [case for case in found if case.contender == "ours"]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def apart(cases: Sequence[Case]) -> float:
    """Return the seconds from the start of one case to that of the next, in one rest of all."""
    return float(cases[0].options["idle"]) / len(cases)


def run(case: Case) -> dict[str, list[float]]:
    """Return the milliseconds of each, and the most."""
    module, options = contenders.module_of(case), case.options
    module.set_up()
    with working(module.workers(WORKERS)) as workers:
        module.enqueue(0.0, time.monotonic())
        workers.wait_for(1, pause=0.005)
        taken = latency.after_rests(module, workers, options["times"], options["idle"])
    return {"p50": taken, "most": [max(taken)]}
