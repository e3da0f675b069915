"""Functions for all hooks that write down what they see: in the request, and in a worker.

Each call is one line of JSON in the file that the environment variable ``FIDELITY_RECORDS`` names.
Nothing is registered while it is not set, so that other tests and the demo know nothing of this.
"""

from __future__ import annotations

import datetime
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import partial, singledispatch
from pathlib import Path
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.fields.files import FieldFile
from django.http import HttpRequest
from django.utils import timezone, translation
from modelcluster.models import get_all_child_relations
from taggit.managers import TaggableManager
from wagtail.admin.views.bulk_action import BulkAction
from wagtail.blocks import StreamValue, StructValue
from wagtail.blocks.list_block import ListValue
from wagtail.log_actions import get_active_log_context
from wagtail.models import Page, Site

from tests.work.tasks import leave_trace
from wagtail_async_hooks import hooks
from wagtail_async_hooks.hooks.catalogue import BACKGROUND_SAFE
from wagtail_async_hooks.serialization.arguments import BulkActionInfo, ModelSequence

RECORDS: Final = "FIDELITY_RECORDS"
"""The environment variable that names the file for records."""

SCENARIO: Final = "scenario"
"""The parameter in a request's address by which its records are found."""

SECRET: Final = {"api_key": "hush"}
"""What no task is to know of a request's address, in which it comes last."""

SYNC, BACKGROUND = "request", "worker"
"""Where a function was called."""

Seen = dict[str, Any]
Hook = Callable[..., None]


# Registering --------------------------------------------------------------------------------


def is_asked_for() -> bool:
    """Return whether this process is to write records."""
    return bool(os.environ.get(RECORDS))


def _observer(hook: str, where: str) -> Hook:
    """Return a function for a hook; a worker can find it, since this module has it by its name."""

    def observe(*args: Any) -> None:
        line = {
            "scenario": args[0].GET.get(SCENARIO, ""),
            "hook": hook,
            "where": where,
            "pid": os.getpid(),
            "seen": what_is_seen(hook, args),
        }
        leave_trace(os.environ[RECORDS], json.dumps(line))

    observe.__name__ = observe.__qualname__ = f"observe_{hook}_in_the_{where}"
    globals()[observe.__name__] = observe
    return observe


_OBSERVERS: Final[dict[str, dict[str, Hook]]] = {
    where: {hook: _observer(hook, where) for hook in BACKGROUND_SAFE}
    for where in (SYNC, BACKGROUND)
}


def register_in_background() -> None:
    """Have workers of this process's site write down what they see."""
    for hook, function in _OBSERVERS[BACKGROUND].items():
        hooks.register(hook, function, background=True)


@contextmanager
def observed(records: Path) -> Iterator[None]:
    """Have each hook observed twice: in the request, and by whichever worker gets the task.

    Both are given the very same arguments. What is for the worker comes first, so that nothing
    that the other function has loaded by looking at its arguments is carried along.
    """
    with ExitStack() as stack:
        os.environ[RECORDS] = str(records)
        stack.callback(os.environ.pop, RECORDS)
        for hook in BACKGROUND_SAFE:
            function = _OBSERVERS[BACKGROUND][hook]
            temporarily = hooks.register_temporarily(hook, function, order=-1, background=True)
            stack.enter_context(temporarily)
            stack.enter_context(hooks.register_temporarily(hook, _OBSERVERS[SYNC][hook], order=1))
        yield


# Arguments ----------------------------------------------------------------------------------


def what_is_seen(hook: str, args: Sequence[Any]) -> Seen:
    """Return what a function of a hook sees: its arguments by name, and what is around it."""
    names = BACKGROUND_SAFE[hook].arguments
    return {
        **{name: seen(value) for name, value in zip(names, args, strict=True)},
        "around": what_is_around(),
    }


def what_is_around() -> Seen:
    """Return what a function finds without its arguments."""
    log_context = get_active_log_context()
    return {
        "language": translation.get_language(),
        "time_zone": timezone.get_current_timezone_name(),
        "log_user": getattr(log_context.user, "pk", None),
        "log_uuid": str(log_context.uuid),
    }


@singledispatch
def seen(value: Any) -> Any:
    """Return plain JSON that says all there is to say about a value, its type included."""
    return {"type": type(value).__name__, "repr": repr(value)}


@seen.register(type(None))
@seen.register(bool)
@seen.register(int)
@seen.register(float)
def _(value: Any) -> Any:
    return value


@seen.register
def _(value: str) -> str:
    return str(value)  # also if it is marked as safe


@seen.register
def _(value: Decimal) -> str:
    return f"Decimal {value.normalize()}"  # 9.9 and 9.90 are the same number


@seen.register
def _(value: datetime.datetime) -> str:
    return f"datetime {value.astimezone(datetime.UTC).isoformat()}"  # one instant, in any zone


@seen.register(datetime.date)
@seen.register(datetime.time)
@seen.register(datetime.timedelta)
@seen.register(uuid.UUID)
@seen.register(FieldFile)
def _(value: Any) -> str:
    return f"{type(value).__name__} {value}"


@seen.register(bytes)
@seen.register(memoryview)  # what PostgreSQL gives for a column of bytes
def _(value: Any) -> str:
    return f"bytes {bytes(value)!r}"


@seen.register
def _(value: dict) -> Seen:  # type: ignore[type-arg]
    """See a mapping."""
    return {str(key): seen(item) for key, item in value.items()}


