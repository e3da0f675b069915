"""Every state change of a background task, and nothing else.

The table of :class:`~wagtail_async_hooks.models.BackgroundTask` is the truth about every task,
whatever storage carries the news of it. The hot path (claim, finish) is written in SQL: it is run
for every task, and Django's ORM would spend more time making the statement than the database
running it. ``attempt`` grows with every claim and never shrinks, so that "the same row, running,
at the same attempt" means "still mine": a worker that was given up for dead cannot overwrite what
its successor did.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from wagtail_async_hooks.models import BackgroundTask, StoredValue, Worker
from wagtail_async_hooks.records import Claim, Outcome, State, TaskInfo

_TABLE: Final = BackgroundTask._meta.db_table
_CLAIMED: Final = "id, task_id, name, hook, function, queue, priority, attempt, deaths, message"

# Huey keeps revocations under keys that begin with r: (one task) and rt: (a function's tasks).
_REVOCATIONS: Final = (
    f"EXISTS (SELECT 1 FROM {StoredValue._meta.db_table} revocation "
    "WHERE revocation.key >= 'r' AND revocation.key < 's')"
)


class DatabaseNow(Now):
    """The database's clock, in UTC on every database."""

    def as_mysql(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)


def database() -> str:
    """Return the alias of the database that holds the ledger; Django's routers decide."""
    return router.db_for_write(BackgroundTask)


def insert(row: BackgroundTask) -> BackgroundTask:
    """Record a new task, in the caller's transaction if there is one."""
    row.save(using=database(), force_insert=True)
    return row


def info(row: BackgroundTask) -> TaskInfo:
    """Return what signals and logs tell about a row."""
    return TaskInfo(
        row.pk, row.task_id, row.name, row.hook, row.function, row.queue, row.priority, row.attempt
    )


# Claim and finish ---------------------------------------------------------------------------


def step(
    outcome: Outcome | None,
    worker: int | None,
    pk: int | None = None,
    *,
    claim: bool = True,
    suspects: bool = True,
) -> tuple[bool, Claim | None]:
    """Record how one task ended and claim the next, in one transaction.

    :param outcome: what to record; ``None`` to claim only.
    :param worker: primary key of the worker's row, ``None`` for a process without one.
    :param pk: claim this row; ``None`` claims the next by priority, then age.
    :param claim: ``False`` to record only.
    :param suspects: ``False`` to pass over tasks that a worker has died of.
    :returns: whether the outcome counted (it does not when the task was given to another worker
        meanwhile), and the claimed task.
    """
    alias = database()
    with _transaction(alias, needed=outcome is not None):
        kept = outcome is not None and _finish(alias, outcome)
        claimed = _claim(connections[alias], worker, pk, suspects) if claim else None
    return kept, claimed


def _transaction(alias: str, *, needed: bool) -> AbstractContextManager[Any]:
    """A lone claim is one statement and commits by itself where the database can do that."""
    if needed or not _updates_return(connections[alias]):
        return transaction.atomic(using=alias)
    return nullcontext()


def _updates_return(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether there is ``UPDATE … RETURNING``; SQLite got it together with INSERT's (3.35)."""
    returns = bool(connection.features.can_return_columns_from_insert)
    return returns and connection.vendor in ("postgresql", "sqlite")


def _finish(alias: str, outcome: Outcome) -> bool:
    claim = outcome.claim
    columns: dict[str, Any] = {"state": outcome.state.value}
    if outcome.state.is_final:
        columns["finished_at"] = _moment(alias, timezone.now())
    else:
        columns["run_at"] = _moment(alias, outcome.run_at)
    if outcome.result is not None:
        columns["result"] = outcome.result
    if outcome.message is not None:
        columns["message"] = outcome.message
    if outcome.state is not State.SUCCEEDED or claim.attempt > 1:
        columns["error"] = outcome.error
        columns["error_type"] = outcome.error_type[:255]
        columns["traceback"] = outcome.traceback
    assignments = ", ".join(f"{name} = %s" for name in columns)
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TABLE} SET {assignments} WHERE id = %s AND attempt = %s AND state = %s",
            [*columns.values(), claim.pk, claim.attempt, State.RUNNING.value],
        )
        return bool(cursor.rowcount == 1)


