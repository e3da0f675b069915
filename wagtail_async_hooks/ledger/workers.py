"""Workers: heartbeats, what each holds, and the rescue of what dead ones held."""

from __future__ import annotations

import datetime
import enum
import secrets
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from django.db import IntegrityError, OperationalError, connections
from django.db.models import Exists, F, Max, Min, OuterRef, Q, QuerySet

from wagtail_async_hooks import conf
from wagtail_async_hooks.ledger.attempts import keep_attempt
from wagtail_async_hooks.ledger.base import BATCH, database, info
from wagtail_async_hooks.ledger.locks import brief, free
from wagtail_async_hooks.ledger.notices import add_notice
from wagtail_async_hooks.models import BackgroundTask, TaskAttempt, Worker
from wagtail_async_hooks.types import Claim, State, TaskInfo
from wagtail_async_hooks.utils.database.errors import is_contention
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.database.values import fitted

HEARTBEAT_TIMEOUT: Final = 20.0
"""Seconds without a heartbeat after which a worker is considered dead. As workers look for dead
ones every few seconds, its tasks wait for another worker within 30 seconds of its death."""


class Beat(enum.Enum):
    """What a worker learns when it says that it is alive."""

    ALIVE = "alive"
    """Its row is there, and nobody has given it up."""
    RETURNED = "returned"
    """It had been given up for dead, and what it held may have been given to others."""
    GONE = "gone"
    """Its row is not there: the database was restored, or somebody has deleted it."""
    TAKEN = "taken"
    """The row of its number is that of another process."""


def register_worker(worker: Worker) -> Worker:
    """Record a worker process; its clock is the database's.

    It gets a number that no other worker has or will get, see :func:`_new_number`, unless it has
    one.
    """
    alias = database()
    for name, value in fitted(Worker, _told_by(worker), connections[alias]).items():
        setattr(worker, name, value)
    worker.started_at = worker.heartbeat_at = DatabaseNow()
    worker.stopped_at = None
    worker.pk = worker.pk or _new_number()
    worker.save(using=alias, force_insert=True)
    worker.refresh_from_db(using=alias, fields=["started_at", "heartbeat_at"])
    return worker


def _told_by(worker: Worker) -> dict[str, Any]:
    """Return what a process says of itself: the columns that are not given by the database."""
    names = ("host", "process_space", "pid", "threads", "release", "queues")
    return {name: getattr(worker, name) for name in names}


def register_anew(worker: Worker) -> None:
    """Record a worker once more whose row is gone, under its number, or is that of another one."""
    if Worker.objects.using(database()).filter(pk=worker.pk).exists():
        worker.pk = None
    register_worker(worker)


def _new_number() -> int:
    """Return a primary key: milliseconds since 1970, then ten random bits.

    Not one of the database's: where that is restored, its sequence may start over, and then the
    next worker would be taken for one that still runs. JavaScript takes up to 53 bits.
    """
    with _numbers.lock:
        number = time.time_ns() // 1_000_000 << 10 | secrets.randbits(10)
        _numbers.last = max(number, _numbers.last + 1)  # they ascend
        return _numbers.last


