"""What all parts of the ledger share: which database, whose clock, and how a row is told of."""

from __future__ import annotations

import datetime
from typing import Any, Final

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now

from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.records import TaskInfo

TABLE: Final = BackgroundTask._meta.db_table
INFO: Final = "id, task_id, name, hook, function, queue, priority, attempt"
"""The columns of a :class:`~wagtail_async_hooks.records.TaskInfo`, in their order."""

CLAIMED: Final = (
    f"{INFO}, deaths, message, coalesce_key, exclusive_key, cancel_requested, snoozes, "
    "latest_at IS NOT NULL"
)
"""What is read of a row that has been claimed."""

BATCH: Final = 500
"""So many primary keys or rows are put into one statement: databases limit its length."""

BATCH_SIZE: Final = 1_000_000
"""Bytes of messages that are put into one statement, unless one alone is longer."""


class DatabaseNow(Now):
    """The database's clock, in UTC on every database."""

    def as_mysql(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)


def database() -> str:
    """Return the alias of the database that holds the ledger; Django's routers decide."""
    return router.db_for_write(BackgroundTask)


def info(row: BackgroundTask) -> TaskInfo:
    """Return what signals and logs tell about a row."""
    return TaskInfo(
        row.pk, row.task_id, row.name, row.hook, row.function, row.queue, row.priority, row.attempt
    )


def moment_of(connection: BaseDatabaseWrapper, moment: datetime.datetime | None) -> Any:
    """Return a moment as a database's driver takes it."""
    return connection.ops.adapt_datetimefield_value(moment)


def lock_of(connection: BaseDatabaseWrapper) -> str:
    """Return what a SELECT ends with whose rows are to be changed."""
    if not connection.features.has_select_for_update:
        return ""
    skip = connection.features.has_select_for_update_skip_locked
    return " FOR UPDATE SKIP LOCKED" if skip else " FOR UPDATE"
