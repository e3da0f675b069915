"""Selects the waiting task that a claim takes: by priority and age, within a worker's bounds.

Without bounds that is the first of all. With them, it is the first of all if that is within them;
else the queues are looked at one by one, each by its own index, so that a task behind a million of
another queue is found as quickly.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeGuard

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.ledger import raw_sql
from wagtail_async_hooks.ledger.base import TABLE, lock_of
from wagtail_async_hooks.types import Bounds, Claim

# The conditions of the indexes, word by word: SQLite would not use them otherwise.
_ALONE: Final = (
    f"NOT EXISTS (SELECT 1 FROM {TABLE} other WHERE other.state = 'running' "
    "AND NOT (other.exclusive_key = '') "
    f"AND other.exclusive_key = {TABLE}.exclusive_key)"
)
_TAKEN: Final = (
    f"SELECT 1 FROM {TABLE} taken WHERE taken.state = 'running' AND taken.slot IS NOT NULL "
    "AND taken.queue = %s"
)
_LOWEST_SLOT: Final = (
    f"(SELECT MIN(number) FROM (SELECT 0 AS number UNION ALL "
    f"{_TAKEN.replace('SELECT 1', 'SELECT taken.slot + 1')}) candidate "
    f"WHERE NOT EXISTS ({_TAKEN} AND taken.slot = candidate.number))"
)
"""The lowest number that no running task of a queue has; its parameter is the queue, twice."""

_CLAIMABLE: Final = "state = 'waiting' AND blocked = FALSE"

_OF_ALL: Final = "priority DESC, id"

_QUEUES: Final = 10_000
"""So many queues are looked at. It keeps PostgreSQL from looking at each several times."""


class Sql(NamedTuple):
    """A piece of SQL, with the parameters for it."""

    text: str
    parameters: tuple[Any, ...] = ()


class Choice(NamedTuple):
    """Which row to claim: the first one in an order that meets a condition.

    :param order: blank if the condition names one row.
    :param by: the index that has to serve it, on MySQL and MariaDB, which might take another one.
    """

    where: Sql
    order: str = ""
    by: str = ""

    def source(self, connection: BaseDatabaseWrapper) -> str:
        """Return what follows ``SELECT …`` to find it, with the parameters of ``where``."""
        first = f" ORDER BY {self.order} LIMIT 1" if self.order else ""
        return f"FROM {TABLE}{forced(connection, self.by)} WHERE {self.where.text}{first}"


class Slot(NamedTuple):
    """A place within the limit of a queue, which nobody else can take at this moment."""

    queue: str
    number: int

    @classmethod
    def of(cls, claim: Claim) -> Slot | None:
        """Return the place that a task has, if its queue has a limit."""
        return None if claim.slot is None else cls(claim.queue, claim.slot)


def choices(
    connection: BaseDatabaseWrapper, suspects: bool, bounds: Bounds, freed: Slot | None = None
) -> Iterator[Choice]:
    """Return what to claim, in the order in which to try it; nothing waits if nothing is found.

    :param suspects: ``False`` to pass over tasks that a worker has died of.
    :param freed: the place of a task that ends by the same statement, if it has one.
    """
    if connection.vendor == "sqlite":
        limits = tuple(bounds.limits.items())
        yield _choice_on_sqlite(connection.alias, suspects, bounds[:4], limits, freed)
        return
    waiting = _waiting(suspects)
    if not bounds:
        yield Choice(Sql(f"{waiting} AND {_free(connection)}"), _OF_ALL)
        return
    if not bounds.queues:
        yield _first_of_all(connection, waiting, bounds)
    for queue in _queues_in_order(connection, waiting, bounds):
        if queue in bounds.limits:
            yield _head_of(connection, queue, waiting, bounds)
        else:
            yield _first_in(connection, queue, waiting, bounds)


# Making the text takes as long as a tenth of running it.
@functools.lru_cache(maxsize=64)
def _choice_on_sqlite(
    alias: str,
    suspects: bool,
    names: tuple[tuple[str, ...], ...],
    limits: tuple[tuple[str, int], ...],
    freed: Slot | None,
) -> Choice:
    """Return the only choice where no row is locked: the first task within the bounds.

    :param names: the other bounds, as they follow one another.
    """
    connection, waiting = connections[alias], _waiting(suspects)
    queues, left_out, hooks, functions = names
    bounds = Bounds(queues, left_out, hooks, functions, dict(limits))
    if not bounds:
        return Choice(Sql(f"{waiting} AND {_free(connection)}"), _OF_ALL)
    if len(queues) == 1 and not limits and not set(queues) & set(left_out):
        return _first_in(connection, queues[0], waiting, bounds)
    heads = _heads_in_order(connection, waiting, bounds, queues, "id", freed)
    if queues:
        return Choice(Sql(f"id = ({heads.text} LIMIT 1)", heads.parameters))
    first = _first_of_all(connection, waiting, bounds, freed).where
    text = f"id = COALESCE((SELECT id FROM {TABLE} WHERE {first.text}), ({heads.text} LIMIT 1))"
    return Choice(Sql(text, first.parameters + heads.parameters))


def slot_of(bounds: Bounds, freed: Slot | None = None) -> Sql:
    """Return the number that a claimed task gets among those of its queue that may run at once.

    :param freed: as for :func:`choices`.
    """
    return _slot_of(tuple(bounds.limits.items()), freed) if bounds.limits else Sql("NULL")


@functools.lru_cache(maxsize=64)
def _slot_of(limits: tuple[tuple[str, int], ...], freed: Slot | None) -> Sql:
    cases = "CASE queue"
    parameters: list[Any] = []
    for queue, limit in limits:
        if _is_within(freed, queue, limit):
            cases += " WHEN %s THEN %s"
            parameters += (queue, freed.number)
        else:
            cases += f" WHEN %s THEN {_LOWEST_SLOT}"
            parameters += (queue, queue, queue)
    return Sql(f"{cases} END", tuple(parameters))


def _is_within(freed: Slot | None, queue: str, limit: int) -> TypeGuard[Slot]:
    """Return whether a place is one of a queue's, as long as it has this limit."""
    return freed is not None and freed.queue == queue and freed.number < limit


