"""A task that does nothing, by which people find out whether tasks are run, and how soon."""

from __future__ import annotations

from typing import Final

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue.task_queue import background

NAME: Final = "wagtail_async_hooks.test_background_tasks"
"""Its name in rows."""


@background.own_task("test_background_tasks")
def test_background_tasks() -> None:
    """Do nothing."""


def send() -> int | None:
    """Enqueue the task, in the default queue like those of editors; return its primary key.

    :returns: ``None`` if somebody has discarded it already.
    """
    task = test_background_tasks.s()
    background.enqueue(task)
    recorded = BackgroundTask.objects.using(ledger.database()).filter(task_id=task.id)
    return recorded.order_by("-pk").values_list("pk", flat=True).first()