class _Numbers:
    """The last number that this process has given."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last = 0


_numbers: Final = _Numbers()


def beat(worker: Worker | int, clock_ahead: int = 0) -> Beat:
    """Say that a worker is alive; one that had been given up for dead is alive again.

    :param worker: its row as it was recorded, to see whether it is still its own; or its number.
    :param clock_ahead: by how many seconds its clock is ahead of the database's.
    """
    alias = database()
    number = worker if isinstance(worker, int) else worker.pk
    rows = Worker.objects.using(alias).filter(pk=number)
    own = rows if isinstance(worker, int) else rows.filter(**_process_of(worker))
    with brief(alias):
        said: dict[str, Any] = {"heartbeat_at": DatabaseNow(), "clock_ahead": clock_ahead}
        if own.filter(stopped_at=None).update(**said):
            return Beat.ALIVE
        if own.update(**said, stopped_at=None):
            return Beat.RETURNED
        return Beat.TAKEN if rows.exists() else Beat.GONE


def _process_of(worker: Worker) -> dict[str, Any]:
    return {"host": worker.host, "process_space": worker.process_space, "pid": worker.pid}


def alive() -> QuerySet[Worker]:
    """Return the workers with a heartbeat within :data:`HEARTBEAT_TIMEOUT`."""
    since = DatabaseNow() - datetime.timedelta(seconds=HEARTBEAT_TIMEOUT)
    workers = Worker.objects.using(database())
    return workers.filter(stopped_at=None, heartbeat_at__gte=since)


def is_served() -> bool:
    """Return whether any worker is alive."""
    return alive().exists()


def oldest_alive(queues: str | None = None) -> int | None:
    """Return the primary key of the worker that was started first, of those alive.

    :param queues: only of those that serve these queues, as they describe it; of all, if not given.
    """
    workers = alive() if queues is None else alive().filter(queues=queues)
    return workers.order_by("started_at", "pk").values_list("pk", flat=True).first()


def is_served_throughout() -> bool:
    """Return whether a worker that serves all queues is alive."""
    return alive().filter(queues="").exists()


def without_worker(
    moment: datetime.datetime,
) -> tuple[datetime.datetime | None, datetime.datetime | None] | None:
    """Return from when to when no worker ran, if none did at a moment.

    :returns: the end of the last one before and the start of the first one after, each ``None``
        if there is none; ``None`` alone if a worker ran.
    """
    workers = Worker.objects.using(database())
    last = workers.filter(started_at__lte=moment).aggregate(Max("heartbeat_at"))
    first = workers.filter(started_at__gt=moment).aggregate(Min("started_at"))
    ended = last["heartbeat_at__max"]
    if ended is not None and ended >= moment:
        return None
    return ended, first["started_at__min"]


def silent_workers(seconds: float | None = None) -> list[int]:
    """Return the workers that should be alive and have had no heartbeat for some seconds.

    Also one that was given up before, came back for long enough to claim a task, and died then.

    :param seconds: :data:`HEARTBEAT_TIMEOUT` if not given.
    """
    timeout = HEARTBEAT_TIMEOUT if seconds is None else seconds
    since = DatabaseNow() - datetime.timedelta(seconds=timeout)
    holds = BackgroundTask.objects.filter(state=State.RUNNING, worker=OuterRef("pk"))
    silent = Worker.objects.using(database()).filter(
        Q(stopped_at=None) | Exists(holds), heartbeat_at__lt=since
    )
    return list(silent.values_list("pk", flat=True))


def workers_beside(host: str, process_space: str) -> dict[int, int]:
    """Return process numbers by primary key of the workers that are thought alive on a host."""
    beside = Worker.objects.using(database()).filter(
        stopped_at=None, host=host, process_space=process_space
    )
    return dict(beside.values_list("pk", "pid"))


def stop_worker(worker: int) -> int:
    """Record that a worker has stopped, and let what it still holds wait for another one.

    :returns: how many tasks were handed back. What a transaction of a task's own has locked stays
        until that has ended with the process.
    """
    alias = database()
    with brief(alias):
        handed_back = release(worker)
        Worker.objects.using(alias).filter(pk=worker).update(stopped_at=DatabaseNow())
    return handed_back


def held_by(worker: int) -> list[tuple[int, int]]:
    """Return what runs in a worker by the ledger: primary keys with the number of the attempt."""
    held = BackgroundTask.objects.using(database()).filter(worker=worker, state=State.RUNNING)
    return list(held.values_list("pk", "attempt"))


def hand_back(pk: int, attempt: int) -> bool:
    """Let one task wait again whose attempt nobody makes; return whether it was still that one."""
    held = BackgroundTask.objects.using(database()).filter(
        pk=pk, attempt=attempt, state=State.RUNNING
    )
    return bool(held.update(state=State.WAITING, worker=None))


def release(worker: int) -> int:
    """Hand back what a live worker holds, without counting a death; return how many.

    The caller holds a transaction of :func:`~wagtail_async_hooks.ledger.locks.brief`.
    """
    tasks = BackgroundTask.objects.using(database()).filter(worker=worker, state=State.RUNNING)
    keys = list(free(tasks).values_list("pk", flat=True))
    return tasks.filter(pk__in=keys).update(state=State.WAITING, worker=None) if keys else 0


DIED: Final = "its worker died"
"""What went wrong at an attempt that was not made to its end."""


def killed(deaths: int) -> str:
    """Say why a task failed that so many workers died of."""
    return f"its worker died {deaths} times"


CUT_OFF: Final = "its worker was cut off, and came back"
"""What went wrong at an attempt whose worker had been given up for dead, but was not."""

MAX_RETURNS: Final = 5
"""So many deaths of a task are forgiven: what holds up a worker's heartbeats each time may be the
task itself."""


def rescue(dead: Sequence[int], max_deaths: int) -> list[tuple[TaskInfo, bool]]:
    """Let the running tasks of dead workers wait for another one.

    A task that so many workers died of is taken for their murderer, and fails. Those whose rows
    are locked stay as they are, see :func:`stranded`.

    :param dead: primary keys of the workers.
    :param max_deaths: so many deaths fail a task.
    :returns: each task, and whether it waits again.
    """
    held = BackgroundTask.objects.using(database()).filter(state=State.RUNNING, worker__in=dead)
    rescued = _rescue(held, max_deaths)
    with brief(database()):
        silent = Worker.objects.using(database()).filter(pk__in=dead, stopped_at=None)
        keys = list(free(silent).values_list("pk", flat=True))
        silent.filter(pk__in=keys).update(stopped_at=F("heartbeat_at"))
    return rescued


def rescue_orphans(
    orphans: Collection[tuple[int, int]], max_deaths: int
) -> list[tuple[TaskInfo, bool]]:
    """Let running tasks wait again that are in no worker's hands; see :func:`orphans`.

    :returns: as of :func:`rescue`.
    """
    attempts = dict(orphans)
    held = _orphans().filter(pk__in=list(attempts))
    return _rescue(held, max_deaths, attempts)


def _rescue(
    held: QuerySet[BackgroundTask], max_deaths: int, attempts: Mapping[int, int] | None = None
) -> list[tuple[TaskInfo, bool]]:
    """Rescue tasks, each by itself where the database cannot pass over rows that are locked."""
    skips = connections[held.db].features.has_select_for_update_skip_locked
    if skips or not connections[held.db].features.has_select_for_update:
        return _rescue_free(held, max_deaths, attempts)
    rescued = []
    for pk in list(held.values_list("pk", flat=True)):
        try:
            rescued += _rescue_free(held.filter(pk=pk), max_deaths, attempts)
        except OperationalError as error:
            if not is_contention(error):
                raise
    return rescued


def _rescue_free(
    held: QuerySet[BackgroundTask], max_deaths: int, attempts: Mapping[int, int] | None
) -> list[tuple[TaskInfo, bool]]:
    alias, rescued = held.db, []
    with brief(alias):
        for row in free(held):
            if attempts is not None and attempts[row.pk] != row.attempt:
                continue
            keep_attempt(alias, row, State.RUNNING, error=DIED)
            row.deaths += 1
            waits = row.deaths < max_deaths
            row.state = State.WAITING if waits else State.FAILED
            if not waits:
                row.error = killed(row.deaths)
                row.finished_at = DatabaseNow()
            row.save(using=alias, update_fields=["deaths", "state", "error", "finished_at"])
            if not waits and conf.current().tell_failures:
                add_notice(alias, row.pk, unless_muted=True)
            rescued.append((info(row), waits))
    return rescued


def orphans() -> set[tuple[int, int]]:
    """Return what runs in no known worker: primary keys with the number of the attempt.

    Their workers' rows are gone since the database was restored, or have stopped. Those that no
    worker has claimed, but a process without a row, have no worker either.
    """
    return set(_orphans().values_list("pk", "attempt")[:BATCH])


def _orphans() -> QuerySet[BackgroundTask]:
    alive = Worker.objects.filter(pk=OuterRef("worker"), stopped_at=None)
    running = BackgroundTask.objects.using(database()).filter(state=State.RUNNING)
    return running.filter(~Exists(alive))


def stranded(dead: Sequence[int]) -> list[TaskInfo]:
    """Return the tasks of dead workers that run by the ledger: their rows could not be changed."""
    held = BackgroundTask.objects.using(database()).filter(state=State.RUNNING, worker__in=dead)
    return [info(row) for row in held.defer("message", "result", "traceback", "messages")]


def take_back(worker: int, held: Collection[Claim]) -> list[Claim]:
    """Let a worker go on with what it still runs, whatever became of that in the ledger.

    It was given up for dead, and what it held was taken from it; or the database was restored.
    It goes on with what has not been given to another worker meanwhile, if no other task has the
    exclusive key or the slot.

    :param worker: its primary key.
    :param held: what it still runs.
    :returns: what it may not go on with.
    """
    return [claim for claim in held if not _is_taken_back(worker, claim)]


def _is_taken_back(worker: int, claim: Claim) -> bool:
    was_forgiven = forgive(worker, claim)
    rows = BackgroundTask.objects.using(database()).filter(pk=claim.pk, task_id=claim.task_id)
    taken_from_it = rows.filter(attempt=claim.attempt, worker=worker)
    now: dict[str, Any] = {"state": State.RUNNING, "attempt": claim.attempt, "worker": worker}
    try:
        with brief(database()):
            if taken_from_it.filter(state=State.WAITING).update(**now):
                return True
            failed = taken_from_it.filter(state=State.FAILED, error__startswith=DIED)
            if was_forgiven and failed.update(**now, error="", finished_at=None):
                return True
            before = rows.filter(attempt=claim.attempt - 1, state=State.WAITING)
            if before.update(**now, slot=claim.slot, started_at=DatabaseNow()):
                return True  # it waits in the state that the database was restored to
            return taken_from_it.filter(state=State.RUNNING).exists()
    except IntegrityError:  # its exclusive key, or its slot, is another one's
        return False


def adopt(former: int, worker: int, held: Collection[Claim]) -> None:
    """Let what a worker runs be that of its new number."""
    running = BackgroundTask.objects.using(database()).filter(worker=former, state=State.RUNNING)
    for claim in held:
        own = running.filter(pk=claim.pk, task_id=claim.task_id, attempt=claim.attempt)
        own.update(worker=worker)


def go_on(claimed: Claim, earlier: Claim) -> None:
    """Undo a claim of a task that the same process still runs: its earlier attempt goes on."""
    rows = BackgroundTask.objects.using(database()).filter(pk=claimed.pk, state=State.RUNNING)
    rows.filter(attempt=claimed.attempt, task_id=claimed.task_id).update(attempt=earlier.attempt)
    if claimed.worker is not None:
        forgive(claimed.worker, earlier)


def forgive(worker: int, claim: Claim) -> bool:
    """Count a death no more that was none: the worker has come back; return whether it counted."""
    alias = database()
    attempts = TaskAttempt.objects.using(alias).filter(task=claim.pk)
    with brief(alias):
        if attempts.filter(error=CUT_OFF).count() >= MAX_RETURNS:
            return False
        died = attempts.filter(number=claim.attempt, worker=worker, error=DIED)
        if not died.update(error=CUT_OFF):
            return False
        goes_on = Q(finished_at=None) | Q(state=State.FAILED, error__startswith=DIED)
        tasks = BackgroundTask.objects.using(alias).filter(goes_on, pk=claim.pk, deaths__gt=0)
        return bool(tasks.update(deaths=F("deaths") - 1))
