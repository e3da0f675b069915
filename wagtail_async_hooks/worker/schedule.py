"""The schedule: entries of ``WAGTAIL_TASKS["SCHEDULE"]``, and ``@background.periodic_task()``.

Each entry has a row with the time at which it is due next, which
:mod:`~wagtail_async_hooks.worker.scheduler` checks.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.utils import timezone
from huey.api import Task, TaskWrapper

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.conf import ScheduleEntry
from wagtail_async_hooks.integrations import scheduled_publishing
from wagtail_async_hooks.integrations.commands import called, run_command
from wagtail_async_hooks.models import BackgroundTask, Schedule
from wagtail_async_hooks.queue.keys import key_of
from wagtail_async_hooks.queue.row import name_of
from wagtail_async_hooks.queue.submission import QueuedTask, Submission
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.crontab import AskedTimes, CrontabTimes, Times
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.text import cut_key, storable


@dataclass(frozen=True)
class Entry:
    """An entry of the schedule.

    :param what: the command or function, for people.
    :param missed: whether to make up for a run that was missed: ``"once"`` or ``"skip"``.
    :param make: makes the task that runs it.
    :param find: returns the function as its tasks' rows name it, which pauses go by.
    """

    name: str
    what: str
    times: Times
    missed: str
    make: Callable[[], Task]
    find: Callable[[], str]

    @property
    def key(self) -> str:
        """The name, as it is in the row."""
        return cut_key(storable(self.name))

    @property
    def plan(self) -> tuple[str, str]:
        """Crontab and time zone, as they are in the row."""
        return cut_key(storable(self.times.text)), str(self.times.zone)


@dataclass(frozen=True)
class Status:
    """The state of an entry.

    :param what: the command or function, for people.
    :param crontab: blank where a function decides when it is due.
    :param next_due_at: ``None`` if it is not known.
    :param last_due_at: the last time for which a task was enqueued.
    :param last_skipped_at: the last time for which none was.
    :param task: primary key of the task that was enqueued last.
    :param state: of that task; this and what follows is ``None`` if its row is gone.
    """

    name: str
    what: str
    crontab: str
    time_zone: str
    missed: str
    next_due_at: datetime.datetime | None
    last_due_at: datetime.datetime | None = None
    last_skipped_at: datetime.datetime | None = None
    task: int | None = None
    state: State | None = None
    started_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None


def entries() -> list[Status]:
    """Return the state of all entries, by name; times are aware and in UTC."""
    entries = known()
    rows, now = {}, clock.now()
    if entries and conf.current().backend:  # else there need not be any tables
        keys = [entry.key for entry in entries.values()]
        found = Schedule.objects.using(ledger.database()).filter(name__in=keys)
        known_rows = found.select_related("last_task").annotate(clock=DatabaseNow())
        rows = {row.name: row for row in known_rows}
        now = next((row.clock for row in rows.values()), now)
    return [_status(entry, rows.get(entry.key), now) for _, entry in sorted(entries.items())]


def known() -> dict[str, Entry]:
    """Return all entries by name; the settings override a decorated function of that name."""
    found = {}
    for task in background.periodic_tasks():
        name = name_of(task)
        definition = task.definition
        times = definition.times or AskedTimes(task.validate_datetime)
        make, find = partial(_for_nobody, task), partial(str, definition.function)
        found[name] = Entry(name, name, times, definition.missed, make, find)
    for name, given in conf.current().schedule.items():
        times = CrontabTimes(given.crontab, given.time_zone or timezone.get_default_timezone())
        make, find = partial(_task_of, name, given), partial(_function_of, name, given)
        found[name] = Entry(name, describe(given), times, given.missed, make, find)
    return found


def run_now(name: str) -> int | None:
    """Enqueue the task of an entry now; its times stay as they are.

    :returns: primary key of the task; ``None`` if it was discarded in the meantime.
    :raises LookupError: if there is no such entry.
    """
    entry = known().get(name)
    if entry is None:
        raise LookupError(f'There is no entry "{name}" in the schedule.')
    task = entry.make()
    background.enqueue(task)
    recorded = BackgroundTask.objects.using(ledger.database()).filter(task_id=task.id)
    return recorded.order_by("-pk").values_list("pk", flat=True).first()


def describe(given: ScheduleEntry) -> str:
    """Return the command or function of an entry of the settings, for people."""
    if given.function:
        return given.function
    return " ".join([called(given.command), *map(str, given.args)])


def find_function(path: str) -> Callable[..., Any]:
    """Return the function, or the background task, of a dotted path.

    :raises ImportError: if there is none.
    """
    found = functions.imported(path)
    if not callable(found):
        raise ImportError(f"it is a {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


@background.own_task("run_scheduled_function")
def run_function(entry: str, *args: Any, **kwargs: Any) -> Any:
    """Run the function of an entry of the settings.

    The message names the entry, not the function, so that it cannot decide what is imported.

    :param entry: its name.
    :raises LookupError: if there is no such entry any more.
    """
    given = conf.current().schedule.get(entry)
    if given is None or not given.function:
        raise LookupError(f'WAGTAIL_TASKS["SCHEDULE"] has no function under "{entry}" any more.')
    return functions.call(find_function(given.function), *args, **kwargs)


def _for_nobody(task: QueuedTask) -> QueuedTask:
    task.submission.context = Context()  # no user acts then, as when cron calls a command
    return task


def _task_of(name: str, given: ScheduleEntry) -> QueuedTask:
    """Return the task of an entry of the settings."""
    wrapper, args = _what_runs(name, given)
    # Not by wrapper.s(), which takes keyword arguments such as "delay" for its own.
    options = given.task_options
    owner = f'WAGTAIL_TASKS["SCHEDULE"]["{name}"]'
    submission = Submission(
        context=Context(),  # no user acts then, as when cron calls a command
        queue=options.queue or "",
        exclusive_key=key_of(options.exclusive, given.kwargs, "exclusive", owner),
    )
    if wrapper in (run_function, run_command):
        submission.function = _function_of(name, given)
    task: QueuedTask = wrapper.task_class(
        (*args, *given.args), dict(given.kwargs), submission=submission, **options.for_huey()
    )
    return task


def _function_of(name: str, given: ScheduleEntry) -> str:
    """Return the function of an entry of the settings, as rows have it."""
    wrapper, _ = _what_runs(name, given)
    if wrapper is run_function:
        return given.function
    if wrapper is run_command:
        return called(given.command)
    function: str = wrapper.task_class.definition.function
    return function


def _what_runs(name: str, given: ScheduleEntry) -> tuple[TaskWrapper, tuple[Any, ...]]:
    """Return a background task, and its arguments that come before those of the entry."""
    if scheduled_publishing.stands_in_for(given.command, *given.args, **given.kwargs):
        return scheduled_publishing.catch_up, ()
    if given.command:
        return run_command, (given.command,)
    try:
        found = find_function(given.function)
    except ImportError:
        return run_function, (name,)  # which fails, and so is seen
    return (found, ()) if isinstance(found, TaskWrapper) else (run_function, (name,))


def _status(entry: Entry, row: Schedule | None, now: datetime.datetime) -> Status:
    crontab, time_zone = entry.plan
    upcoming = entry.times.after(now) if crontab else None
    status = partial(Status, entry.name, entry.what, crontab, time_zone, entry.missed)
    if row is None:
        return status(upcoming)
    if crontab and row.next_due_at is not None and (row.crontab, row.time_zone) == entry.plan:
        upcoming = row.next_due_at
    task = row.last_task
    return status(
        upcoming,
        last_due_at=row.last_due_at,
        last_skipped_at=row.last_skipped_at,
        task=row.last_task_id,
        state=State(task.state) if task else None,
        started_at=task.started_at if task else None,
        ended_at=task.finished_at if task else None,
    )
