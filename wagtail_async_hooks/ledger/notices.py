"""Messages of tasks that their users have not seen yet."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.messages import ERROR
from django.db import connections

from wagtail_async_hooks.ledger.base import TABLE, database
from wagtail_async_hooks.models import Notice

_NOTICES: Final = Notice._meta.db_table


def add_notice(alias: str, task: int) -> None:
    """Remember that a task has something to say to its user, if it has one."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_NOTICES} (task_id, user_id) SELECT id, user_id FROM {TABLE} "
            "WHERE id = %s AND user_id IS NOT NULL "
            f"AND NOT EXISTS (SELECT 1 FROM {_NOTICES} other WHERE other.task_id = %s)",
            [task, task],
        )


def take_messages(user: Any, limit: int) -> list[dict[str, Any]]:
    """Return the messages of a user's tasks, oldest task first; nobody gets them once more.

    What the error of a task means is the last of its messages.

    :param user: primary key.
    :param limit: so many tasks at most; the others are for the next time.
    """
    notices = Notice.objects.using(database())
    said = ("task__messages", "task__title", "task__explanation")
    unread = notices.filter(user=user).order_by("pk").values_list("pk", *said)
    taken: list[dict[str, Any]] = []
    for task, messages, title, explanation in unread[:limit]:
        # Two pages may be loading at the same time.
        if notices.filter(pk=task).delete()[0]:
            taken += messages or []
            if explanation:
                text = f"{title}: {explanation}" if title else explanation
                taken.append({"level": ERROR, "text": text, "tags": "", "safe": False})
    return taken
