"""The scheduler: what recurs becomes a task when it is due, once, however many workers look.

Each entry of the schedule has a row. Whoever moves on that row's next time records the task, in
the same transaction: another worker then changes no row, and a crash loses nothing. The clock is
the database's, so that a worker whose own is wrong does no harm.
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
"""Seconds after which what is due counts as missed, and is left out if its entry says ``skip``."""

TAKE_OVER: Final = 60
"""Seconds that what another release has planned may be overdue before it is planned anew."""

SET_BACK: Final = 10_800
"""Seconds from which on a clock that is behind the last run was set back, rather than adjusted."""


class Scheduler:
    """What one worker process does for the schedule.

    A worker that starts plans the rows as its settings say. If they say something else than a row
    does later on, a worker of another release has planned it and looks after it, while that lives.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def look(self) -> None:
        """Record what is due; one query where nothing is, and none where nothing recurs."""
        entries = {entry.key: entry for entry in schedule.known().values()}
        if not entries:
            return
        rows, now = _read(entries)
        if not self._seen:
            _forget_all_but(entries)
        _create([entry for key, entry in entries.items() if key not in rows], now)
        in_the_way = None
        for key, row in rows.items():
            try:
                self._look_at(entries[key], row, now)
            except OperationalError as error:
                if not is_contention(error):
                    raise
                in_the_way = error  # of this entry; it is looked at again
        self._seen.update(entries)
        if in_the_way is not None:
            raise in_the_way

    def _look_at(self, entry: Entry, row: Schedule, now: datetime.datetime) -> None:
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
    """Return the rows by name, and the time."""
    named = Schedule.objects.using(ledger.database()).filter(name__in=list(names))
    rows: Mapping[str, Any] = {row.name: row for row in named.annotate(clock=DatabaseNow())}
    for row in rows.values():
        return rows, row.clock
    return rows, ledger.clock()


def _create(entries: Iterable[Entry], now: datetime.datetime) -> None:
    """Make rows for what is seen for the first time: nothing of it was missed before."""
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
    """What does not recur any more is not due; if it does so again, it begins anew."""
    others = Schedule.objects.using(ledger.database()).exclude(name__in=list(names))
    others.exclude(next_due_at=None).update(next_due_at=None)


def _plan(entry: Entry, row: Schedule, now: datetime.datetime) -> None:
    """Say from now on when an entry is due: its crontab has changed, or the clock was wrong."""
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
    """Tell whether the clock is so far behind the last run that it must have been wrong then."""
    last = row.last_due_at
    return last is not None and (last - now).total_seconds() > SET_BACK


def _change(row: Schedule, columns: Mapping[str, Any]) -> bool:
    """Change a row; tell whether it was still as it was read."""
    same = Schedule.objects.using(ledger.database()).filter(
        pk=row.pk, next_due_at=row.next_due_at, crontab=row.crontab, time_zone=row.time_zone
    )
    return same.update(**columns) == 1


# Run ----------------------------------------------------------------------------------------


def _run(entry: Entry, row: Schedule, first: datetime.datetime, now: datetime.datetime) -> None:
    """Record the task of an entry that is due, unless another worker does, or it is left out."""
    due = _latest(entry, first, now)
    with ledger.brief(ledger.database()):
        if not _change(row, {"next_due_at": entry.times.after(now)}):
            return
        last = row.last_due_at
        if due is None or (last is not None and due <= last):
            return
        why_not = _why_left_out(entry, row, due, now)
        task = None if why_not else _record(entry)
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
    """Say why an entry that is due is not to run; blank if it is."""
    late = (now - due).total_seconds()
    if entry.missed == "skip" and late > LATE:
        return f"it is {round(late / 60)} minutes late"
    before = BackgroundTask.objects.using(ledger.database()).filter(pk=row.last_task_id or 0)
    state = before.values_list("state", flat=True).first()
    if state is not None and not State(state).is_final:
        return f"the run before it, task {row.last_task_id}, has not ended"
    return ""


def _record(entry: Entry) -> int | None:
    """Record the task of an entry; return its primary key, or ``None`` if that cannot be done."""
    try:
        task = entry.make()
        background.enqueue(task)
    except (DatabaseError, InterfaceError):
        raise  # the row stays as it is, and is looked at again
    except BaseException as error:
        if passes(error):
            raise
        report(logger, error, 'Schedule "%s": its task cannot be recorded.', entry.name)
        return None
    recorded = BackgroundTask.objects.using(ledger.database()).filter(task_id=task.id)
    return recorded.order_by("-pk").values_list("pk", flat=True).first()