@seen.register(list)
@seen.register(tuple)
@seen.register(models.QuerySet)
@seen.register(ModelSequence)
def _(value: Any) -> Seen:
    """See a sequence: what it is, and what is in it, by place."""
    return {"type": type(value).__name__, **_numbered(value)}


def _numbered(values: Iterable[Any]) -> Seen:
    items = {str(place): seen(item) for place, item in enumerate(values)}
    return {"length": len(items), **items}


@seen.register
def _(value: StreamValue) -> Seen:
    """See a StreamField: its blocks as they are stored, with their ids and the types of values."""
    stored = json.loads(json.dumps(value.get_prep_value(), cls=DjangoJSONEncoder))
    return _numbered(
        {**raw, "python": _types_of(block.value)} for raw, block in zip(stored, value, strict=True)
    )


def _types_of(value: Any) -> Any:
    """Return the names of the types of which a block's value is made."""
    if isinstance(value, StructValue):
        return {name: _types_of(item) for name, item in value.items()}
    if isinstance(value, ListValue):
        return [_types_of(item) for item in value]
    return type(value).__name__


@seen.register(BulkAction)
@seen.register(BulkActionInfo)
def _(value: Any) -> Seen:
    """See what is told of a bulk action: the view knows a model and a form, the rest names."""
    in_worker = isinstance(value, BulkActionInfo)
    return {
        "type": "BulkActionInfo" if in_worker else "the view",
        "action_type": value.action_type,
        "model": value.model if in_worker else value.model._meta.label_lower,
        "cleaned_data": seen(value.cleaned_data if in_worker else value.cleaned_form.cleaned_data),
    }


# Models -------------------------------------------------------------------------------------


@seen.register
def _(value: models.Model) -> Seen:
    """See an object: its fields, relations and children."""
    return {
        "class": value._meta.label,
        "pk": seen(value.pk),
        "text": str(value),
        "adding": value._state.adding,
        **_fields_of(value),
        **_relations_of(value),
        **_children_of(value),
        **(_place_of(value) if isinstance(value, Page) else {}),
    }


def _fields_of(instance: models.Model) -> Seen:
    return {
        field.attname: seen(getattr(instance, field.attname))
        for field in instance._meta.concrete_fields
    }


def _relations_of(instance: models.Model) -> Seen:
    """See relations to many, by their keys, and tags, by their names."""
    return {
        field.name: _attempt(partial(_related, instance, field))
        for field in instance._meta.many_to_many
    }


def _related(instance: models.Model, field: Any) -> list[Any]:
    manager = getattr(instance, field.name)
    if isinstance(field, TaggableManager):
        return sorted(tag.name for tag in manager.all())
    return sorted(seen(related.pk) for related in manager.all())


def _attempt(look: Callable[[], Any]) -> Any:
    """Return what is found; or, where Django refuses to look, its error."""
    try:
        return look()
    except ValueError as error:
        return {"error": type(error).__name__}


def _children_of(instance: models.Model) -> Seen:
    """See the children that are edited together with an object, and their children."""
    return {
        name: _attempt(partial(_children, instance, name))
        for name in (r.get_accessor_name() for r in get_all_child_relations(type(instance)))
    }


def _children(instance: models.Model, name: str) -> Seen:
    return _numbered(getattr(instance, name).all())


def _place_of(page: Page) -> Seen:
    """See where a page stands."""
    parent = page.get_parent() if page.depth > 1 else None
    return {
        "url": page.get_full_url(),
        "parent": parent and parent.pk,
    }


# Requests -----------------------------------------------------------------------------------

_MAYBE_SECRET: Final = ("POST", "FILES", "COOKIES", "session")


@seen.register
def _(value: HttpRequest) -> Seen:
    """See a request: who, where from, where to; and which of its parts there are."""
    return {
        "is_request": isinstance(value, HttpRequest),
        "type": type(value).__name__,
        "method": value.method,
        "path": value.path,
        "path_info": value.path_info,
        "full_path": value.get_full_path(),
        "GET": dict(value.GET.lists()),
        "scheme": value.scheme,
        "is_secure": value.is_secure(),
        "host": value.get_host(),
        "port": value.get_port(),
        "absolute_uri": value.build_absolute_uri(),
        "site": seen_site(value),
        "user": seen_user(value.user),
        "META": dict.fromkeys(value.META, True) | {key: value.META.get(key) for key in _META},
        "headers": dict.fromkeys(value.headers, True),
        "has": {name: True for name in dir(value) if not name.startswith("_")},
        **{f"has_{name}": hasattr(value, name) for name in _MAYBE_SECRET},
    }


_META: Final = (
    "REMOTE_ADDR",
    "SERVER_NAME",
    "SERVER_PORT",
    "HTTP_HOST",
    "QUERY_STRING",
    "HTTP_TRACEPARENT",
)


def seen_site(request: HttpRequest) -> Any:
    """See the site that a request is for, found anew each time."""
    site = Site.find_for_request(request)
    return site and [site.pk, site.hostname, site.root_page_id]


def seen_user(user: Any) -> Seen:
    """See who made a request."""
    return {
        "pk": user.pk,
        "username": user.get_username(),
        "is_authenticated": user.is_authenticated,
        "is_superuser": user.is_superuser,
        "may_publish": user.has_perm("wagtailcore.publish_page"),
        "language": user.wagtail_userprofile.get_preferred_language(),
    }
