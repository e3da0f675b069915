"""Tasks that have ended, and of which their users have not been told yet."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.db import connections
from django.db.models import ExpressionWrapper, Q
from django.db.models.fields import BooleanField

from wagtail_async_hooks.ledger.base import BATCH, TABLE, database
from wagtail_async_hooks.models import BackgroundTask, MutedError, Notice

_NOTICES: Final = Notice._meta.db_table

_MUTED: Final = (
    f"EXISTS (SELECT 1 FROM {MutedError._meta.db_table} muted JOIN {TABLE} failed "
    "ON failed.error_type = muted.error_type AND failed.function = muted.function "
    "AND failed.error_place = muted.error_place WHERE failed.id = %s)"
)
"""Whether nobody wants to hear of the error of a task."""

_LEFT: Final = ("message", "result", "traceback", "messages")
"""Columns of a task that are not read with its notice."""


def add_notice(alias: str, task: int, *, merged: Sequence[int] = (), unless_muted: bool) -> None:
    """Remember that a task has something to say to its user, if it has one.

    :param merged: tasks that this one ran for as well, whose users hear of it, too.
    :param unless_muted: whether to be silent if its error is muted.
    """
    keys = [task, *merged]
    condition, values = (f"AND NOT {_MUTED}", [task]) if unless_muted else ("", [])
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_NOTICES} (task_id, user_id) SELECT id, user_id FROM {TABLE} "
            f"WHERE id IN ({', '.join(['%s'] * len(keys))}) AND user_id IS NOT NULL "
            f"AND NOT EXISTS (SELECT 1 FROM {_NOTICES} other WHERE other.task_id = {TABLE}.id) "
            f"{condition}",
            [*keys, *values],
        )


class Unread(NamedTuple):
    """A task that has ended, and of which its user has not been told yet.

    :param task: with the task that ran for it, if it was merged, and without large columns.
    :param has_messages: whether its function wrote messages, which may be long.
    """

    task: BackgroundTask
    has_messages: bool


def notices(user: Any, limit: int) -> list[Unread]:
    """Return what a user has not been told yet, the oldest first, by one query.

    :param user: primary key.
    :param limit: so many at most; the others are for the next time.
    """
    unread = Notice.objects.using(database()).filter(user=user).order_by("pk")
    unread = unread.select_related("task__merged_into").defer(
        *(f"task__{name}" for name in _LEFT),
        *(f"task__merged_into__{name}" for name in _LEFT),
    )
    has_messages = ExpressionWrapper(Q(task__messages__isnull=False), BooleanField())
    found = unread.annotate(has_messages=has_messages)[:limit]
    return [Unread(notice.task, notice.has_messages) for notice in found]


def take_notices(taken: Sequence[Unread]) -> int:
    """Let nobody be told of some tasks once more; return how many nobody had been told of.

    Two pages may be loading at the same time.
    """
    keys = [unread.task.pk for unread in taken]
    return Notice.objects.using(database()).filter(pk__in=keys).delete()[0]


def take_notices_of(user: Any, cause: uuid.UUID) -> int:
    """Take all notices of one request that are without messages; return how many there were.

    :param user: primary key.
    :param cause: the id of the request.
    """
    unread = Notice.objects.using(database()).filter(user=user)
    of_request = unread.filter(task__cause=cause, task__messages__isnull=True)
    keys = list(of_request.values_list("pk", flat=True))
    batches = (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))
    return sum(unread.filter(pk__in=batch).delete()[0] for batch in batches)
