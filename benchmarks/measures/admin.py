"""How long the pages of the admin take, over a thousand tasks and over a million; and others'."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from benchmarks import dashboards
from benchmarks.cases import Case
from benchmarks.measures import Metric

TITLE: Final = "The pages of the admin"
EXPLAINED: Final = (
    "Each page as the server answers a superuser, templates included, with a thousand tasks and "
    "with a million (with `QUICK`, 20,000). *Site history* is Wagtail's own report. "
    "django-tasks-db and Huey's statistics have pages in Django's admin; Flower is asked by HTTP. "
    "Huey's statistics and Flower keep all tasks, Flower at most 100,000. All of our tasks "
    "contain the word that is searched, and none of theirs."
)
METRICS: Final = {
    "slowest": Metric("slowest page, ms", digits=0),
    "queries": Metric("most queries", digits=0),
    "overview": Metric("overview", digits=0),
    "tasks": Metric("tasks", digits=0),
    "failed": Metric("failed tasks", digits=0),
    "search": Metric("search", digits=0),
    "task": Metric("a task", digits=0),
    "errors": Metric("errors", digits=0),
    "hooks": Metric("hooks", digits=0),
    "schedule": Metric("schedule", digits=0),
    "workers": Metric("workers", digits=0),
    "queues": Metric("queues", digits=0),
    "history": Metric("Wagtail's site history", digits=0),
}
SMALL: Final = {"rows": 200, "times": 1}
FEW: Final = 1_000
OTHER_ORMS: Final = ("huey_stats_itself",)
"""Whose queries are not counted, as they are not Django's."""


def cases(*, quick: bool) -> list[Case]:
    """Return what is measured: all pages in one run, as filling the table takes longest."""
    many = 20_000 if quick else 1_000_000
    return [case for rows in (FEW, many) for case in dashboards.cases("admin", rows=rows, times=7)]


def baseline(case: Case, cases: list[Case]) -> Case:
    """Return the case of the same pages with few tasks."""
    same = [
        each for each in cases if (each.contender, each.database) == (case.contender, case.database)
    ]
    return min(same, key=lambda each: each.options["rows"])


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Return the milliseconds of each page, each time that it is asked for but for the first."""
    if case.database:
        import django

        django.setup()
    times: dict[str, list[float]] = {}
    queries: list[float] = []
    with import_module(f"benchmarks.dashboards.{case.contender}").opened(
        case.options["rows"]
    ) as pages:
        for name, load in pages.items():
            load()
            if case.database and name != "history" and case.contender not in OTHER_ORMS:
                queries.append(_statements(load))
            times[name] = _times(load, case.options["times"])
    own = [values for name, values in times.items() if name != "history"]
    slowest = max(own, key=statistics.median)
    most = {"queries": [max(queries)]} if queries else {}
    return {**times, "slowest": slowest, **most}


def _times(load: Callable[[], Any], number: int) -> list[float]:
    times = []
    for _ in range(number):
        begun = time.perf_counter()
        load()
        times.append(1000 * (time.perf_counter() - begun))
    return times


def _statements(load: Callable[[], Any]) -> float:
    """Return how many statements a page sends."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        load()
    return float(len(captured))  # now: the next request forgets them
