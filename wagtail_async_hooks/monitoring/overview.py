"""Queries for an overview of the ledger: tasks, counts, groups and workers.

All but :func:`exact_counts` are bounded, each one statement that reads a limited number of rows by
an index; their cost does not grow with the table. Counts stop at :data:`MANY`, and groups are those
of the newest :data:`RECENT` tasks.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.db import connections
from django.db.models import Count, F, QuerySet

from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger.queues import Oldest
from wagtail_async_hooks.ledger.selection import forced
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State

MANY: Final = 10_000
"""Number of tasks in a state beyond which :func:`bounded_counts` does not count."""

RECENT: Final = 10_000
"""Number of tasks, the newest ones, that groups are made of."""

_TABLE: Final = BackgroundTask._meta.db_table
_WORKERS: Final = Worker._meta.db_table
ORDERS: Final = {
    State.WAITING: ("blocked", "-priority", "pk"),
    State.SCHEDULED: ("run_at",),
    State.RUNNING: ("started_at",),
}


Counts = dict[str, dict[str, int]]
"""Numbers of tasks, by queue and state."""


class CountsByQueue(NamedTuple):
    """Numbers of tasks, as far as they were counted.

    :param at_least: states of which there may be more, as not all were counted.
    """

    numbers: Counts
    at_least: frozenset[State]


class BoundedCount(NamedTuple):
    """The number of tasks, as far as they were counted.

    :param is_all: whether there are no more than that.
    """

    number: int
    is_all: bool


class OfSubject(NamedTuple):
    """The number of the newest tasks that are about an object.

    :param subject_type: primary key of its content type.
    :param subject_id: its own, as a text.
    :param newest: primary key of the newest of these tasks.
    """

    subject_type: int
    subject_id: str
    number: int
    newest: int


class OfUser(NamedTuple):
    """The number of the newest tasks that a user has triggered.

    :param user: primary key.
    :param newest: primary key of the newest of these tasks.
    """

    user: Any
    number: int
    newest: int


class OfError(NamedTuple):
    """The number of the newest failed tasks with the same function and type of error.

    :param error_type: dotted path of the exception's class.
    :param function: dotted path.
    :param newest: primary key of the newest of these tasks.
    """

    error_type: str
    function: str
    number: int
    newest: int


def newest(tasks: QuerySet[BackgroundTask], limit: int = 50) -> list[BackgroundTask]:
    """Return some tasks, the newest first, without their large columns.

    Bounded for all tasks, and for those that ended in one state, of one object, or of one user.

    :param tasks: those of :func:`wagtail_async_hooks.queue.control.select`.
    """
    return _rows(tasks.order_by("-pk"), limit)


def first(state: State, limit: int = 50) -> list[BackgroundTask]:
    """Return the tasks in a state in the order that fits it, without their large columns.

    Ended tasks, the newest first; waiting ones, in the order of claims; scheduled ones, the soonest
    first; running ones, the longest first. Each order is that of an index, except for the running
    tasks, which are few. To sort waiting tasks by their age would take one more index, which every
    claim would write to.
    """
    return _rows(control.select(state=state).order_by(*ORDERS.get(state, ("-pk",))), limit)


def bounded_counts() -> dict[State, BoundedCount]:
    """Return how many tasks there are in each state, counted up to :data:`MANY`."""
    each = " UNION ALL ".join(
        f"SELECT '{state.value}', COUNT(*) FROM ({of_state(state, 'id', MANY + 1)}) {state.value}"
        for state in State
    )
    found = {State(state): number for state, number in fetch(each)}
    return {
        state: BoundedCount(min(number, MANY), number <= MANY) for state, number in found.items()
    }


def counts_by_queue(
    states: Iterable[State] = State, oldest: Mapping[str, Oldest] | None = None
) -> CountsByQueue:
    """Return how many tasks there are by queue and state, of each state up to :data:`MANY`.

    Of more waiting tasks, so many are counted in each queue as the ledger counts; of other states,
    those of the newest tasks.

    :param oldest: of waiting tasks, as of ``ledger.oldest_by_queue``, if that is known.
    """
    each = " UNION ALL ".join(
        f"SELECT '{state.value}', queue, COUNT(*) FROM ({of_state(state, 'queue', MANY)}) "
        f"{state.value} GROUP BY queue"
        for state in states
    )
    found: Counts = {}
    for state, queue, number in fetch(each):
        found.setdefault(queue, {})[state] = number
    at_least = frozenset(state for state in states if total(found, state=state) >= MANY)
    if State.WAITING in at_least:
        for queue, waiting in ledger.waiting_by_queue(oldest).items():
            found.setdefault(queue, {})[State.WAITING] = waiting.number
    return CountsByQueue(found, at_least)


def exact_counts() -> Counts:
    """Return how many tasks there are by queue and state; this reads all entries of the indexes."""
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


def by_subject(limit: int = 50) -> list[OfSubject]:
    """Return the objects of the newest tasks, those with most tasks first."""
    condition = "subject_type_id IS NOT NULL"
    return [OfSubject(*row) for row in _groups("subject_type_id, subject_id", condition, limit)]


def by_user(limit: int = 50) -> list[OfUser]:
    """Return the users who have triggered the newest tasks, those with most tasks first."""
    return [OfUser(*row) for row in _groups("user_id", "user_id IS NOT NULL", limit)]


def by_error(limit: int = 50) -> list[OfError]:
    """Return the errors of the newest failed tasks, the most frequent first."""
    recent = of_state(State.FAILED, "id, error_type, function", RECENT)
    return [OfError(*row) for row in _grouped(recent, "error_type, function", "1 = 1", limit)]


def releases(limit: int) -> list[tuple[int, str, bool]]:
    """Return the newest workers, the oldest of them first, by primary key.

    :returns: of each, the release, and whether it ran one of the newest tasks.
    """
    recent = f"SELECT id, worker_id FROM {_TABLE} ORDER BY id DESC LIMIT {RECENT}"
    ran = f"SELECT worker_id FROM ({recent}) recent WHERE worker_id IS NOT NULL"
    release = connections[ledger.database()].ops.quote_name("release")  # a word of MariaDB's
    workers = f"SELECT id, {release}, id IN ({ran}) FROM {_WORKERS}"
    rows = fetch(f"{workers} ORDER BY id DESC LIMIT {limit}")
    return [(pk, release, bool(ran)) for pk, release, ran in reversed(rows)]


def workers_alive() -> list[Worker]:
    """Return the workers that are alive, by primary key."""
    return list(ledger.alive().order_by("pk"))


def oldest_waiting(oldest: Mapping[str, Oldest] | None = None) -> BackgroundTask | None:
    """Return the task that has waited longest for a worker, without its large columns.

    Three queries; MySQL and MariaDB need one more for each queue and priority.

    :param oldest: as of ``ledger.oldest_by_queue``, if that is known.
    """
    found = (ledger.oldest_by_queue() if oldest is None else oldest).values()
    first = min(found, key=lambda each: (each.since, each.task), default=None)
    if first is None:
        return None
    tasks = BackgroundTask.objects.using(ledger.database()).defer(*ledger.LARGE)
    return tasks.select_related("subject_type").filter(pk=first.task).first()


def first_enqueued() -> BackgroundTask | None:
    """Return the waiting task that was enqueued first, without its large columns; one query.

    It reads an index of all that wait, so it is for who knows that these are few.
    """
    tasks = BackgroundTask.objects.using(ledger.database())
    # By a sum, so that no database scans all ended tasks in search of the first that waits.
    waiting = tasks.filter(state=State.WAITING).order_by(F("pk") + 0)
    keys = waiting.values_list("pk", flat=True)[:1]
    shown = tasks.defer(*ledger.LARGE).select_related("subject_type")
    return shown.filter(pk=keys[0]).first() if keys else None


def waits_since(row: BackgroundTask) -> datetime.datetime:
    """Return the time from which on a waiting task could have run."""
    since: datetime.datetime = max(row.enqueued_at, row.run_at or row.enqueued_at)
    return since


def _rows(tasks: QuerySet[BackgroundTask], limit: int) -> list[BackgroundTask]:
    return list(tasks.defer(*ledger.LARGE).select_related("subject_type")[:limit])


def of_state(state: State, columns: str, limit: int, *, last: bool = True) -> str:
    """Return a query for tasks in a state: the newest if it is final, any of them if it is not.

    :param last: ``False`` for the oldest in place of the newest.
    """
    connection = connections[ledger.database()]
    where, index = f"state = '{state.value}'", ""
    if state.is_final:
        # The condition of the index, but where it has none, and would not know that this is so.
        ended = "" if connection.vendor == "mysql" else " AND finished_at IS NOT NULL"
        where, index = (
            f"{where}{ended} ORDER BY id{' DESC' if last else ''}",
            forced(connection, "bgtask_state"),
        )
    elif connection.vendor == "mysql":
        index = forced(connection, "bgtask_queue")  # which has them all, and what is asked for
    elif state is State.WAITING:
        where = f"{where} ORDER BY queue"
    elif state is State.SCHEDULED:
        where = f"{where} ORDER BY run_at"
    return f"SELECT {columns} FROM {_TABLE}{index} WHERE {where} LIMIT {limit}"


def _groups(columns: str, condition: str, limit: int) -> list[tuple[Any, ...]]:
    """Return groups of the newest tasks."""
    recent = f"SELECT id, {columns} FROM {_TABLE} ORDER BY id DESC LIMIT {RECENT}"
    return _grouped(recent, columns, condition, limit)


def _grouped(recent: str, columns: str, condition: str, limit: int) -> list[tuple[Any, ...]]:
    """Return groups with their sizes; of equal ones, the one with the newest task first.

    Django's ORM cannot express groups of a query that has a limit.
    """
    return fetch(
        f"SELECT {columns}, COUNT(*), MAX(id) FROM ({recent}) recent WHERE {condition} "
        f"GROUP BY {columns} ORDER BY COUNT(*) DESC, MAX(id) DESC LIMIT %s",
        [limit],
    )


def fetch(statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    """Return the rows of a statement in the ledger's database."""
    with connections[ledger.database()].cursor() as cursor:
        cursor.execute(statement, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
