"""What it costs tasks that the worker logs them, as it does by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from benchmarks import contenders
from benchmarks.cases import Case
from benchmarks.draining import drained
from benchmarks.measures import Metric

TITLE: Final = "The log of tasks"
EXPLAINED: Final = (
    "Two workers do tasks that do nothing, with the log of each task that they write by default "
    "(Celery with `--loglevel INFO`), and with warnings and errors only. It goes to a file. "
    "APScheduler and django-lightweight-queue log nothing unless a site sets up Python's logging. "
    "Ours and Huey are run three times, in turns, the others once."
)
METRICS: Final = {"rate": Metric("tasks per second", digits=0, less_is_better=False)}
SMALL: Final = {"tasks": 20}
WORKERS: Final = 2


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured, with and without the log."""
    tasks = 2000 if quick else 5000
    return [
        replace(
            case,
            title=f"{case.title}, {told}",
            options={
                "tasks": tasks // 4 if case.contender in contenders.SLOW else tasks,
                "logs": logs,
            },
            once=case.contender not in contenders.CLOSE,
        )
        for case in contenders.cases("logged", {})
        for logs, told in ((True, "as by default"), (False, "warnings and errors only"))
    ]


def rounds(*, quick: bool) -> int:
    """Return how often those are run that are close to each other; the others are run once."""
    return 1 if quick else 3


def baseline(case: Case, cases: Sequence[Case]) -> Case | None:
    """Return the same contender without the log."""
    where = (case.contender, case.database, case.redis)
    for other in cases:
        if (other.contender, other.database, other.redis) == where and not other.options["logs"]:
            return other
    return None


def run(case: Case) -> dict[str, list[float]]:
    """Return the tasks per second."""
    module = contenders.module_of(case)
    commands = module.workers(WORKERS, logs=case.options["logs"])
    return {"rate": [drained(module, commands, case.options["tasks"])]}
