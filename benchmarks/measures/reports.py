"""How long an overview of many tasks takes: what a page of an admin has to ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks.cases import Case
from benchmarks.measures import Metric

TITLE: Final = "Looking at many tasks"
EXPLAINED: Final = (
    "A ledger of a million tasks in all states (with `QUICK`, 20,000). Counts are exact up to "
    "10,000, and groups cover the newest 10,000, so each query reads a bounded number of rows. "
    "“All of a page”: the newest failed tasks, the counts, and three groups."
)
METRICS: Final = {
    "all": Metric("all of a page, ms", digits=0),
    "newest": Metric("newest 50"),
    "failed": Metric("newest that failed"),
    "page": Metric("newest about a page"),
    "user": Metric("newest of a user"),
    "counts": Metric("counts by state"),
    "by_subject": Metric("by page"),
    "by_user": Metric("by user"),
    "by_error": Metric("by error"),
    "queries": Metric("queries of a page", digits=0),
}
BASELINE: Final = "ours"
SMALL: Final = {"rows": 1000, "times": 1}


def cases(*, quick: bool) -> list[Case]:
    """Return what is measured: all queries in one run, as filling the table takes longest."""
    options = {"rows": 20_000 if quick else 1_000_000, "times": 5}
    return [
        Case("reports", "ours", "wagtail_async_hooks", database, options=options)
        for database in ("sqlite", "postgres")
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Return the milliseconds of each query, each time that it is made but for the first."""
    import django

    django.setup()
    from tests import crowds

    crowds.fill(case.options["rows"])
    if case.database == "postgres":  # which does so by itself in time
        crowds.gather_statistics()
    queries = _queries()
    found = {name: _times(query, case.options["times"]) for name, query in queries.items()}
    return {**found, "queries": [_statements(queries["all"])]}


def _statements(query: Callable[[], Any]) -> float:
    """Return how many statements a query sends."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        query()
    return float(len(captured))


def _times(query: Callable[[], Any], number: int) -> list[float]:
    query()
    times = []
    for _ in range(number):
        begun = time.perf_counter()
        query()
        times.append(1000 * (time.perf_counter() - begun))
    return times


def _queries() -> dict[str, Callable[[], Any]]:
    from django.contrib.contenttypes.models import ContentType
    from wagtail.models import Page

    from wagtail_async_hooks.monitoring import overview
    from wagtail_async_hooks.queue import control

    page = Page(pk=17, content_type=ContentType.objects.get_for_model(Page))
    counting = {
        "counts": overview.bounded_counts,
        "by_subject": overview.by_subject,
        "by_user": overview.by_user,
        "by_error": overview.by_error,
    }

    def failed() -> Any:
        return overview.newest(control.select(state="failed"))

    return {
        "newest": lambda: overview.newest(control.select()),
        "failed": failed,
        "page": lambda: overview.newest(control.select(subject=page)),
        "user": lambda: overview.newest(control.select(user=7)),
        "all": lambda: [failed(), *(query() for query in counting.values())],
        **counting,
    }
