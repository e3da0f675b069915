"""The dashboard and the events that Huey has in Django's admin, told to keep all events.

By default it keeps the newest 2,000; a task has at least two.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.dashboards import Pages, browse

AT_ONCE = 5_000
WEEK = 7 * 24 * 3600


@contextmanager
def opened(rows: int) -> Iterator[Pages]:
    """Record the two events of each of so many tasks in a week, and return the pages."""
    from huey.contrib.stats import HueyEvent, database

    begun, step = time.time() - WEEK, WEEK / rows

    def events(number: int) -> list[dict[str, Any]]:
        at = begun + number * step
        failed = number % 30 == 0
        same = {"queue": "bench", "task_id": f"task-{number}", "task": "benchmarks.tasks.do"}
        ended = {"duration": 0.1, "error": "ValueError('no')" if failed else None}
        return [
            {**same, "ts": at, "signal": "executing", "duration": None, "error": None},
            {**same, "ts": at + 0.1, "signal": "error" if failed else "complete", **ended},
        ]

    for start in range(0, rows, AT_ONCE):
        numbers = range(start, min(rows, start + AT_ONCE))
        made = [event for number in numbers for event in events(number)]
        with database.atomic():
            for first in range(0, len(made), 1_000):
                HueyEvent.insert_many(made[first : first + 1_000]).execute()
    dashboard = "/django-admin/hueystats/hueydashboard/"
    yield browse(
        {
            "overview": dashboard,
            "tasks": f"{dashboard}events/",
            "failed": f"{dashboard}events/?signal=error",
            "search": f"{dashboard}events/?q=nothing",
        }
    )