def _waiting(suspects: bool) -> str:
    return _CLAIMABLE if suspects else f"{_CLAIMABLE} AND deaths = 0"


class First(NamedTuple):
    """The task that comes next of some."""

    pk: int
    priority: int
    blocked: bool


def first_of_queue(connection: BaseDatabaseWrapper, queue: str) -> First | None:
    """Return the task that comes next in a queue."""
    where = Sql(f"{_CLAIMABLE} AND queue = %s", (queue,))
    return _first(connection, Choice(where, _in_order(connection), "bgtask_queue"))


def first_of_key(connection: BaseDatabaseWrapper, key: str) -> First | None:
    """Return the task that comes next with an exclusive key."""
    return _first(connection, _of_key(connection, key))


def _of_key(connection: BaseDatabaseWrapper, key: str) -> Choice:
    where = "state = 'waiting' AND NOT (exclusive_key = '') AND exclusive_key = %s"
    return Choice(Sql(where, (key,)), _in_order(connection), "bgtask_exclusive_next")


def _first(connection: BaseDatabaseWrapper, choice: Choice) -> First | None:
    statement = f"SELECT id, priority, blocked {choice.source(connection)}"
    for pk, priority, blocked in raw_sql.rows_of(connection, statement, choice.where.parameters):
        return First(pk, priority, bool(blocked))
    return None


def unblocked_of_key(
    connection: BaseDatabaseWrapper, key: str, number: int, *, past: int
) -> list[int]:
    """Return primary keys of tasks that wait for an exclusive key and are not blocked, in order.

    :param number: so many at most.
    :param past: how many are passed over.
    """
    choice = _of_key(connection, key)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {TABLE}{forced(connection, choice.by)} WHERE {choice.where.text} "
            f"AND blocked = FALSE ORDER BY {choice.order} LIMIT {number:d} OFFSET {past:d}",
            choice.where.parameters,
        )
        return [pk for (pk,) in cursor.fetchall()]


def forced(connection: BaseDatabaseWrapper, index: str) -> str:
    """Return what follows a table's name where the database has to be told which index to use."""
    return f" FORCE INDEX ({index})" if index and connection.vendor == "mysql" else ""


