"""A bulk action as its row in the ledger describes it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from django.apps import apps
from django.db.models import Count, Model, QuerySet

from wagtail_async_hooks import ledger
from wagtail_async_hooks.exceptions import MessageRefused, ObjectsFailed, UnknownTask
from wagtail_async_hooks.integrations.bulk_actions.registry import registered
from wagtail_async_hooks.models import BackgroundTask, TaskItem
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization.codecs import Reference
from wagtail_async_hooks.types import ItemState, State


class RecordedAction(NamedTuple):
    """A bulk action, and how far it is.

    :param row: its row in the ledger.
    :param name: of the action, such as ``wagtailcore.page.publish``.
    :param model: of its objects.
    :param total: how many objects it is about.
    :param done: how many of them are done.
    :param failed: how many of them failed.
    :param keys: their primary keys, in the order in which they have their turn.
    """

    row: BackgroundTask
    name: str
    model: type[Model]
    total: int
    done: int
    failed: int
    keys: Sequence[Any] = ()

    @classmethod
    def find(cls, task_id: str) -> RecordedAction | None:
        """Return the bulk action with one of Huey's ids, if there is one."""
        # Not above: only whoever asks for one needs what runs it, and then Huey has to know it.
        from wagtail_async_hooks.integrations.bulk_actions.execution import run_bulk_action

        row = ledger.newest(task_id)
        try:
            task = None if row is None else background.deserialize_task(bytes(row.message))
        except (UnknownTask, MessageRefused):
            return None
        if row is None or not isinstance(task, run_bulk_action.task_class):
            return None
        name, objects = task.args[:2]
        [(label, _, keys)] = _runs(objects)
        found = ledger.items(row.pk).order_by().values_list("state").annotate(Count("pk"))
        counts: dict[str, int] = dict(found)
        done, failed = counts.get(ItemState.DONE, 0), counts.get(ItemState.FAILED, 0)
        return cls(row, name, apps.get_model(label), len(keys), done, failed, keys)

    @property
    def left(self) -> int:
        """How many objects have not had their turn."""
        return max(0, self.total - self.done - self.failed)

    def keys_left(self, limit: int) -> list[Any]:
        """Return the keys of objects that have not had their turn, those that come next first."""
        if not self.left:
            return []
        dealt_with = set(self.items().values_list("key", flat=True))
        left = (key for key in self.keys if ledger.item_key(str(key)) not in dealt_with)
        return list(islice(left, limit))

    @property
    def state(self) -> State:
        """Where its task stands."""
        return State(self.row.state)

    @property
    def title(self) -> str:
        """What the action is called in the admin."""
        action = registered().get(self.name)
        return str(action.display_name) if action is not None else self.name

    @property
    def trouble(self) -> str:
        """What ended it that was no single object's; blank if nothing did."""
        failed = ObjectsFailed
        is_of_objects = self.row.error_type == f"{failed.__module__}.{failed.__qualname__}"
        return "" if self.state is not State.FAILED or is_of_objects else self.row.error

    @property
    def can_be_cancelled(self) -> bool:
        """Whether cancelling would change anything."""
        return not self.state.is_final and not self.row.cancel_requested

    @property
    def can_be_retried(self) -> bool:
        """Whether there is anything to do once more, or still."""
        return self.state in ledger.RETRIABLE

    def items(self) -> QuerySet[TaskItem]:
        """Return what became of its objects, those that failed first."""
        return ledger.items(self.row.pk)


def _runs(objects: Any) -> list[tuple[str, str, list[Any]]]:
    """Return label, database and keys of the objects, which need not be read for that."""
    return objects.payload if isinstance(objects, Reference) else objects.runs  # type: ignore[no-any-return]
