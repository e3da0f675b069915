"""What charts are made of: how attempts ended, and how many tasks waited, by five minutes."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from django.db import IntegrityError, connections
from django.db.models import F, Value
from django.db.models.functions import Greatest

from wagtail_async_hooks.ledger.base import BATCH, TABLE, clock, database
from wagtail_async_hooks.ledger.locks import brief, free
from wagtail_async_hooks.ledger.selection import forced
from wagtail_async_hooks.models import BackgroundTask, QueueSample, TaskStatistic
from wagtail_async_hooks.types import Counted, State, Tally
from wagtail_async_hooks.utils.database.instants import DatabaseNow

STEP: Final = datetime.timedelta(minutes=5)
"""What a row is about."""

STATISTICS_KEPT: Final = datetime.timedelta(days=8)
"""How long rows stay: charts show a week."""

MANY: Final = 10_000
"""Number of waiting tasks of a queue beyond which they are not counted."""

COARSE_AFTER: Final = datetime.timedelta(hours=25)
"""The age from which on rows are about half an hour and all workers: longer bars show no more."""

COARSE_STEP: Final = datetime.timedelta(minutes=30)

ALL_WORKERS: Final = -1
"""The worker of these rows; none has this primary key."""

BATCHES: Final = 20
"""So many batches of old rows are deleted at once."""

_FIRST: Final = 100
"""So many tasks of one priority are looked at to find the one that has waited longest: the first
ones are the oldest, but may have been put off."""

_GROUPS: Final = 200
"""So many pairs of a queue and a priority are looked at."""

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

Rows = dict[Counted, int]
"""Primary keys of the rows of one worker and five minutes."""


def start_of(moment: datetime.datetime, step: datetime.timedelta = STEP) -> datetime.datetime:
    """Return when the five minutes began that a time is in."""
    return _EPOCH + (moment - _EPOCH) // step * step


# Attempts -----------------------------------------------------------------------------------


def record_statistics(
    worker: int, start: datetime.datetime, totals: Mapping[Counted, Tally], known: Rows | None
) -> Rows:
    """Record what a worker has done since five minutes began.

    It writes totals rather than what came to them, so that it may be repeated when it is not known
    whether a transaction was committed. Nobody else writes to these rows.

    :param worker: primary key of its row.
    :param totals: those that are new, or other than before.
    :param known: the primary keys of the worker's rows; ``None`` to read them.
    :returns: the same, with those of new rows.
    """
    alias = database()
    rows = TaskStatistic.objects.using(alias)
    with brief(alias):
        keys = _keys(worker, start) if known is None else dict(known)
        for counted, tally in sorted(totals.items()):
            key = keys.get(counted)
            if key is not None and rows.filter(pk=key).update(**tally._asdict()):
                continue
            own = {"worker_id": worker, "start": start, **counted._asdict()}
            keys[counted] = rows.create(**own, **tally._asdict()).pk
    return keys


def _keys(worker: int, start: datetime.datetime) -> Rows:
    rows = TaskStatistic.objects.using(database()).filter(start=start, worker=worker)
    columns = rows.values_list("pk", *Counted._fields)
    return {Counted(*counted): pk for pk, *counted in columns}


# Waiting tasks ------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """How many tasks of a queue wait.

    :param number: up to :data:`MANY`, unless more was asked for.
    :param since: from when on the one that has waited longest could have run.
    """

    number: int
    since: datetime.datetime


def sample_queues() -> None:
    """Record how many tasks wait in each queue, if that is more than before in these five minutes.

    To be called by one worker at a time; the worst that others could do is to come first.
    """
    waiting = waiting_by_queue()
    if not waiting:
        return
    now = clock()
    start = start_of(now)
    rows = QueueSample.objects.using(database())
    for queue, found in sorted(waiting.items()):
        oldest = max(0.0, (now - found.since).total_seconds())
        more = {
            "waiting": Greatest(F("waiting"), Value(found.number)),
            "oldest": Greatest(F("oldest"), Value(oldest)),
        }
        own = rows.filter(start=start, queue=queue)
        with brief(rows.db):
            if own.update(**more):
                continue
        try:
            with brief(rows.db):
                rows.create(start=start, queue=queue, waiting=found.number, oldest=oldest)
        except IntegrityError:  # of another worker, since
            own.update(**more)


def waiting_by_queue(most: int | None = None) -> dict[str, Waiting]:
    """Return how many tasks wait in each queue, by a few short looks at the index for each.

    :param most: number beyond which those of a queue are not counted, in place of :data:`MANY`.
    """
    since: dict[str, datetime.datetime] = {}
    for queue, blocked, priority in islice(_groups(), _GROUPS):
        oldest = _oldest(queue, blocked, priority)
        if oldest is not None:  # somebody has claimed them all, else
            since[queue] = min(oldest, since.get(queue, oldest))
    return {queue: Waiting(count_waiting(queue, most), oldest) for queue, oldest in since.items()}


def _groups() -> Iterator[tuple[str, bool, int]]:
    """Yield what waiting tasks have in common by their index, from one to the next.

    That is the queue, whether claims pass over them, and the priority.
    """
    queue = _next_queue("")
    while queue is not None:
        for blocked in (False, True):
            priority = _next_priority(queue, blocked, None)
            while priority is not None:
                yield queue, blocked, priority
                priority = _next_priority(queue, blocked, priority)
        queue = _next_queue(queue)


def _next_queue(after: str) -> str | None:
    return _first("queue", "queue > %s", [after], "queue")  # type: ignore[return-value]


def _next_priority(queue: str, blocked: bool, below: int | None) -> int | None:
    """Return the highest priority in a queue, or the next one below another."""
    where, order = _priority(database(), below)
    found = _first("priority", f"queue = %s AND blocked = {blocked}{where}", [queue], order)
    return None if found is None else int(found)


def _priority(alias: str, below: int | None) -> tuple[str, str]:
    """Return condition and order as the index has them, see :mod:`.selection`."""
    if connections[alias].vendor == "mysql":
        return "" if below is None else f" AND priority < {below:d}", "priority DESC"
    return "" if below is None else f" AND (-1 - priority) > {-1 - below:d}", "(-1 - priority)"


def _first(column: str, where: str, parameters: list[str], order: str) -> str | int | None:
    connection = connections[database()]
    statement = (
        f"SELECT {column} FROM {TABLE}{forced(connection, 'bgtask_queue')} "
        f"WHERE state = 'waiting' AND {where} ORDER BY {order} LIMIT 1"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        found = cursor.fetchone()
    return None if found is None else found[0]


def _oldest(queue: str, blocked: bool, priority: int) -> datetime.datetime | None:
    """Return from when on the oldest of the first tasks of a queue could have run."""
    rows = BackgroundTask.objects.using(database()).filter(state=State.WAITING, queue=queue)
    rows = rows.filter(blocked=blocked)
    if connections[rows.db].vendor == "mysql":
        rows = rows.filter(priority=priority)
    else:
        rows = rows.alias(place=Value(-1) - F("priority")).filter(place=-1 - priority)
    found = rows.order_by("pk").values_list("enqueued_at", "run_at")[:_FIRST]
    return min((max(moment, due or moment) for moment, due in found), default=None)


def count_waiting(queue: str, most: int | None = None) -> int:
    """Return how many tasks wait in a queue; one query.

    :param most: number beyond which they are not counted, in place of :data:`MANY`.
    """
    connection = connections[database()]
    statement = (
        f"SELECT COUNT(*) FROM (SELECT id FROM {TABLE}{forced(connection, 'bgtask_queue')} "
        f"WHERE state = 'waiting' AND queue = %s LIMIT {most or MANY}) found"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [queue])
        (number,) = cursor.fetchone()
    return int(number)


# Pruning ------------------------------------------------------------------------------------


def merge_statistics() -> int:
    """Merge rows that are about a day old; return of how many half hours, a bounded number.

    So a chart of a week reads few rows, however many workers there were.
    """
    rows = TaskStatistic.objects.using(database())
    fine = rows.exclude(worker=ALL_WORKERS).order_by("start")
    for number in range(BATCHES):
        old = fine.filter(start__lt=DatabaseNow() - COARSE_AFTER)
        first = old.values_list("start", flat=True).first()
        if first is None:
            return number
        _merge(start_of(first, COARSE_STEP))
    return BATCHES


def _merge(start: datetime.datetime) -> None:
    rows = TaskStatistic.objects.using(database())
    with brief(rows.db):
        found = list(free(rows.filter(start__gte=start, start__lt=start + COARSE_STEP)))
        sums: dict[Counted, Tally] = {}
        for row in found:
            counted = Counted(*(getattr(row, name) for name in Counted._fields))
            tally = Tally(*(getattr(row, name) for name in Tally._fields))
            sums[counted] = tally.and_also(sums.get(counted, Tally()))
        own = {"worker_id": ALL_WORKERS, "start": start}
        merged = [
            TaskStatistic(**own, **counted._asdict(), **tally._asdict())
            for counted, tally in sums.items()
        ]
        rows.bulk_create(merged, batch_size=BATCH)
        keys = [row.pk for row in found]
        for place in range(0, len(keys), BATCH):
            rows.filter(pk__in=keys[place : place + BATCH]).delete()


def prune_statistics() -> int:
    """Delete rows that are too old; return how many, which is a bounded number."""
    return sum(_prune(model) for model in (TaskStatistic, QueueSample))


def _prune(model: type[TaskStatistic] | type[QueueSample]) -> int:
    rows = model._default_manager.using(database())
    gone = 0
    for _ in range(BATCHES):
        old = rows.filter(start__lt=DatabaseNow() - STATISTICS_KEPT).order_by("start")
        keys = list(old.values_list("pk", flat=True)[:BATCH])
        gone += rows.filter(pk__in=keys).delete()[0] if keys else 0
        if len(keys) < BATCH:
            break
    return gone