def _first_of_all(
    connection: BaseDatabaseWrapper, waiting: str, bounds: Bounds, freed: Slot | None = None
) -> Choice:
    """The first of all tasks, if it is within the bounds."""
    lock = "" if connection.vendor == "mysql" else lock_of(connection)
    waits = f"{waiting} AND {_free(connection)}"
    first = f"SELECT id FROM {TABLE} WHERE {waits} ORDER BY {_OF_ALL} LIMIT 1{lock}"
    within = _within(connection, waiting, bounds, freed)
    return Choice(_both(Sql(f"{waiting} AND id = ({first})"), within))


def _free(connection: BaseDatabaseWrapper) -> str:
    """Return the condition that no task with the same exclusive key runs, or waits before it.

    Also none that another worker is about to claim, whose row is passed over since it is locked.
    """
    return f"(exclusive_key = '' OR ({_ALONE} AND {_is_first_of_key(connection)}))"


def _is_first_of_key(connection: BaseDatabaseWrapper) -> str:
    return (
        f"{TABLE}.id = (SELECT other.id FROM {TABLE} other"
        f"{forced(connection, 'bgtask_exclusive_next')} WHERE other.state = 'waiting' "
        "AND NOT (other.exclusive_key = '') "
        f"AND other.exclusive_key = {TABLE}.exclusive_key "
        f"ORDER BY {_in_order(connection)} LIMIT 1)"
    )


def _first_in(connection: BaseDatabaseWrapper, queue: str, waiting: str, bounds: Bounds) -> Choice:
    """The first task of a queue that has no limit."""
    where = _of_queue(connection, waiting, bounds)
    where = where._replace(parameters=(queue, *where.parameters))
    return Choice(where, _in_order(connection), "bgtask_queue")


def _head_of(connection: BaseDatabaseWrapper, queue: str, waiting: str, bounds: Bounds) -> Choice:
    """The head of a queue that has a limit, and no other row.

    Another worker may have locked it, only to find that somebody else took the place that was free.
    Who skips it meanwhile would let another task run before it.
    """
    head = _head(connection, waiting, bounds)
    where = Sql(f"{waiting} AND id = {head.text}", (queue, *head.parameters))
    return Choice(_both(where, _room(bounds)))


def _head(connection: BaseDatabaseWrapper, waiting: str, bounds: Bounds, queue: str = "%s") -> Sql:
    """Return a query for the first task of a queue."""
    where = _of_queue(connection, waiting, bounds, queue)
    first = Choice(where, _in_order(connection), "bgtask_queue")
    return Sql(f"(SELECT id {first.source(connection)})", where.parameters)


def _in_order(connection: BaseDatabaseWrapper) -> str:
    """Return the order within a queue, or of those with one exclusive key.

    PostgreSQL would take the index of all tasks for "priority DESC" where the statistics know of
    one queue or key only, and read past all others. Theirs have an expression instead.
    """
    return _OF_ALL if connection.vendor == "mysql" else "(-1 - priority), id"


def _queues_in_order(
    connection: BaseDatabaseWrapper, waiting: str, bounds: Bounds
) -> Iterable[str]:
    """Return the queues in which something may be claimed, by their first tasks."""
    if len(bounds.queues) == 1:
        return [queue for queue in bounds.queues if queue not in bounds.left_out]
    queues = bounds.queues
    if not queues and connection.vendor == "mysql":
        queues = _queues_one_by_one(connection)
        if not queues:
            return []
    heads = _heads_in_order(connection, waiting, bounds, queues, "queue")
    return [queue for (queue,) in raw_sql.rows_of(connection, heads.text, heads.parameters)]


def _heads_in_order(
    connection: BaseDatabaseWrapper,
    waiting: str,
    bounds: Bounds,
    queues: tuple[str, ...],
    column: str,
    freed: Slot | None = None,
) -> Sql:
    """Return the query for the first tasks of some queues, or of all, by priority and age.

    :param column: what it tells of each.
    """
    found, served = _named(queues)
    within = _room(bounds, freed, "found.queue")
    if bounds.left_out:
        names = ", ".join(["%s"] * len(bounds.left_out))
        within = _both(within, Sql(f"found.queue NOT IN ({names})", bounds.left_out))
    head = _head(connection, waiting, bounds, "found.queue")
    statement = (
        f"WITH RECURSIVE found (queue) AS ({found}) SELECT {TABLE}.{column} FROM "
        f"(SELECT {head.text} AS id FROM found "
        f"WHERE found.queue IS NOT NULL AND {within.text} LIMIT {_QUEUES}) first "
        f"JOIN {TABLE} ON {TABLE}.id = first.id ORDER BY {_OF_ALL.replace('id', f'{TABLE}.id')}"
    )
    return Sql(statement, (*served, *head.parameters, *within.parameters))


