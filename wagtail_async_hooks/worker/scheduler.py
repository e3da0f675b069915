"""The scheduler: enqueues due entries of the schedule, once, however many workers there are.

Each entry has a row. The worker that advances the time in that row enqueues the task in the same
transaction: another worker then updates no row, and a crash loses nothing. The clock is that of the
database, so that a worker whose own is wrong does no harm.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, OperationalError

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Schedule
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.catching import passes
from wagtail_async_hooks.utils.database.errors import is_contention
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.errors import report
from wagtail_async_hooks.worker import schedule
from wagtail_async_hooks.worker.schedule import Entry

logger = logging.getLogger(__name__)

LATE: Final = 300
"""Seconds after which a due run counts as missed, and is left out if its entry says ``skip``."""

TAKE_OVER: Final = 60
"""Seconds by which a time planned by another release may be overdue before it is planned anew."""

SET_BACK: Final = 10_800
"""Seconds by which a clock must be behind the last run to count as set back, not adjusted."""


class Scheduler:
    """The scheduler of one worker.

    When it starts, it plans the rows by its settings. If a row differs from them later on, a worker
    of another release has planned it, and is left to enqueue it while it lives.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def enqueue_due(self) -> None:
        """Enqueue entries that are due; one query if none is, and none if there are no entries."""
        entries = {entry.key: entry for entry in schedule.known().values()}
        if not entries:
            return
        rows, now = _read(entries)
        if not self._seen:
            _forget_all_but(entries)
        _create([entry for key, entry in entries.items() if key not in rows], now)
        contention = None
        for key, row in rows.items():
            try:
                self._handle(entries[key], row, now)
            except OperationalError as error:
                if not is_contention(error):
                    raise
                contention = error  # of this entry, which is tried again
        self._seen.update(entries)
        if contention is not None:
            raise contention

    def _handle(self, entry: Entry, row: Schedule, now: datetime.datetime) -> None:
        due = row.next_due_at
        if due is None or _was_set_back(row, now):
            _plan(entry, row, now)
        elif (row.crontab, row.time_zone) != entry.plan:
            if entry.key not in self._seen or (now - due).total_seconds() > TAKE_OVER:
                _plan(entry, row, now)
        elif due <= now:
            _run(entry, row, due, now)


# Plan ---------------------------------------------------------------------------------------


def _read(names: Iterable[str]) -> tuple[Mapping[str, Schedule], datetime.datetime]:
    """Return the rows by name, and the database's time."""
    named = Schedule.objects.using(ledger.database()).filter(name__in=list(names))
    rows: Mapping[str, Any] = {row.name: row for row in named.annotate(clock=DatabaseNow())}
    for row in rows.values():
        return rows, row.clock
    return rows, ledger.clock()


def _create(entries: Iterable[Entry], now: datetime.datetime) -> None:
    """Insert rows for new entries, which have missed nothing yet."""
    new = [
        Schedule(
            name=entry.key,
            crontab=entry.plan[0],
            time_zone=entry.plan[1],
            next_due_at=entry.times.after(now),
        )
        for entry in entries
    ]
    if new:  # another worker may make them at the same moment
        Schedule.objects.using(ledger.database()).bulk_create(new, ignore_conflicts=True)


def _forget_all_but(names: Iterable[str]) -> None:
    """Clear the times of entries that are gone; if they come back, they begin anew."""
    others = Schedule.objects.using(ledger.database()).exclude(name__in=list(names))
    others.exclude(next_due_at=None).update(next_due_at=None)


def _plan(entry: Entry, row: Schedule, now: datetime.datetime) -> None:
    """Update a row whose entry has another crontab, or whose time came from a wrong clock."""
    crontab, time_zone = entry.plan
    columns: dict[str, Any] = {
        "crontab": crontab,
        "time_zone": time_zone,
        "next_due_at": entry.times.after(now),
    }
    if _was_set_back(row, now):
        columns["last_due_at"] = None
    with ledger.brief(ledger.database()):
        has_changed = _change(row, columns)
    if has_changed:
        logger.info('Schedule "%s": planned anew, by %s in %s.', row.name, crontab, time_zone)


def _was_set_back(row: Schedule, now: datetime.datetime) -> bool:
    """Return whether the clock is so far behind the last run that it was wrong then."""
    last = row.last_due_at
    return last is not None and (last - now).total_seconds() > SET_BACK


def _change(row: Schedule, columns: Mapping[str, Any]) -> bool:
    """Update a row if it is still as it was read; return whether it was."""
    same = Schedule.objects.using(ledger.database()).filter(
        pk=row.pk, next_due_at=row.next_due_at, crontab=row.crontab, time_zone=row.time_zone
    )
    return same.update(**columns) == 1


# Run ----------------------------------------------------------------------------------------


def _run(entry: Entry, row: Schedule, first: datetime.datetime, now: datetime.datetime) -> None:
    """Enqueue the task of a due entry, unless another worker does, or it is left out."""
    due = _latest(entry, first, now)
    with ledger.brief(ledger.database()):
        if not _change(row, {"next_due_at": entry.times.after(now)}):
            return
        last = row.last_due_at
        if due is None or (last is not None and due <= last):
            return
        why_not = _why_left_out(entry, row, due, now)
        task = None if why_not else _enqueue(entry)
        columns: dict[str, Any] = {"last_skipped_at": due}
        if task is not None:
            columns = {"last_due_at": due, "last_task": task}
        Schedule.objects.using(ledger.database()).filter(pk=row.pk).update(**columns)
    if why_not:
        logger.warning(
            'Schedule "%s": what was due at %s is left out, since %s.', row.name, due, why_not
        )
    elif task is not None:
        logger.info('Schedule "%s": task %d, due at %s.', row.name, task, due)


def _latest(
    entry: Entry, first: datetime.datetime, now: datetime.datetime
) -> datetime.datetime | None:
    try:
        return entry.times.latest(first, now)
    except BaseException as error:  # of the site's function
        if passes(error):
            raise
        report(logger, error, 'Schedule "%s": it cannot be asked whether it is due.', entry.name)
        return None


def _why_left_out(
    entry: Entry, row: Schedule, due: datetime.datetime, now: datetime.datetime
) -> str:
    """Return the reason why a due entry is not to run; blank if it is."""
    late = (now - due).total_seconds()
    if entry.missed == "skip" and late > LATE:
        return f"it is {round(late / 60)} minutes late"
    before = BackgroundTask.objects.using(ledger.database()).filter(pk=row.last_task_id or 0)
    state = before.values_list("state", flat=True).first()
    if state is not None and not State(state).is_final:
        return f"the run before it, task {row.last_task_id}, has not ended"
    return ""


def _enqueue(entry: Entry) -> int | None:
    """Enqueue the task of an entry; return its primary key, or ``None`` if it cannot be made."""
    try:
        task = entry.make()
        background.enqueue(task)
    except (DatabaseError, InterfaceError):
        raise  # the row stays as it is, and the entry is tried again
    except BaseException as error:
        if passes(error):
            raise
        report(logger, error, 'Schedule "%s": its task cannot be recorded.', entry.name)
        return None
    recorded = BackgroundTask.objects.using(ledger.database()).filter(task_id=task.id)
    return recorded.order_by("-pk").values_list("pk", flat=True).first()
