"""How many tasks ours gets done in a second, by the number of its threads and processes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

from benchmarks import contenders
from benchmarks.cases import Case
from benchmarks.draining import drained
from benchmarks.measures import Metric

TITLE: Final = "More threads, more processes"
EXPLAINED: Final = (
    "Tasks that do nothing, counted as above, by one worker with more threads, and with more "
    "processes of as many threads each. Compared with one thread."
)
METRICS: Final = {"rate": Metric("tasks per second", digits=0, less_is_better=False)}
SMALL: Final = {"tasks": 20}

_THREADS: Final = (1, 2, 4, 8)
_PROCESSES: Final = (1, 2, 4)
_CORNERS: Final = ((1, 1), (8, 4))


def cases(*, quick: bool) -> list[Case]:
    """Return each number of threads and processes, on each storage of ours."""
    ours = [case for case in contenders.cases("matrix", {}) if case.contender == "ours"]
    sizes = list(product(_THREADS, _PROCESSES))
    if quick:
        ours, sizes = ours[:3], list(_CORNERS)
    return [
        Case(
            "matrix",
            "ours",
            f"{case.title}, {threads} × {processes}",
            case.database,
            case.redis,
            {"threads": threads, "processes": processes, "tasks": 1500 if quick else 5000},
        )
        for case in ours
        for threads, processes in sizes
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def baseline(case: Case, cases: Sequence[Case]) -> Case | None:
    """Return the one with one thread, of the same storage."""
    for other in cases:
        alone = (other.options["threads"], other.options["processes"]) == (1, 1)
        if alone and (other.database, other.redis) == (case.database, case.redis):
            return other
    return None


def run(case: Case) -> dict[str, list[float]]:
    """Return the tasks per second."""
    module, options = contenders.module_of(case), case.options
    commands = module.workers(options["threads"], options["processes"])
    return {"rate": [drained(module, commands, options["tasks"])]}
