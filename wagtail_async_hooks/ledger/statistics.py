"""What charts are made of: how attempts ended, and how many tasks waited, by five minutes."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final

from wagtail_async_hooks.ledger.base import BATCH, clock, database
from wagtail_async_hooks.ledger.locks import brief, free
from wagtail_async_hooks.ledger.queues import waiting_by_queue
from wagtail_async_hooks.models import QueueSample, TaskStatistic
from wagtail_async_hooks.types import Counted, Tally
from wagtail_async_hooks.utils.database.instants import DatabaseNow

STEP: Final = datetime.timedelta(minutes=5)
"""What a row is about."""

STATISTICS_KEPT: Final = datetime.timedelta(days=8)
"""How long rows stay: charts show a week."""

COARSE_AFTER: Final = datetime.timedelta(hours=25)
"""The age from which on rows are about half an hour and all workers: longer bars show no more."""

COARSE_STEP: Final = datetime.timedelta(minutes=30)

ALL_WORKERS: Final = -1
"""The worker of these rows; none has this primary key."""

BATCHES: Final = 20
"""So many batches of old rows are deleted at once."""

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


def sample_queues() -> None:
    """Record how many tasks wait in each queue, if that is more than before in these five minutes.

    To be called by one worker at a time; the worst that others could do is to come first.
    """
    waiting = waiting_by_queue()
    if not waiting:
        return
    now = clock()
    start = start_of(now)
    rows = QueueSample.objects.using(database()).filter(start=start)
    known = {row.queue: row for row in rows}
    new, more = [], []
    for queue, found in sorted(waiting.items()):
        oldest = max(0.0, (now - found.since).total_seconds())
        row = known.get(queue)
        if row is None:
            new.append(QueueSample(start=start, queue=queue, waiting=found.number, oldest=oldest))
        elif found.number > row.waiting or oldest > row.oldest:
            row.waiting, row.oldest = max(found.number, row.waiting), max(oldest, row.oldest)
            more.append(row)
    with brief(rows.db):
        rows.bulk_create(new, batch_size=BATCH, ignore_conflicts=True)  # of another worker
        rows.bulk_update(more, ["waiting", "oldest"], batch_size=BATCH)


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
