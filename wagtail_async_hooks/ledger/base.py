"""What all modules of the ledger share: the database, and plain values made of rows."""

from __future__ import annotations

import datetime
from typing import Final

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import TaskInfo
from wagtail_async_hooks.utils.database import instants

TABLE: Final = BackgroundTask._meta.db_table
INFO: Final = "id, task_id, name, hook, function, queue, priority, attempt"
"""The columns of a :class:`~wagtail_async_hooks.types.TaskInfo`, in their order."""

CLAIMED: Final = (
    f"{INFO}, deaths, message, coalesce_key, exclusive_key, cancel_requested, snoozes, "
    "latest_at IS NOT NULL"
)
"""What is read of a row that has been claimed."""

BATCH: Final = 500
"""So many primary keys or rows are put into one statement: databases limit its length."""

BATCH_SIZE: Final = 1_000_000
"""Bytes of messages that are put into one statement, unless one alone is longer."""


def database() -> str:
    """Return the alias of the database that holds the ledger; Django's routers decide."""
    return router.db_for_write(BackgroundTask)


def clock() -> datetime.datetime:
    """Return what the clock of the ledger's database says; one query."""
    return instants.ask(connections[database()])


def info(row: BackgroundTask) -> TaskInfo:
    """Return what signals and logs tell about a row."""
    return TaskInfo(
        row.pk, row.task_id, row.name, row.hook, row.function, row.queue, row.priority, row.attempt
    )


def lock_of(connection: BaseDatabaseWrapper) -> str:
    """Return what a SELECT ends with whose rows are to be changed."""
    if not connection.features.has_select_for_update:
        return ""
    skip = connection.features.has_select_for_update_skip_locked
    return " FOR UPDATE SKIP LOCKED" if skip else " FOR UPDATE"