def _queues_one_by_one(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    """Return the queues that have waiting tasks; MySQL and MariaDB would read all in one go."""
    queues: list[str] = []
    statement = (
        f"SELECT queue FROM {TABLE}{forced(connection, 'bgtask_queue')} "
        "WHERE state = 'waiting' AND queue > %s ORDER BY queue LIMIT 1"
    )
    with connection.cursor() as cursor:
        while True:
            cursor.execute(statement, [queues[-1] if queues else ""])
            found = cursor.fetchone()
            if found is None or len(queues) == _QUEUES:
                return tuple(queues)
            queues.append(found[0])


def _named(queues: tuple[str, ...]) -> Sql:
    """Return some queues, or without any, all that have waiting tasks: from one to the next."""
    if queues:
        return Sql(" UNION ALL ".join(["SELECT %s"] * len(queues)), queues)
    following = f"SELECT queue FROM {TABLE} WHERE state = 'waiting'"
    return Sql(
        f"SELECT ({following} ORDER BY queue LIMIT 1) UNION ALL SELECT ({following} "
        "AND queue > found.queue ORDER BY queue LIMIT 1) FROM found WHERE found.queue IS NOT NULL"
    )


def _of_queue(
    connection: BaseDatabaseWrapper, waiting: str, bounds: Bounds, queue: str = "%s"
) -> Sql:
    waits = Sql(f"{waiting} AND queue = {queue} AND {_free(connection)}")
    return _both(waits, _not_paused(bounds))


def _within(
    connection: BaseDatabaseWrapper, waiting: str, bounds: Bounds, freed: Slot | None
) -> Sql:
    """Return the condition for a row to be within the bounds; of a limited queue, only the head."""
    within = _both(_not_paused(bounds), _room(bounds, freed))
    for text, queues in (("queue IN", bounds.queues), ("queue NOT IN", bounds.left_out)):
        if queues:
            within = _both(within, Sql(f"{text} ({', '.join(['%s'] * len(queues))})", queues))
    if bounds.limits and connection.vendor != "sqlite":  # which passes over no head that is locked
        head = _head(connection, waiting, bounds)
        cases = " ".join([f"WHEN %s THEN id = {head.text}"] * len(bounds.limits))
        given = [value for queue in bounds.limits for value in (queue, queue, *head.parameters)]
        within = _both(within, Sql(f"CASE queue {cases} ELSE TRUE END", tuple(given)))
    return within


def _not_paused(bounds: Bounds) -> Sql:
    paused = Sql("TRUE")
    for column, names in (("hook", bounds.hooks), ("function", bounds.functions)):
        if names:
            names_in = f"{column} NOT IN ({', '.join(['%s'] * len(names))})"
            paused = _both(paused, Sql(names_in, names))
    return paused


def _room(bounds: Bounds, freed: Slot | None = None, queue: str = "queue") -> Sql:
    """Return the condition that one of the slots that a row's queue has is free."""
    if not bounds.limits:
        return Sql("TRUE")
    taken = f"{_TAKEN.replace('SELECT 1', 'SELECT COUNT(*)')} AND taken.slot < %s"
    cases = f"CASE {queue}"
    given: list[Any] = []
    for name, limit in bounds.limits.items():
        if _is_within(freed, name, limit):
            continue
        cases += f" WHEN %s THEN ({taken}) < %s"
        given += (name, name, limit, limit)
    return Sql(f"{cases} ELSE TRUE END", tuple(given)) if given else Sql("TRUE")


def _both(one: Sql, other: Sql) -> Sql:
    if other.text == "TRUE":
        return one
    if one.text == "TRUE":
        return other
    return Sql(f"{one.text} AND {other.text}", one.parameters + other.parameters)
