"""Workers: that they are alive, what they hold, and what becomes of it when they die."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import Exists, F, Max, Min, OuterRef, Q, QuerySet

from wagtail_async_hooks.fitting import fitted
from wagtail_async_hooks.instants import DatabaseNow
from wagtail_async_hooks.ledger.attempts import keep_attempt
from wagtail_async_hooks.ledger.base import database, info
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.records import State, TaskInfo


def register_worker(worker: Worker) -> Worker:
    """Record a worker process; its clock is the database's."""
    for name, value in fitted(Worker, _told_by(worker), connections[database()]).items():
        setattr(worker, name, value)
    worker.started_at = worker.heartbeat_at = DatabaseNow()
    worker.save(using=database(), force_insert=True)
    worker.refresh_from_db(using=database(), fields=["started_at", "heartbeat_at"])
    return worker


def _told_by(worker: Worker) -> dict[str, Any]:
    """Return what a process says of itself: the columns that are not given by the database."""
    names = ("host", "process_space", "pid", "threads", "release", "queues")
    return {name: getattr(worker, name) for name in names}


def beat(worker: int, clock_ahead: int = 0) -> None:
    """Say that a worker is alive; one that had been given up for dead is alive again.

    :param clock_ahead: by how many seconds its clock is ahead of the database's.
    """
    Worker.objects.using(database()).filter(pk=worker).update(
        heartbeat_at=DatabaseNow(), stopped_at=None, clock_ahead=clock_ahead
    )


def alive(seconds: float) -> QuerySet[Worker]:
    """Return the workers that have said within some seconds that they are alive."""
    since = DatabaseNow() - datetime.timedelta(seconds=seconds)
    workers = Worker.objects.using(database())
    return workers.filter(stopped_at=None, heartbeat_at__gte=since)


def is_served(seconds: float) -> bool:
    """Tell whether any worker has said within some seconds that it is alive."""
    return alive(seconds).exists()


def oldest_alive(seconds: float) -> int | None:
    """Return the worker that was started first, of those that said so lately they are alive."""
    return alive(seconds).order_by("pk").values_list("pk", flat=True).first()


def is_served_throughout(seconds: float) -> bool:
    """Tell whether a worker that serves all queues has said so within some seconds."""
    since = DatabaseNow() - datetime.timedelta(seconds=seconds)
    workers = Worker.objects.using(database())
    return workers.filter(stopped_at=None, heartbeat_at__gte=since, queues="").exists()


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


def silent_workers(seconds: float) -> list[int]:
    """Return the workers that should be alive and have not said so for some seconds.

    Also one that was given up before, came back for long enough to claim a task, and died then.
    """
    since = DatabaseNow() - datetime.timedelta(seconds=seconds)
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

    :returns: how many tasks were handed back.
    """
    alias = database()
    with transaction.atomic(using=alias):
        handed_back = release(worker)
        Worker.objects.using(alias).filter(pk=worker).update(stopped_at=DatabaseNow())
    return handed_back


def held_by(worker: int) -> list[tuple[int, int]]:
    """Return what runs in a worker by the ledger: primary keys with the number of the attempt."""
    held = BackgroundTask.objects.using(database()).filter(worker=worker, state=State.RUNNING)
    return list(held.values_list("pk", "attempt"))


def hand_back(pk: int, attempt: int) -> bool:
    """Let one task wait again whose attempt nobody makes; tell whether it was still that one."""
    held = BackgroundTask.objects.using(database()).filter(
        pk=pk, attempt=attempt, state=State.RUNNING
    )
    return bool(held.update(state=State.WAITING, worker=None))


def release(worker: int) -> int:
    """Hand back what a live worker holds, without counting a death; return how many."""
    return (
        BackgroundTask.objects.using(database())
        .filter(worker=worker, state=State.RUNNING)
        .update(state=State.WAITING, worker=None)
    )


DIED: Final = "its worker died"
"""What went wrong at an attempt that was not made to its end."""


def killed(deaths: int) -> str:
    """Say why a task failed that so many workers died of."""
    return f"its worker died {deaths} times"


def rescue(dead: Sequence[int], max_deaths: int) -> list[tuple[TaskInfo, bool]]:
    """Let the running tasks of dead workers wait for another one.

    A task that so many workers died of is taken for their murderer, and fails.

    :param dead: primary keys of the workers.
    :param max_deaths: so many deaths fail a task.
    :returns: each task, and whether it waits again.
    """
    alias = database()
    rescued = []
    with transaction.atomic(using=alias):
        held = BackgroundTask.objects.using(alias).filter(state=State.RUNNING, worker__in=dead)
        for row in held.select_for_update():
            keep_attempt(alias, row, State.RUNNING, error=DIED)
            row.deaths += 1
            waits = row.deaths < max_deaths
            row.state = State.WAITING if waits else State.FAILED
            if not waits:
                row.error = killed(row.deaths)
                row.finished_at = DatabaseNow()
            row.save(using=alias, update_fields=["deaths", "state", "error", "finished_at"])
            rescued.append((info(row), waits))
        Worker.objects.using(alias).filter(pk__in=dead, stopped_at=None).update(
            stopped_at=F("heartbeat_at")
        )
    return rescued
