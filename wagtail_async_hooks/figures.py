"""Figures for whoever watches: how many tasks there are, who works, and what waits longest."""

from __future__ import annotations

import datetime

from django.db.models import Count

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.records import State

Counts = dict[str, dict[str, int]]
"""Numbers of tasks, by queue and state."""


def counts() -> Counts:
    """Return how many tasks there are by queue and state; this reads all rows of an index."""
    tasks = BackgroundTask.objects.using(ledger.database()).order_by()
    found: Counts = {}
    for queue, state, number in tasks.values_list("queue", "state").annotate(Count("pk")):
        found.setdefault(queue, {})[state] = number
    return found


def total(counts: Counts, *, state: str) -> int:
    """Return how many tasks are in a state."""
    return sum(by_state.get(state, 0) for by_state in counts.values())


def workers_alive(seconds: float) -> list[Worker]:
    """Return the workers that have said within some seconds that they are alive."""
    return list(ledger.alive(seconds).order_by("pk"))


def oldest_waiting() -> BackgroundTask | None:
    """Return the task that has waited longest for a worker, but for its large columns."""
    waiting = BackgroundTask.objects.using(ledger.database()).filter(state=State.WAITING)
    return waiting.defer(*ledger.LARGE).select_related("subject_type").order_by("pk").first()


def waits_since(row: BackgroundTask) -> datetime.datetime:
    """Return since when a waiting task could have run."""
    return max(row.enqueued_at, row.run_at or row.enqueued_at)
