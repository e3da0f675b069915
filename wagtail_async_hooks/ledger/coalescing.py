"""Coalescing: of the tasks that wait with one key the newest runs, and the others are merged.

A burst of debounced tasks goes on for as long as the newest of them is not due.
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import fields, replace
from typing import Any, Final, NamedTuple

from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Min, QuerySet

from wagtail_async_hooks.ledger.base import BATCH, INFO, TABLE, info, lock_of
from wagtail_async_hooks.ledger.locks import brief, gaps_left_free
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import Claim, State, TaskInfo
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)


# The condition of the index, word by word: SQLite would not use it otherwise.
_WAITS: Final = (
    "state IN ('waiting', 'scheduled') AND NOT (coalesce_key = '') AND coalesce_key = %s "
    # A worker may not serve another queue, or it may be paused.
    "AND name = %s AND queue = %s"
)


_MEETINGS: Final = 5
"""How often somebody else may merge the newest task of a burst into a newer one meanwhile."""


class _Burst(NamedTuple):
    """When the newest task of a burst is to run, and when at the latest."""

    run_at: datetime.datetime
    latest_at: datetime.datetime


def coalesce(alias: str, claim: Claim, worker: int | None, suspects: bool) -> Claim:
    """Run the newest of all tasks that wait with a claimed one's key, and merge the others into it.

    What was committed before the newest is seen by it, so nothing is missed; a task that is
    committed later is none of these, and runs by itself. Rows that another worker is about to
    claim are left to it. If the database is in the way, the claimed task runs by itself.

    If the newest one is debounced and not due, the burst goes on: the others are merged into it,
    and nothing runs yet. It takes over from them when it has to run at the latest.
    """
    try:
        newest = _newest(alias, claim) if claim.is_debounced else None
        # To wait for another worker is right, but not for one that was cut off.
        with gaps_left_free(alias) if newest is None else brief(alias):
            if newest is not None and (running := _meet(alias, claim, newest)) is not None:
                return running
            alike, is_burst = _alike(connections[alias], claim, suspects)
            return _merge(alias, claim, alike, worker, is_burst) if alike else claim
    except (DatabaseError, InterfaceError) as error:
        logger.warning(
            "%s runs by itself, since nothing could be merged into it: %s",
            str(claim),
            one_line(error),
        )
        return claim


def _newest(alias: str, claim: Claim) -> int | None:
    """Return the newest of the tasks that wait with a claimed one's key, if it is newer."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"SELECT MAX(id) FROM {TABLE} WHERE {_WAITS}",
            [claim.coalesce_key, claim.name, claim.queue],
        )
        (newest,) = cursor.fetchone()
    return newest if newest is not None and newest > claim.pk else None


def _meet(alias: str, claim: Claim, newest: int) -> Claim | None:
    """Wait for other workers that have claimed tasks of the same burst, and merge them as well.

    All that are due at once are claimed at once, and whoever passes over the rows that another one
    has locked would run early. So each waits for the newest; only for that, and holding nothing.

    :param newest: what waited before: if it runs by now, it began after the claimed task was there.
    :returns: the newest, if another worker runs it.
    """
    tasks = BackgroundTask.objects.using(alias)
    waits: int | None = newest
    for _ in range(_MEETINGS):
        row = tasks.select_for_update().filter(pk=waits or 0).first()
        if row is not None and row.state == State.RUNNING:
            mine = tasks.filter(pk=claim.pk, attempt=claim.attempt, state=State.RUNNING)
            merged = (claim,) if mine.update(**_merged_into(info(row))) else ()
            return replace(_instead(claim, info(row)), merged=merged)
        if row is None or row.state != State.MERGED:
            break
        waits = _newest(alias, claim)
    return None


def _alike(
    connection: BaseDatabaseWrapper, claim: Claim, suspects: bool
) -> tuple[list[TaskInfo], bool]:
    """Lock the other tasks that wait with a claimed one's key.

    :returns: the tasks, oldest first, and whether the newest is debounced and may not be due.
    """
    known = "" if suspects else " AND deaths = 0"
    is_debounced = "CASE WHEN state = 'scheduled' AND latest_at IS NOT NULL THEN 1 ELSE 0 END"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {INFO}, {is_debounced} FROM {TABLE} WHERE {_WAITS}{known} "
            f"ORDER BY id{lock_of(connection)}",
            [claim.coalesce_key, claim.name, claim.queue],
        )
        rows = cursor.fetchall()
    is_burst = bool(rows) and rows[-1][0] > claim.pk and bool(rows[-1][-1])
    return [TaskInfo(*row[:-1]) for row in rows], is_burst


