"""What is known of the runs of hooks' functions: of background ones and of measured ones.

Both are bounded: one query each, of the newest rows by primary key.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from django.db import connections

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, HookSample
from wagtail_async_hooks.monitoring.overview import RECENT
from wagtail_async_hooks.types import State

SAMPLES: Final = 500
"""Number of samples, the newest ones, that medians are made of."""

_Key = tuple[str, str]


class Spread(NamedTuple):
    """Seconds within which half of something was done, and nearly all of it."""

    p50: float
    p95: float


class Runs(NamedTuple):
    """What became of the newest tasks of a function for a hook.

    :param number: of those that ran to their end.
    :param failed: of these, those that failed.
    :param waited: from when the last attempt could begin until it did; ``None`` if not known.
    :param took: the last attempt; ``None`` if not known.
    """

    number: int
    failed: int
    waited: Spread | None
    took: Spread | None

    @property
    def failure_rate(self) -> float:
        """The part that failed, from 0 to 1."""
        return self.failed / self.number


class Measured(NamedTuple):
    """What was measured of a function that runs in the request.

    :param median: seconds that a call takes.
    """

    median: float
    calls: int


def runs() -> dict[_Key, Runs]:
    """Return what became of the newest :data:`RECENT` tasks, by hook and dotted path."""
    found: dict[_Key, list[_Row]] = {}
    for hook, function, *row in _ended():
        found.setdefault((hook, function), []).append(_Row(*row))
    return {key: _runs_of(rows) for key, rows in found.items()}


def measured() -> dict[_Key, Measured]:
    """Return what was measured of late, by hook and label of the function.

    Of the newest :data:`SAMPLES` samples, which are no older than a week.
    """
    samples = HookSample.objects.using(ledger.database()).order_by("-pk")
    found: dict[_Key, list[tuple[int, list[float]]]] = {}
    columns = ("hook", "function", "calls", "durations")
    for hook, function, calls, durations in samples.values_list(*columns)[:SAMPLES]:
        if durations:
            found.setdefault((hook, function), []).append((calls, durations))
    return {key: _measured_of(rows) for key, rows in found.items()}


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the smallest value that so many of the sorted values do not exceed."""
    return values[max(0, math.ceil(fraction * len(values)) - 1)]


def _measured_of(rows: Iterable[tuple[int, list[float]]]) -> Measured:
    """Return the median, where a duration counts for as many calls as it stands for."""
    rows = list(rows)
    weighted = sorted((d, calls / len(given)) for calls, given in rows for d in given)
    total = sum(calls for calls, _ in rows)
    passed = accumulate(weight for _, weight in weighted)
    half = total / 2 * (1 - 1e-9)  # the weights are rounded
    median = next(weighted[place][0] for place, sum_ in enumerate(passed) if sum_ >= half)
    return Measured(median, total)


# Tasks --------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """What is read of a task that ran to its end."""

    state: str
    waited: float | None
    took: float | None


_TABLE: Final = BackgroundTask._meta.db_table
_SECONDS: Final = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM ({until} - {since})) AS double precision)",
    "sqlite": "(julianday({until}) - julianday({since})) * 86400.0",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, {since}, {until}) / 1e6",
}
"""Seconds between two times, by vendor; on SQLite to the millisecond."""

_COULD_RUN: Final = "CASE WHEN run_at > enqueued_at THEN run_at ELSE enqueued_at END"
_COLUMNS: Final = "hook, function, state, attempt, enqueued_at, run_at, started_at, finished_at"


def _ended() -> list[tuple[Any, ...]]:
    """Return what is read of those of the newest tasks that a hook has caused and that ran.

    In SQL of its own: Django's ORM knows no condition beside a limit, and to make times of ten
    thousand rows takes it, and psycopg, longer than all the rest.
    """
    connection = connections[ledger.database()]
    seconds = _SECONDS[connection.vendor]
    waited = seconds.format(since=f"({_COULD_RUN})", until="started_at")
    took = seconds.format(since="started_at", until="finished_at")
    with connection.cursor() as cursor:
        # When somebody has let a task run again is not known.
        cursor.execute(
            f"SELECT hook, function, state, "
            f"CASE WHEN attempt = 1 OR run_at IS NOT NULL THEN {waited} END, {took} "
            f"FROM (SELECT {_COLUMNS} FROM {_TABLE} ORDER BY id DESC LIMIT %s) newest "
            "WHERE hook <> '' AND state IN (%s, %s)",
            [RECENT, State.SUCCEEDED, State.FAILED],
        )
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _runs_of(rows: list[_Row]) -> Runs:
    failed = sum(row.state == State.FAILED for row in rows)
    waited = [row.waited for row in rows if row.waited is not None]
    took = [row.took for row in rows if row.took is not None]
    return Runs(len(rows), failed, _spread(waited), _spread(took))


def _spread(values: list[float]) -> Spread | None:
    if not values:
        return None
    values.sort()
    # Clocks are set: what seems to have ended before it began took no time.
    return Spread(max(0.0, percentile(values, 0.5)), max(0.0, percentile(values, 0.95)))