def _claim(
    connection: BaseDatabaseWrapper, worker: int | None, pk: int | None, suspects: bool
) -> Claim | None:
    lock = ""
    if connection.features.has_select_for_update:
        lock = " FOR UPDATE"
        if connection.features.has_select_for_update_skip_locked:
            lock += " SKIP LOCKED"
    started_at = _moment(connection.alias, timezone.now())
    begin = (
        f"UPDATE {_TABLE} SET state = 'running', attempt = attempt + 1, worker_id = %s, "
        "started_at = %s WHERE "
    )
    waiting = "state = 'waiting'" if suspects else "state = 'waiting' AND deaths = 0"
    with connection.cursor() as cursor:
        if _updates_return(connection):
            chosen = f"%s AND {waiting}" if pk is not None else f"({_next(waiting, lock)})"
            parameters = [worker, started_at] if pk is None else [worker, started_at, pk]
            cursor.execute(f"{begin}id = {chosen} RETURNING {_CLAIMED}, {_REVOCATIONS}", parameters)
            row = cursor.fetchone()
        else:
            row = _select_then_update(cursor, begin, [worker, started_at], pk, waiting, lock)
    if row is None:
        return None
    columns = [*row[:-2], bytes(row[-2]), bool(row[-1])]
    return Claim(*columns)


def _next(waiting: str, lock: str, columns: str = "id") -> str:
    return (
        f"SELECT {columns} FROM {_TABLE} WHERE {waiting} ORDER BY priority DESC, id LIMIT 1{lock}"
    )


def _select_then_update(
    cursor: Any, begin: str, parameters: list[Any], pk: int | None, waiting: str, lock: str
) -> tuple[Any, ...] | None:
    """Claim on a database without ``UPDATE … RETURNING``; the caller holds a transaction."""
    columns = f"{_CLAIMED}, {_REVOCATIONS}"
    if pk is None:
        cursor.execute(_next(waiting, lock, columns))
    else:
        cursor.execute(f"SELECT {columns} FROM {_TABLE} WHERE id = %s AND {waiting}{lock}", [pk])
    row = cursor.fetchone()
    if row is None:
        return None
    cursor.execute(f"{begin}id = %s AND state = 'waiting'", [*parameters, row[0]])
    if cursor.rowcount != 1:
        return None
    attempt = _CLAIMED.split(", ").index("attempt")
    return (*row[:attempt], row[attempt] + 1, *row[attempt + 1 :])


def _moment(alias: str, moment: datetime.datetime | None) -> Any:
    return connections[alias].ops.adapt_datetimefield_value(moment)


# What is due, and results -------------------------------------------------------------------


def promote_due(limit: int = 500) -> list[tuple[int, int]]:
    """Let scheduled tasks whose time has come wait for a worker.

    :returns: primary key and priority of each, at most ``limit`` of them.
    """
    tasks = BackgroundTask.objects.using(database())
    due = list(
        tasks.filter(state=State.SCHEDULED, run_at__lte=timezone.now())
        .order_by("run_at")
        .values_list("pk", "priority")[:limit]
    )
    if due:
        keys = [pk for pk, _ in due]
        tasks.filter(pk__in=keys, state=State.SCHEDULED).update(state=State.WAITING)
    return due


def cancel_all(state: State, reason: str) -> int:
    """Cancel all tasks in a state other than running; return how many."""
    tasks = BackgroundTask.objects.using(database()).filter(state=state)
    return tasks.update(state=State.CANCELLED, error=reason, finished_at=timezone.now())


def forget_user(key: Any) -> int:
    """Drop the link to a user who was deleted from all tasks; return from how many."""
    return BackgroundTask.objects.using(database()).filter(user=key).update(user=None)


def ended(task_id: str) -> BackgroundTask | None:
    """Return the newest row of a task by Huey's id, if that task has come to an end."""
    row = BackgroundTask.objects.using(database()).filter(task_id=task_id).order_by("-pk").first()
    return row if row is not None and State(row.state).is_final else None


# Workers ------------------------------------------------------------------------------------


def register_worker(worker: Worker) -> Worker:
    """Record a worker process; its clock is the database's."""
    worker.started_at = worker.heartbeat_at = DatabaseNow()
    worker.save(using=database(), force_insert=True)
    worker.refresh_from_db(using=database(), fields=["started_at", "heartbeat_at"])
    return worker


def beat(worker: int) -> None:
    """Say that a worker is alive; one that had been given up for dead is alive again."""
    Worker.objects.using(database()).filter(pk=worker).update(
        heartbeat_at=DatabaseNow(), stopped_at=None
    )


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
            row.deaths += 1
            waits = row.deaths < max_deaths
            row.state = State.WAITING if waits else State.FAILED
            if not waits:
                row.error = killed(row.deaths)
                row.finished_at = timezone.now()
            row.save(using=alias, update_fields=["deaths", "state", "error", "finished_at"])
            rescued.append((info(row), waits))
        Worker.objects.using(alias).filter(pk__in=dead, stopped_at=None).update(
            stopped_at=F("heartbeat_at")
        )
    return rescued
