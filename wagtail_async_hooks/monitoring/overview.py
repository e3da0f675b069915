"""What an overview of the ledger shows, in an instant however many tasks there are.

Each of these is one statement that reads a bounded number of rows by an index: of counts, what
is beyond :data:`MANY` is not counted, and groups are those of the newest :data:`RECENT` tasks.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.db import connections
from django.db.models import QuerySet

from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger.selection import forced
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State

MANY: Final = 10_000
"""So many tasks in a state are counted."""

RECENT: Final = 10_000
"""So many tasks are looked at for groups of them."""

_TABLE: Final = BackgroundTask._meta.db_table
_ORDERS: Final = {
    State.WAITING: ("-priority", "pk"),
    State.SCHEDULED: ("run_at",),
    State.RUNNING: ("started_at",),
}


class Count(NamedTuple):
    """How many tasks there are.

    :param is_all: whether there are no more than that.
    """

    number: int
    is_all: bool


class OfSubject(NamedTuple):
    """How many of the newest tasks are about an object.

    :param subject_type: primary key of its content type.
    :param subject_id: its own, as a text.
    :param newest: primary key of the newest of these tasks.
    """

    subject_type: int
    subject_id: str
    number: int
    newest: int


class OfUser(NamedTuple):
    """How many of the newest tasks a user has triggered.

    :param user: primary key.
    :param newest: primary key of the newest of these tasks.
    """

    user: Any
    number: int
    newest: int


class OfError(NamedTuple):
    """How many of the tasks that failed last have failed in the same function with the same error.

    :param error_type: dotted path of the exception's class.
    :param function: dotted path.
    :param newest: primary key of the newest of these tasks.
    """

    error_type: str
    function: str
    number: int
    newest: int


def newest(tasks: QuerySet[BackgroundTask], limit: int = 50) -> list[BackgroundTask]:
    """Return the newest of some tasks first, but for their large columns.

    It is quick for all tasks, and for those that ended in one state, of one object, or of one user.

    :param tasks: those of :func:`wagtail_async_hooks.queue.control.select`.
    """
    return _rows(tasks.order_by("-pk"), limit)


def first(state: State, limit: int = 50) -> list[BackgroundTask]:
    """Return the tasks in a state in the order that tells most, but for their large columns.

    What has ended, the newest first; what waits, in the order in which it will begin; what is
    scheduled, the soonest first; what runs, the longest first. An index knows each order, but for
    the few that run: the newest of a million that wait could not be found without one more index,
    to which every claim would write.
    """
    return _rows(control.select(state=state).order_by(*_ORDERS.get(state, ("-pk",))), limit)


def counts() -> dict[State, Count]:
    """Return how many tasks there are in each state, of which so many are counted: :data:`MANY`."""
    each = " UNION ALL ".join(
        f"SELECT '{state.value}', COUNT(*) FROM ({_of_state(state, 'id', MANY + 1)}) {state.value}"
        for state in State
    )
    found = {State(state): number for state, number in _fetch(each)}
    return {state: Count(min(number, MANY), number <= MANY) for state, number in found.items()}


def by_subject(limit: int = 50) -> list[OfSubject]:
    """Return which objects the newest tasks are about, those with most of them first."""
    condition = "subject_type_id IS NOT NULL"
    return [OfSubject(*row) for row in _groups("subject_type_id, subject_id", condition, limit)]


def by_user(limit: int = 50) -> list[OfUser]:
    """Return who has triggered the newest tasks, those with most of them first."""
    return [OfUser(*row) for row in _groups("user_id", "user_id IS NOT NULL", limit)]


def by_error(limit: int = 50) -> list[OfError]:
    """Return what went wrong with the tasks that failed last, the most frequent first."""
    recent = _of_state(State.FAILED, "id, error_type, function", RECENT)
    return [OfError(*row) for row in _grouped(recent, "error_type, function", "1 = 1", limit)]


def _rows(tasks: QuerySet[BackgroundTask], limit: int) -> list[BackgroundTask]:
    return list(tasks.defer(*ledger.LARGE).select_related("subject_type")[:limit])


def _of_state(state: State, columns: str, limit: int) -> str:
    """Return a query for the newest that ended in a state, or for any that are in another one."""
    connection = connections[ledger.database()]
    where, index = f"state = '{state.value}'", ""
    if state.is_final:
        # The condition of the index, but where it has none, and would not know that this is so.
        ended = "" if connection.vendor == "mysql" else " AND finished_at IS NOT NULL"
        where, index = f"{where}{ended} ORDER BY id DESC", forced(connection, "bgtask_state")
    return f"SELECT {columns} FROM {_TABLE}{index} WHERE {where} LIMIT {limit}"


def _groups(columns: str, condition: str, limit: int) -> list[tuple[Any, ...]]:
    """Return groups of the newest tasks."""
    recent = f"SELECT id, {columns} FROM {_TABLE} ORDER BY id DESC LIMIT {RECENT}"
    return _grouped(recent, columns, condition, limit)


def _grouped(recent: str, columns: str, condition: str, limit: int) -> list[tuple[Any, ...]]:
    """Return groups with their numbers; of those that are as large, the one with the newest first.

    Django's ORM has no words for groups of some rows that come first.
    """
    return _fetch(
        f"SELECT {columns}, COUNT(*), MAX(id) FROM ({recent}) recent WHERE {condition} "
        f"GROUP BY {columns} ORDER BY COUNT(*) DESC, MAX(id) DESC LIMIT %s",
        [limit],
    )


def _fetch(statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connections[ledger.database()].cursor() as cursor:
        cursor.execute(statement, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
