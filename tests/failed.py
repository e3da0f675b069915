"""Records tasks that have failed, without running them."""

from __future__ import annotations

import datetime
from typing import Any

from django.utils import timezone

from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

HOUR = datetime.timedelta(hours=1)
FUNCTION = "tests.work.tasks.add"


def fail(
    kind: str = "shop.PaymentError", place: str = "shop.pay", ago: float = 0, **columns: Any
) -> int:
    """Record a task that has failed; return its number.

    :param kind: dotted path of the error's class.
    :param ago: so many hours ago.
    """
    tasks.add(1, 2)
    row = BackgroundTask.objects.latest("pk")
    BackgroundTask.objects.filter(pk=row.pk).update(**_failed(kind, place, ago) | columns)
    return row.pk


def fail_many(number: int, **columns: Any) -> list[int]:
    """Record many tasks that have failed; return their numbers."""
    tasks.add(1, 2)
    row = BackgroundTask.objects.latest("pk")
    for name, value in (_failed("shop.PaymentError", "shop.pay", 0) | columns).items():
        setattr(row, name, value)
    row.pk = None
    copies = [row.__class__(**_columns(row), task_id=f"copy-{n}") for n in range(number)]
    BackgroundTask.objects.bulk_create(copies, batch_size=500)
    BackgroundTask.objects.filter(state=State.WAITING).delete()
    keys = BackgroundTask.objects.filter(task_id__startswith="copy-").order_by("pk")
    return list(keys.values_list("pk", flat=True))


def _failed(kind: str, place: str, ago: float) -> dict[str, Any]:
    return {
        "state": State.FAILED,
        "finished_at": timezone.now() - ago * HOUR,
        "attempt": 1,
        "error_type": kind,
        "error_place": place,
        "error": "no money",
    }


def _columns(row: BackgroundTask) -> dict[str, Any]:
    names = {field.attname for field in row._meta.concrete_fields} - {"id", "task_id"}
    return {name: getattr(row, name) for name in names}
