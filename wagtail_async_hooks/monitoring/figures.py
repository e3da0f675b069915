"""Figures for whoever watches: how many tasks there are, who works, and what waits longest."""

from __future__ import annotations

import datetime

from django.db import connections
from django.db.models import Count, F

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State

Counts = dict[str, dict[str, int]]
"""Numbers of tasks, by queue and state."""


def counts() -> Counts:
    """Return how many tasks there are by queue and state; this reads all rows of the indexes.

    :func:`~wagtail_async_hooks.monitoring.overview.counts` is quicker, and stops counting where
    there are many.
    """
    tasks = BackgroundTask.objects.using(ledger.database()).order_by()
    grouped = tasks.values_list("state", "queue").annotate(Count("pk"))
    if connections[tasks.db].vendor != "mysql":  # where one index, of all queues, has all rows
        # Each by itself, since each has its own index.
        unfinished = [grouped.filter(state=state) for state in State if not state.is_final]
        grouped = grouped.filter(finished_at__isnull=False).union(*unfinished, all=True)
    found: Counts = {}
    for state, queue, number in grouped:
        found.setdefault(queue, {})[state] = number
    return found


def total(counts: Counts, *, state: str) -> int:
    """Return how many tasks are in a state."""
    return sum(by_state.get(state, 0) for by_state in counts.values())


def workers_alive() -> list[Worker]:
    """Return the workers that are alive, by primary key."""
    return list(ledger.alive().order_by("pk"))


def oldest_waiting() -> BackgroundTask | None:
    """Return the task that has waited longest for a worker, but for its large columns."""
    tasks = BackgroundTask.objects.using(ledger.database())
    # By a sum, so that no database walks through all that has ended to find the first that waits.
    waiting = tasks.filter(state=State.WAITING).order_by(F("pk") + 0)
    keys = waiting.values_list("pk", flat=True)[:1]
    told = tasks.defer(*ledger.LARGE).select_related("subject_type")
    return told.filter(pk=keys[0]).first() if keys else None


def waits_since(row: BackgroundTask) -> datetime.datetime:
    """Return since when a waiting task could have run."""
    since: datetime.datetime = max(row.enqueued_at, row.run_at or row.enqueued_at)
    return since
