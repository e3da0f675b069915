"""How many tasks two workers get done in a second."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks import contenders
from benchmarks.cases import Case
from benchmarks.draining import drained
from benchmarks.measures import Metric

TITLE: Final = "Getting tasks done"
EXPLAINED: Final = (
    "All tasks wait before the workers start; the first tenth and the last twentieth do not "
    "count. Two workers are two threads of a process (ours, Huey, APScheduler), two processes "
    "(Celery, RQ, django-tasks-db, django-q2, django-db-queue, django-lightweight-queue) or two "
    "concurrent jobs (procrastinate). A worker of django-db-queue does one job a second. django-q2 "
    "starts each worker anew after 500 tasks, as by default, which takes most of the time of its "
    "1,250 tasks that do nothing (on Redis, it did 3,900 a second without that) and does not come "
    "within its 500 of 1 ms. Huey, APScheduler, django-lightweight-queue as by default, and "
    "django-q2 on Redis forget a task before they run it: see [what gets "
    "lost](#tasks-whose-worker-is-killed). Ours and Huey are run three times, in turns, the others "
    "once."
)
METRICS: Final = {"rate": Metric("tasks per second", digits=0, less_is_better=False)}
BASELINE: Final = "ours"
SMALL: Final = {"tasks": 20}
WORKERS: Final = 2

_WORK: Final = {"nothing": (0.0, 5000), "1 ms": (0.001, 2000)}
"""What a task does, for how many seconds, and how many there are of it."""


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured, doing what."""
    found = []
    for told, (seconds, tasks_of_all) in _WORK.items():
        if quick and seconds:
            continue
        for case in contenders.cases("drain", {}):
            tasks = 400 if quick else tasks_of_all
            tasks //= 4 if case.contender in contenders.SLOW and tasks > 200 else 1
            tasks = contenders.at_most(case, tasks)
            title = f"{case.title}, {told}"
            options = {"seconds": seconds, "tasks": tasks}
            once = case.contender not in contenders.CLOSE
            found.append(replace(case, title=title, options=options, once=once))
    return found


def rounds(*, quick: bool) -> int:
    """Return how often those are run that are close to each other; the others are run once."""
    return 1 if quick else 3


def run(case: Case) -> dict[str, list[float]]:
    """Return the tasks per second."""
    module = contenders.module_of(case)
    commands = module.workers(WORKERS)
    return {"rate": [drained(module, commands, case.options["tasks"], case.options["seconds"])]}
