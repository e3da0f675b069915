"""Earlier attempts of a task: each keeps its error, its worker and its times."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final, Protocol

from django.db import connections
from django.db.models import QuerySet

from wagtail_async_hooks.ledger.base import TABLE, database
from wagtail_async_hooks.models import TaskAttempt
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database.instants import NOW, adapted, placed
from wagtail_async_hooks.utils.database.values import fitted

ATTEMPTS: Final = TaskAttempt._meta.db_table


class Numbered(Protocol):
    """What names one attempt at a task: a row, or a claim."""

    @property
    def pk(self) -> int: ...

    @property
    def attempt(self) -> int: ...


def attempts(task: int) -> QuerySet[TaskAttempt]:
    """Return the earlier attempts at a task, oldest first; the last one is in the task's row."""
    return TaskAttempt.objects.using(database()).filter(task_id=task).order_by("pk")


def keep_attempt(
    alias: str,
    task: Numbered,
    state: State,
    *,
    error: str,
    error_type: str = "",
    traceback: str = "",
    ended_at: datetime.datetime | None = None,
) -> None:
    """Keep what is in a task's row about an attempt, together with what went wrong in it.

    :param state: the row's; nothing is kept of an attempt that the row tells no more of.
    :param ended_at: now, if not given.
    """
    connection = connections[alias]
    ended, told = placed(adapted(ended_at, connection) or NOW, connection)
    errors = {"error": error, "error_type": error_type, "traceback": traceback}
    told += fitted(TaskAttempt, errors, connection).values()
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {ATTEMPTS} (task_id, number, worker_id, started_at, "
            "ended_at, error, error_type, traceback) "
            f"SELECT id, attempt, worker_id, started_at, {ended}, %s, %s, %s FROM {TABLE} "
            "WHERE id = %s AND attempt = %s AND state = %s",
            [*told, task.pk, task.attempt, state.value],
        )


def keep_attempts(alias: str, keys: Sequence[int]) -> None:
    """Keep what is in the rows of tasks that have ended about their last attempts, if they had any.

    :param keys: primary keys of the tasks.
    """
    if not keys:
        return
    named = ", ".join(["%s"] * len(keys))
    columns = "started_at, {}, error, error_type, traceback"
    ended = "COALESCE(finished_at, started_at, enqueued_at)"
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {ATTEMPTS} (task_id, number, worker_id, {columns.format('ended_at')}) "
            f"SELECT id, attempt, worker_id, {columns.format(ended)} FROM {TABLE} "
            f"WHERE id IN ({named}) AND attempt > 0 ORDER BY id",
            list(keys),
        )
