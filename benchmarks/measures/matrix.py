"""How many tasks ours gets done in a second, by the number of its threads and processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import product
from typing import Any, Final

from benchmarks import contenders
from benchmarks.cases import Case
from benchmarks.draining import rate
from benchmarks.measures import Metric
from benchmarks.workers import PATIENCE, working

TITLE: Final = "More threads, more processes"
EXPLAINED: Final = (
    "Tasks that do nothing, by one worker with several processes × threads. All tasks are "
    "committed at once, when all processes have started. Compared with one thread."
)
METRICS: Final = {"rate": Metric("tasks per second", digits=0, less_is_better=False)}
SMALL: Final = {"tasks": 20}

_THREADS: Final = (1, 2, 4)
_PROCESSES: Final = (1, 2)
_QUICK: Final = ((1, 1), (2, 2))


def cases(*, quick: bool) -> list[Case]:
    """Return each number of threads and processes, on each storage of ours."""
    ours = [case for case in contenders.cases("matrix", {}) if case.contender == "ours"]
    sizes = list(product(_THREADS, _PROCESSES))
    if quick:
        ours, sizes = ours[:1], list(_QUICK)
    return [
        Case(
            "matrix",
            "ours",
            f"{case.title}, {threads} × {processes}",
            case.database,
            case.redis,
            {"threads": threads, "processes": processes, "tasks": 1000 if quick else 4000},
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
    module.set_up()
    with working(module.workers(options["threads"], options["processes"])) as workers:
        _wait_for_processes(options["processes"])
        _enqueue_at_once(module, options["tasks"])
        workers.wait_for(options["tasks"], pause=0.05)
    return {"rate": [rate()]}


def _wait_for_processes(number: int) -> None:
    """Return once so many processes have entered the ledger."""
    from wagtail_async_hooks.models import Worker

    deadline = time.monotonic() + PATIENCE
    while Worker.objects.count() < number:
        if time.monotonic() > deadline:
            raise RuntimeError(f"In {PATIENCE:g} s only {Worker.objects.count()} have begun.")
        time.sleep(0.05)


def _enqueue_at_once(module: Any, tasks: int) -> None:
    from django.db import transaction

    with transaction.atomic():
        module.enqueue_many(tasks, 0.0)