def _merge(
    alias: str, claim: Claim, alike: list[TaskInfo], worker: int | None, is_burst: bool
) -> Claim:
    tasks = BackgroundTask.objects.using(alias)
    merged = list(alike)
    into = claim
    if alike[-1].pk > claim.pk:
        newest = merged.pop()
        burst = _burst(tasks, claim, alike) if is_burst else None
        mine = tasks.filter(pk=claim.pk, attempt=claim.attempt, state=State.RUNNING)
        # First, since they may have an exclusive key in common.
        if mine.update(**_merged_into(newest)):  # it may have been given to another worker
            merged.append(claim)
        if burst is None:
            into = _take_over(tasks, newest, claim, worker)
        else:
            into = _defer(tasks, newest, claim, burst)
    for first in range(0, len(alike), BATCH):
        keys = [task.pk for task in alike[first : first + BATCH] if task.pk != into.pk]
        tasks.filter(pk__in=keys).update(**_merged_into(into))
    return replace(into, merged=tuple(merged))


def _burst(tasks: QuerySet[BackgroundTask], claim: Claim, alike: list[TaskInfo]) -> _Burst | None:
    """Return when the newest task is to run; ``None`` if that is now."""
    keys = [claim.pk, *(task.pk for task in alike)]
    ends = []
    for first in range(0, len(keys), BATCH):
        some = tasks.filter(pk__in=keys[first : first + BATCH])
        ends.append(some.aggregate(end=Min("latest_at"))["end"])
    latest_at = min(end for end in ends if end is not None)  # the newest has one
    newest = tasks.annotate(clock=DatabaseNow()).values_list("run_at", "clock")
    run_at, now = newest.get(pk=alike[-1].pk)
    run_at = min(run_at, latest_at)
    return _Burst(run_at, latest_at) if run_at > now else None


def _merged_into(task: TaskInfo) -> dict[str, Any]:
    ended = {"state": State.MERGED, "finished_at": DatabaseNow(), "blocked": False}
    return {**ended, "merged_into": task.pk}


def _take_over(
    tasks: QuerySet[BackgroundTask], newest: TaskInfo, claim: Claim, worker: int | None
) -> Claim:
    """Run one task in the place of another that was claimed."""
    row = tasks.filter(pk=newest.pk)
    row.update(
        state=State.RUNNING,
        attempt=F("attempt") + 1,
        worker_id=worker,
        started_at=DatabaseNow(),
        slot=claim.slot,
        blocked=False,  # it may have waited behind the claimed one
    )
    told = "deaths", "message", "exclusive_key", "latest_at", "expires_at", "clock"
    known = row.annotate(clock=DatabaseNow()).values_list(*told).get()
    deaths, message, exclusive_key, latest_at, expires_at, now = known
    columns = {field.name: getattr(newest, field.name) for field in fields(TaskInfo)}
    columns |= {"attempt": newest.attempt + 1, "deaths": deaths, "message": bytes(message)}
    columns |= {"exclusive_key": exclusive_key, "is_debounced": latest_at is not None}
    columns["is_expired"] = None if expires_at is None else expires_at < now
    return replace(claim, **columns)


def _defer(tasks: QuerySet[BackgroundTask], newest: TaskInfo, claim: Claim, burst: _Burst) -> Claim:
    """Let one task run later in the place of another that was claimed, and of the whole burst."""
    tasks.filter(pk=newest.pk).update(run_at=burst.run_at, latest_at=burst.latest_at)
    return _instead(claim, newest)


def _instead(claim: Claim, task: TaskInfo) -> Claim:
    """Return what a claim has come to, of which nothing runs here."""
    columns = {field.name: getattr(task, field.name) for field in fields(TaskInfo)}
    return replace(claim, **columns, deaths=0, is_deferred=True)


def separate(alias: str, claim: Claim) -> None:
    """Let those wait again that were merged into a task which ended before it had begun.

    Its own object may be gone, or superseded, while theirs are not.
    """
    merged = BackgroundTask.objects.using(alias).filter(state=State.MERGED, merged_into=claim.pk)
    keys = [task.pk for task in claim.merged]
    if claim.attempt > 1 or claim.is_debounced:  # others may have been merged before
        keys = list(merged.values_list("pk", flat=True))
    for first in range(0, len(keys), BATCH):
        merged.filter(pk__in=keys[first : first + BATCH]).update(
            state=State.WAITING, merged_into=None, finished_at=None, worker=None
        )
