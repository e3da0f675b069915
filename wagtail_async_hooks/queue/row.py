"""From a task of Huey's to the ledger's row: about what, for whom, and when."""

from __future__ import annotations

import datetime
from typing import Any, Final

from django.apps import apps
from django.db.models import Model
from django.http import HttpRequest
from huey.utils import utcnow

from wagtail_async_hooks.conf.options import DEFAULT_QUEUE
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.queue.titles import columns_of, name_of_object
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.types import State, Subject
from wagtail_async_hooks.utils.database.instants import NOW, FromNow, StateAt
from wagtail_async_hooks.utils.text import cut_key
from wagtail_async_hooks.utils.time import from_huey

MAX_HOOK: Final = 100
"""Characters of a hook's name."""


def make_row(task: QueuedTask, message: bytes, context: Context) -> dict[str, Any]:
    """Return the row of a task to enqueue: non-default column values, keyed by attname.

    :param context: says who triggered it, unless a request among the arguments does.
    """
    now = utcnow()
    submission, definition = task.submission, task.definition
    return {
        "task_id": task.id,
        "name": name_of(task),
        "hook": cut_key(submission.hook or definition.hook, MAX_HOOK),
        "function": cut_key(submission.function or definition.function),
        "message": message,
        "queue": submission.queue or definition.queue or DEFAULT_QUEUE,
        "priority": task.priority or 0,
        **_due(task, now),
        "latest_at": _from(now, submission.latest_at),
        "expires_at": _expiry(task, now),
        "enqueued_at": NOW,
        "user_id": _user_key(task, context.user),
        "cause": context.log,
        "coalesce_key": submission.coalesce_key,
        "exclusive_key": submission.exclusive_key,
        **_subject(task),
        **columns_of(task),
    }


def name_of(task: QueuedTask) -> str:
    """Return the name under which a task is enqueued: that by which Huey knows it, or its own.

    Names that are too long for the row end with a hash, so that they differ still.
    """
    own = task.submission.name
    return cut_key(own or f"{type(task).__module__}.{type(task).__name__}")


# When ---------------------------------------------------------------------------------------
#
# Huey makes a time of each delay by the clock of the process that asks for it, which may be wrong.
# So the row gets how long that time is away from now, and the database's clock says what
# that comes to. Only a time that the caller has named means itself.


def _due(task: QueuedTask, now: datetime.datetime) -> dict[str, Any]:
    """Return the columns that say when a task is due, and what state that comes to."""
    if task.eta is None:
        return {"state": State.WAITING.value}
    if task.submission.is_eta_named:
        moment = from_huey(task.eta)
        return {"state": StateAt(moment), "run_at": moment}
    state = State.SCHEDULED if task.eta > now else State.WAITING
    return {"state": state.value, "run_at": _from(now, task.eta)}


def _expiry(task: QueuedTask, now: datetime.datetime) -> Any:
    if task.expires_resolved is None:
        return None
    if isinstance(task.expires, datetime.datetime):
        return from_huey(task.expires_resolved)
    return _from(now, task.expires_resolved)


def _from(now: datetime.datetime, moment: datetime.datetime | None) -> FromNow | None:
    return None if moment is None else FromNow((moment - now).total_seconds())


def _arguments(task: QueuedTask) -> tuple[Any, ...]:
    """Return all arguments; Huey notices only when the task runs that they are no tuple."""
    return (*task.args, *task.kwargs.values()) if isinstance(task.args, tuple) else ()


def _subject(task: QueuedTask) -> dict[str, Any]:
    """Return the columns that say which object a task is about: its first model argument."""
    if (known := task.submission.subject) is not None:
        return _columns(known)
    for value in _arguments(task):
        found = value[0] if isinstance(value, list | tuple) and value else value
        if isinstance(found, Model):
            return columns_of_subject(found) | _title(found)
        subject = getattr(found, "subject", None)
        if isinstance(subject, Subject):  # of a snapshot, or a draft
            return _columns(subject)
    return {}


def columns_of_subject(instance: Model) -> dict[str, Any]:
    """Return the columns that say that a task is about an object."""
    return {"subject_type_id": _content_type(instance), "subject_id": _text(instance.pk)}


def _columns(subject: Subject) -> dict[str, Any]:
    kind = _types().get_for_model(subject.model).pk
    return {"subject_type_id": kind, "subject_id": _text(subject.key), **_title(subject.instance)}


def _title(instance: Model | None) -> dict[str, Any]:
    """Return the column that says what the object is called now; it may be gone later."""
    return {"subject_title": name_of_object(instance)}


def _text(key: Any) -> str:
    return "" if key is None else str(key)


def _types() -> Any:
    return apps.get_model("contenttypes", "ContentType")._default_manager


def _content_type(instance: Model) -> Any:
    """Return the content type's key; of a page that was loaded as a plain one, its own class's."""
    is_page = hasattr(type(instance), "cached_content_type")  # which keeps it in a column
    known = getattr(instance, "content_type_id", None) if is_page else None
    return known or _types().get_for_model(instance).pk


def _user_key(task: QueuedTask, acting: Any) -> Any:
    """Return the key of who triggered a task: the request's user, or else who acts."""
    for value in _arguments(task):
        if isinstance(value, HttpRequest):
            return getattr(getattr(value, "user", None), "pk", None)
    return acting
