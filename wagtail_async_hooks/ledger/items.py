"""The objects that a task works through, and what became of each."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import QuerySet

from wagtail_async_hooks.ledger.base import BATCH, database
from wagtail_async_hooks.models import TaskItem
from wagtail_async_hooks.types import ItemState
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.database.values import fitted


class DoneItem(NamedTuple):
    """What those who follow need of an object that is done: there may be thousands of them."""

    pk: int
    key: str
    result: Any


def items(task: int) -> QuerySet[TaskItem]:
    """Return what is known of a task's objects, those that failed first, then in their order."""
    found = TaskItem.objects.using(database()).filter(task_id=task)
    return found.order_by("-state", "pk")


def keys_done(task: int) -> set[str]:
    """Return the keys of those of a task's objects that are done."""
    return set(items(task).filter(state=ItemState.DONE).values_list("key", flat=True))


def state_of(task: int, key: str) -> ItemState | None:
    """Return what became of one of a task's objects; ``None`` if nothing is known of it."""
    found = items(task).filter(key=item_key(key)).values_list("state", flat=True).first()
    return None if found is None else ItemState(found)


def item_key(key: str) -> str:
    """Return the key of an object as its column can hold it."""
    return str(_fitted({"key": key})["key"])


def _fitted(columns: dict[str, Any]) -> dict[str, Any]:
    return fitted(TaskItem, columns, connections[database()])


def record_item(
    task: int,
    key: str,
    label: str,
    state: ItemState,
    *,
    error: str = "",
    result: Any = None,
    is_new: bool = False,
) -> None:
    """Record what became of one of a task's objects, in the transaction of the change to it.

    :param error: what went wrong, for editors.
    :param result: what came of it; something that JSON can say.
    :param is_new: whether nothing is known of it yet.
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
    if is_new or not items(task).filter(key=key).update(**columns):
        TaskItem.objects.using(database()).create(task_id=task, key=key, **columns)


def items_to_tell_of(task: int) -> list[DoneItem]:
    """Return those of a task's objects that are done, and that nobody has been told of."""
    found = items(task).filter(state=ItemState.DONE, is_told=False)
    return [DoneItem(*values) for values in found.values_list(*DoneItem._fields)]


def told_of(found: Collection[DoneItem]) -> None:
    """Record that those who follow have been told of some objects."""
    keys = [item.pk for item in found]
    rows = TaskItem.objects.using(database())
    for begin in range(0, len(keys), BATCH):
        rows.filter(pk__in=keys[begin : begin + BATCH]).update(is_told=True)
