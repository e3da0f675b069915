"""What waits in each queue: how many tasks, and which of them has waited longest.

A few statements for all queues, each of which reads little of the index of what waits, however
many tasks that are.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Final, NamedTuple

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.ledger.base import TABLE, database
from wagtail_async_hooks.ledger.selection import forced
from wagtail_async_hooks.models import BackgroundTask

MANY: Final = 10_000
"""Number of waiting tasks of a queue beyond which they are not counted."""

TOGETHER: Final = 50_000
"""The same of all queues together."""

_FEWER: Final = (5_000, 2_000, 1_000, 500, 200)
"""What takes the place of :data:`MANY` where there are many queues."""

_FIRST: Final = 25
"""So many tasks of one priority are looked at to find the one that has waited longest: the first
ones are the oldest, but may have been put off."""

_GROUPS: Final = 200
"""So many groups of tasks are looked at: those of a queue and a priority, blocked or not."""


class Oldest(NamedTuple):
    """The task of a queue that has waited longest.

    :param task: primary key.
    :param since: from when on it could have run.
    """

    task: int
    since: datetime.datetime


class Waiting(NamedTuple):
    """How many tasks of a queue wait.

    :param number: up to what :func:`most_of_each` says.
    :param is_all: whether there are no more than that.
    :param since: from when on the one that has waited longest could have run.
    """

    number: int
    is_all: bool
    since: datetime.datetime


def most_of_each(queues: int) -> int:
    """Return up to how many waiting tasks of each queue are counted, if there are so many."""
    steps = (MANY, *_FEWER)
    return next((most for most in steps if most * queues <= TOGETHER), steps[-1])


def waiting_by_queue(oldest: Mapping[str, Oldest] | None = None) -> dict[str, Waiting]:
    """Return how many tasks wait in each queue, as far as they are counted.

    :param oldest: what :func:`oldest_by_queue` has returned, if that is known.
    """
    oldest = oldest_by_queue() if oldest is None else oldest
    most = most_of_each(len(oldest))
    numbers = _counted(oldest, most + 1)
    return {
        queue: Waiting(min(numbers[queue], most), numbers[queue] <= most, found.since)
        for queue, found in oldest.items()
    }


def count_waiting(queue: str) -> int:
    """Return how many tasks wait in a queue, up to :data:`MANY`; one query."""
    return _counted([queue], MANY)[queue]


def oldest_by_queue() -> dict[str, Oldest]:
    """Return the task that has waited longest, of each queue in which any waits."""
    connection = connections[database()]
    find = _oldest_one_by_one if connection.vendor == "mysql" else _oldest
    rows = BackgroundTask.objects.using(connection.alias).filter(pk__in=find(connection))
    found: dict[str, Oldest] = {}
    for key, queue, enqueued_at, run_at in rows.values_list("pk", "queue", "enqueued_at", "run_at"):
        oldest = Oldest(key, max(enqueued_at, run_at or enqueued_at))
        known = found.setdefault(queue, oldest)
        if (oldest.since, key) < (known.since, known.task):
            found[queue] = oldest
    return {queue: found[queue] for queue in sorted(found)}


def _counted(queues: Iterable[str], most: int) -> dict[str, int]:
    """Return how many tasks wait in some queues, of each up to so many; one query."""
    names = list(queues)
    if not names:
        return {}
    connection = connections[database()]
    index = forced(connection, "bgtask_queue")
    some = f"SELECT id FROM {TABLE}{index} WHERE state = 'waiting' AND queue ="
    if connection.vendor == "mysql":  # where a query within FROM knows nothing of what is around it
        each = (
            f"SELECT {number}, COUNT(*) FROM ({some} %s LIMIT {most}) queue_{number}"
            for number in range(len(names))
        )
        statement = " UNION ALL ".join(each)
    else:
        named = " UNION ALL ".join(f"SELECT {number}, %s" for number in range(len(names)))
        statement = (
            f"WITH named (number, name) AS ({named}) SELECT number, "
            f"(SELECT COUNT(*) FROM ({some} named.name LIMIT {most}) counted) FROM named"
        )
    with connection.cursor() as cursor:
        cursor.execute(statement, names)
        return {names[number]: int(found) for number, found in cursor.fetchall()}


def _oldest(connection: BaseDatabaseWrapper) -> list[int]:
    """Return the task of each group that has waited longest, by primary key.

    From one group to the next, by the heads of the groups; one query.
    """
    waiting = f"SELECT id FROM {TABLE} WHERE state = 'waiting'"
    # As of the index, see selection.py.
    order = "ORDER BY queue, blocked, (-1 - priority), id LIMIT 1"
    same = "queue = last.queue AND blocked = last.blocked AND (-1 - priority) > -1 - last.priority"
    blocked = "queue = last.queue AND blocked = TRUE AND last.blocked = FALSE"
    group = "queue = head.queue AND blocked = head.blocked AND (-1 - priority) = -1 - head.priority"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE heads (id) AS (SELECT ({waiting} {order}) UNION ALL SELECT COALESCE("
            f"({waiting} AND {same} {order}), ({waiting} AND {blocked} {order}), "
            f"({waiting} AND queue > last.queue {order})) "
            f"FROM heads JOIN {TABLE} last ON last.id = heads.id) "
            f"SELECT ({_longest(TABLE, group)}) FROM (SELECT id FROM heads LIMIT {_GROUPS}) found "
            f"JOIN {TABLE} head ON head.id = found.id"
        )
        return [key for (key,) in cursor.fetchall() if key is not None]


def _longest(source: str, group: str) -> str:
    """Return a query for the task of a group that has waited longest, as far as it looks."""
    since = "CASE WHEN run_at > enqueued_at THEN run_at ELSE enqueued_at END"
    return (
        f"SELECT id FROM (SELECT id, {since} AS since FROM {source} "
        f"WHERE state = 'waiting' AND {group} ORDER BY id LIMIT {_FIRST}) first "
        "ORDER BY since, id LIMIT 1"
    )


# On MySQL and MariaDB -------------------------------------------------------------------------
#
# They would read all tasks if they were asked for all groups at once.


def _oldest_one_by_one(connection: BaseDatabaseWrapper) -> list[int]:
    """The same; one query for each group, and one more."""
    source = f"{TABLE}{forced(connection, 'bgtask_queue')}"
    groups = list(islice(_groups(connection, source), _GROUPS))
    if not groups:
        return []
    longest = _longest(source, "queue = %s AND blocked = %s AND priority = %s")
    each = [f"SELECT id FROM ({longest}) group_{number}" for number in range(len(groups))]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each), list(chain.from_iterable(groups)))
        return [key for (key,) in cursor.fetchall()]


def _groups(connection: BaseDatabaseWrapper, source: str) -> Iterator[tuple[str, bool, int]]:
    """Yield queue, whether claims pass over it, and priority of each group that waits."""
    waiting = f"SELECT queue, blocked, priority FROM {source} WHERE state = 'waiting'"
    order = "ORDER BY queue, blocked, priority DESC LIMIT 1"
    following = (
        f"{waiting} AND ((queue = %s AND blocked = %s AND priority < %s) "
        f"OR (queue = %s AND blocked > %s) OR queue > %s) {order}"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"{waiting} {order}")
        while (group := cursor.fetchone()) is not None:
            yield group
            queue, blocked, priority = group
            cursor.execute(following, [queue, blocked, priority, queue, blocked, queue])
