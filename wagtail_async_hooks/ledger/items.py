"""The objects that a task works through, and what became of each."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from wagtail_async_hooks.ledger.base import BATCH, database
from wagtail_async_hooks.models import TaskItem
from wagtail_async_hooks.types import ItemState
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.database.values import fitted


def items(task: int) -> QuerySet[TaskItem]:
    """Return what is known of a task's objects, those that failed first, then in their order."""
    found = TaskItem.objects.using(database()).filter(task_id=task)
    return found.order_by("-state", "pk")


def keys_done(task: int) -> set[str]:
    """Return the keys of those of a task's objects that are done."""
    return set(items(task).filter(state=ItemState.DONE).values_list("key", flat=True))


def is_done(task: int, key: str) -> bool:
    """Return whether one of a task's objects is done."""
    return items(task).filter(key=item_key(key), state=ItemState.DONE).exists()


def item_key(key: str) -> str:
    """Return the key of an object as its column can hold it."""
    return str(_fitted({"key": key})["key"])


def _fitted(columns: dict[str, Any]) -> dict[str, Any]:
    return fitted(TaskItem, columns, connections[database()])


def record_item(
    task: int, key: str, label: str, state: ItemState, *, error: str = "", result: Any = None
) -> None:
    """Record what became of one of a task's objects, in the transaction of the change to it.

    :param error: what went wrong, for editors.
    :param result: what came of it; something that JSON can say.
    """
    columns = _fitted(
        {
            "label": label,
            "state": state,
            "error": error,
            "result": result,
            "is_told": False,
            "ended_at": DatabaseNow(),
        }
    )
    key = item_key(key)
    if not items(task).filter(key=key).update(**columns):
        TaskItem.objects.using(database()).create(task_id=task, key=key, **columns)


def items_to_tell_of(task: int) -> list[TaskItem]:
    """Return those of a task's objects that are done, and that nobody has been told of."""
    return list(items(task).filter(state=ItemState.DONE, is_told=False))


def told_of(found: Collection[TaskItem]) -> None:
    """Record that those who follow have been told of some objects."""
    keys = [item.pk for item in found]
    rows = TaskItem.objects.using(database())
    for begin in range(0, len(keys), BATCH):
        rows.filter(pk__in=keys[begin : begin + BATCH]).update(is_told=True)
