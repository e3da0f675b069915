"""Deletes ended tasks and dead workers after their time."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from typing import Final

from django.db import connections, transaction
from django.db.models import Exists, OuterRef

from wagtail_async_hooks.ledger.base import BATCH, database
from wagtail_async_hooks.ledger.locks import brief, free
from wagtail_async_hooks.ledger.tasks import delete
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database.instants import DatabaseNow

AT_ONCE: Final = 100
"""Tasks that are deleted in one transaction."""


def prune(ages: Mapping[State, datetime.timedelta], after: int = 0) -> tuple[int, int | None]:
    """Delete those of the next tasks that ended long enough ago; the oldest are looked at first.

    In the order of their numbers, so that no index is needed: what is young enough to stay is
    reached last, and ends it.

    :param ages: how long tasks stay that have ended in a state; those of other states stay.
    :param after: number of the last task that was looked at.
    :returns: how many are gone, and the number of the last task that was looked at; ``None`` if
        those that come after it are too young.
    """
    if not ages:
        return 0, None
    alias = database()
    tasks = BackgroundTask.objects.using(alias)
    rows = tasks.filter(pk__gt=after).order_by("pk").annotate(clock=DatabaseNow())
    seen = list(rows.values_list("pk", "state", "enqueued_at", "finished_at", "clock")[:BATCH])
    old = [
        pk
        for pk, state, _, finished_at, now in seen
        if finished_at is not None and state in ages and finished_at < now - ages[State(state)]
    ]
    gone = _delete_in_turns(alias, old)
    is_last = len(seen) < BATCH or seen[-1][2] > seen[-1][4] - min(ages.values())
    return gone, None if is_last else seen[-1][0]


def _delete_in_turns(alias: str, keys: list[int]) -> int:
    """Delete tasks, a few at once, so that nobody waits long who wants to claim one meanwhile.

    They get as much time as was taken. On SQLite, those who wait try again after some milliseconds,
    and would find the lock taken again and again; a server writes its log for both.
    """
    gone = 0
    for start in range(0, len(keys), AT_ONCE):
        begun = time.monotonic()
        gone += _delete_ended(alias, keys[start : start + AT_ONCE])
        time.sleep(time.monotonic() - begun)
    return gone


def _delete_ended(alias: str, keys: list[int]) -> int:
    """Delete tasks, but for those that somebody lets run again at this moment."""
    ended = BackgroundTask.objects.using(alias).filter(pk__in=keys, finished_at__isnull=False)
    skip = connections[alias].features.has_select_for_update_skip_locked
    with transaction.atomic(using=alias):
        held = ended.select_for_update(skip_locked=skip).order_by("pk")
        found = list(held.values_list("pk", flat=True))
        delete(found)
    return len(found)


def prune_workers(age: datetime.timedelta) -> int:
    """Delete workers that stopped long enough ago; return how many, which is a bounded number."""
    alias = database()
    holds = BackgroundTask.objects.filter(state=State.RUNNING, worker=OuterRef("pk"))
    stopped = Worker.objects.using(alias).filter(stopped_at__lt=DatabaseNow() - age)
    keys = list(stopped.exclude(Exists(holds)).order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not keys:
        return 0
    with brief(alias):
        gone = list(free(Worker.objects.using(alias).filter(pk__in=keys)))
        return Worker.objects.using(alias).filter(pk__in=[row.pk for row in gone]).delete()[0]
