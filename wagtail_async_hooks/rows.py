"""From a task of Huey's to the ledger's row: about what, for whom, and when."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from huey.api import Task
from huey.utils import utcnow
from wagtail.log_actions import get_active_log_context

from wagtail_async_hooks.records import State

if TYPE_CHECKING:
    from wagtail_async_hooks.models import BackgroundTask


def make_row(task: Task, message: bytes) -> BackgroundTask:
    """Return the row to record for a task."""
    row: BackgroundTask = apps.get_model("wagtail_async_hooks", "BackgroundTask")(
        task_id=task.id,
        name=f"{type(task).__module__}.{type(task).__name__}",
        hook=getattr(task, "hook", ""),
        function=task.function,
        message=message,
        priority=task.priority or 0,
        state=State.SCHEDULED if is_later(task.eta) else State.WAITING,
        run_at=aware(task.eta),
        enqueued_at=timezone.now(),
        user_id=_user_key(task),
        **_subject(task),
    )
    return row


def is_later(moment: datetime.datetime | None) -> bool:
    """Tell whether one of Huey's times is still to come."""
    return moment is not None and moment > utcnow()


def aware(moment: datetime.datetime | None) -> datetime.datetime | None:
    """Huey's times are naive and in UTC; Django's follow ``USE_TZ``."""
    if moment is None:
        return None
    aware = moment.replace(tzinfo=datetime.UTC)
    return aware if settings.USE_TZ else timezone.make_naive(aware)


def _arguments(task: Task) -> tuple[Any, ...]:
    """Return all arguments; Huey notices only when the task runs that they are no tuple."""
    return (*task.args, *task.kwargs.values()) if isinstance(task.args, tuple) else ()


def _subject(task: Task) -> dict[str, Any]:
    """Return the columns that say which object a task is about: its first model argument."""
    for value in _arguments(task):
        found = value[0] if isinstance(value, list | tuple) and value else value
        if not isinstance(found, Model):
            found = getattr(found, "instance", None)  # a snapshot of a deleted object
        if isinstance(found, Model):
            return {"subject_type": _content_type(found), "subject_id": str(found.pk or "")}
    return {}


def _content_type(instance: Model) -> Model:
    """Return the content type; of a page that was loaded as a plain one, that of its own class."""
    known: Model | None = getattr(instance, "cached_content_type", None)
    types: Any = apps.get_model("contenttypes", "ContentType")._default_manager
    return known or types.get_for_model(instance)


def _user_key(task: Task) -> Any:
    """Return the key of who triggered a task: the request's user, else Wagtail's log context's."""
    for value in _arguments(task):
        if isinstance(value, HttpRequest):
            return getattr(getattr(value, "user", None), "pk", None)
    return getattr(get_active_log_context().user, "pk", None)
