"""A crowd of tasks in all states, made by the database itself: a million of them in seconds."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.utils import timezone
from wagtail.models import Page

from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

USERS: Final = 50
PAGES: Final = 1000
KEYS: Final = 500
"""So many users have triggered tasks, about so many pages, and so many keys they have."""


class Spread(NamedTuple):
    """In which states and queues tasks are.

    :param percent: so many in a hundred, by state; together a hundred.
    :param queues: number of queues beside the default one.
    """

    percent: Mapping[State, int]
    queues: int


SPREADS: Final = {
    "ended": Spread(
        {
            State.SUCCEEDED: 90,
            State.FAILED: 3,
            State.CANCELLED: 1,
            State.MERGED: 1,
            State.SCHEDULED: 2,
            State.WAITING: 3,
        },
        queues=1,
    ),
    "busy": Spread(
        {
            State.SUCCEEDED: 60,
            State.FAILED: 15,
            State.CANCELLED: 3,
            State.MERGED: 2,
            State.SCHEDULED: 8,
            State.WAITING: 12,
        },
        queues=31,
    ),
    "waiting": Spread({State.WAITING: 100}, queues=31),
    "succeeded": Spread({State.SUCCEEDED: 100}, queues=31),
}

TABLE: Final = BackgroundTask._meta.db_table
_DIGITS: Final = " UNION ALL ".join(f"SELECT {digit}" for digit in range(10))
_NUMBER: Final = "(a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n)"


@background.task()
def nothing() -> None:
    """Do nothing."""


def fill(rows: int, spread: str = "ended") -> None:
    """Record so many tasks, at most a million.

    Of all, some few expired long ago, and some few run.

    :param spread: in which states the others are, of :data:`SPREADS`.
    """
    nothing()
    sample = BackgroundTask.objects.latest("pk")
    values, given = _columns(SPREADS[spread])
    names = [f.column for f in BackgroundTask._meta.concrete_fields if not f.primary_key]
    made = ", ".join(values.get(name, f"sample.{name}") for name in names)
    parameters = [value for name in names for value in given.get(name, [])]
    digits = ", ".join(f"digits {name}" for name in "fedcba")
    statement = (
        f"INSERT INTO {TABLE} ({', '.join(names)}) WITH digits (n) AS ({_DIGITS}) "
        f"SELECT {made} FROM {digits}, {TABLE} sample "
        f"WHERE sample.id = %s AND {_NUMBER} < %s ORDER BY {_NUMBER}"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, sample.pk, rows])
    BackgroundTask.objects.filter(pk=sample.pk).delete()


def clear() -> None:
    """Delete all tasks; Django would read each of them before."""
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE}")


def gather_statistics() -> None:
    """Let the database learn how many rows there are of what, as a server does by itself in time.

    Not within a transaction.
    """
    word = {"postgresql": "VACUUM ANALYZE", "mysql": "ANALYZE TABLE"}.get(
        connection.vendor, "ANALYZE"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"{word} {TABLE}")


def _columns(spread: Spread) -> tuple[dict[str, str], dict[str, list[Any]]]:
    """Return the columns that differ between the tasks, and the parameters of each."""
    now, n = timezone.now(), _NUMBER
    running = f"{n} %% 10000 = 77"
    state = f"CASE WHEN {n} < 60 THEN 'expired' WHEN {running} THEN 'running' {_cases(spread)} END"
    unfinished = f"{state} IN ('waiting', 'scheduled', 'running')"
    failed, scheduled = (f"{state} = '{each}'" for each in ("failed", "scheduled"))
    old, later = now - datetime.timedelta(days=1), now + datetime.timedelta(days=1)
    key = _text(f"({n} - {n} %% 100) %% {100 * KEYS}")
    page = ContentType.objects.get_for_model(Page).pk
    values = {
        "task_id": _text(n),
        "state": state,
        "queue": _queue(spread.queues),
        "priority": f"{n} %% 3",
        "worker_id": f"CASE WHEN {running} THEN {n} %% 3 + 1 END",
        "user_id": f"{n} %% {USERS} + 1",
        "subject_type_id": str(page),
        "subject_id": _text(f"{n} %% {PAGES}"),
        "enqueued_at": "%s",
        "run_at": f"CASE WHEN {scheduled} THEN %s ELSE sample.run_at END",
        "started_at": f"CASE WHEN {running} THEN %s ELSE sample.started_at END",
        "finished_at": f"CASE WHEN {unfinished} THEN sample.finished_at ELSE %s END",
        "coalesce_key": f"CASE WHEN {n} %% 4 = 3 THEN {key} ELSE '' END",
        "exclusive_key": f"CASE WHEN {n} %% 4 = 1 AND NOT {running} THEN {key} ELSE '' END",
        "error_type": f"CASE WHEN {failed} THEN {_text(f'{n} %% 8')} ELSE '' END",
        "traceback": f"CASE WHEN {failed} THEN '{'x' * 1000}' ELSE '' END",
    }
    given = {
        "enqueued_at": [old],
        "run_at": [later],
        "started_at": [old],
        "finished_at": [old],
    }
    adapt = connection.ops.adapt_datetimefield_value
    return values, {name: [adapt(moment) for moment in found] for name, found in given.items()}


def _cases(spread: Spread) -> str:
    """Return the branches of the state, which depend on the last two digits."""
    cases, first = [], 0
    for state, percent in spread.percent.items():
        first += percent
        cases.append(f"WHEN {_NUMBER} %% 100 < {first} THEN '{state.value}'")
    assert first == 100
    return " ".join(cases)


def _queue(number: int) -> str:
    """Return the queue, which has nothing to do with the state."""
    if number == 1:
        return f"CASE WHEN {_NUMBER} %% 7 = 0 THEN 'slow' ELSE 'default' END"
    name = _text(f"{_NUMBER} %% {number}")
    return f"CASE WHEN {_NUMBER} %% 3 = 0 THEN 'default' ELSE {name} END"


def _text(number: str) -> str:
    return f"CAST({number} AS {'CHAR' if connection.vendor == 'mysql' else 'TEXT'})"
