"""Arguments of hooks and tasks: pages, models, users, requests, lists of them, and e-mails.

Importing this package registers the codecs. What is read from the database is read when the task
runs, so that the function sees the object as it is then.
"""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from functools import partial
from typing import Any

from django.core.mail import EmailAlternative, EmailAttachment, EmailMessage, EmailMultiAlternatives
from django.db import models
from django.http import HttpRequest
from django.utils.functional import Promise

from wagtail_async_hooks.serialization import (
    builtins,  # noqa: F401  # registers its codecs
    classes,
    codecs,
    deleted_objects,
    drafts,
    emails,
    exceptions,
    lazy_text,
    requests,
    snapshots,
)
from wagtail_async_hooks.serialization import models as instances
from wagtail_async_hooks.serialization.bulk_actions import BulkActionInfo
from wagtail_async_hooks.serialization.codecs import Codec
from wagtail_async_hooks.serialization.deleted_objects import DeletedList, DeletedObjects
from wagtail_async_hooks.serialization.drafts import Draft
from wagtail_async_hooks.serialization.models import CHUNK, ModelSequence
from wagtail_async_hooks.serialization.requests import CarriedRequest
from wagtail_async_hooks.serialization.snapshots import Snapshot

__all__ = [
    "CHUNK",
    "BulkActionInfo",
    "CarriedRequest",
    "DeletedList",
    "DeletedObjects",
    "Draft",
    "ModelSequence",
    "Snapshot",
    "register",
]


def register(
    type: type[Any],
    encode: Callable[[Any], Any],
    decode: Callable[[Any], Any],
    *,
    name: str = "",
    subclasses: bool = False,
) -> None:
    """Register how values of a type are serialized; call it in an app's ``ready()``.

    :param type: the class whose values are serialized.
    :param encode: makes of a value something that can be serialized in turn.
    :param decode: makes the value again, when the task runs.
    :param name: of the codec in messages, with a dot in it; the class's dotted path by default.
        Give it before you move the class, so that messages which wait still find it.
    :param subclasses: serialize values of subclasses as well.
    :raises ValueError: if the name has no dot: those without one are the package's own.
    """
    kind = name or f"{type.__module__}.{type.__qualname__}"
    if "." not in kind:
        raise ValueError(
            f'arguments.register(…, name="{name}") needs a dot in the name, e.g. "mysite.{name}".'
        )
    codecs.register(Codec(kind, type, encode, decode, lazy=True, subclasses=subclasses))


for _codec in (
    Codec(
        "model",
        models.Model,
        instances.encode_model,
        instances.decode_model,
        lazy=True,
        subclasses=True,
        many="models",
    ),
    Codec(
        "models",
        models.QuerySet,
        instances.encode_models,
        instances.decode_models,
        lazy=True,
        subclasses=True,
    ),
    Codec("sequence", ModelSequence, instances.encode_sequence, instances.decode_models, lazy=True),
    Codec("draft", Draft, drafts.encode_draft, drafts.decode_draft, lazy=True),
    Codec("snapshot", Snapshot, snapshots.encode_snapshot, snapshots.decode_snapshot, lazy=True),
    Codec(
        "deleted",
        DeletedList,
        deleted_objects.encode_deleted,
        deleted_objects.decode_deleted,
        lazy=True,
    ),
    Codec(
        "deleted_objects",
        DeletedObjects,
        deleted_objects.encode_objects,
        deleted_objects.decode_deleted,
        lazy=True,
    ),
    Codec(
        "request",
        HttpRequest,
        requests.encode_request,
        CarriedRequest,
        lazy=True,
        subclasses=True,
    ),
    Codec(
        "bulk_action",
        BulkActionInfo,
        lambda info: [info.action_type, info.model, info.view, info.cleaned_data],
        lambda payload: BulkActionInfo(*payload),
        lazy=True,
    ),
    Codec(
        "exception",
        BaseException,
        exceptions.encode_exception,
        exceptions.decode_exception,
        subclasses=True,
    ),
    Codec("promise", Promise, lazy_text.encode_promise, lazy_text.decode_promise, subclasses=True),
    Codec("class", type, classes.encode_class, classes.decode_class, lazy=True, subclasses=True),
    Codec(
        "model_class",
        models.base.ModelBase,
        classes.encode_model_class,
        classes.decode_model_class,
        lazy=True,
        subclasses=True,
    ),
    Codec(
        "email",
        EmailMessage,
        emails.encode_email,
        partial(emails.decode_email, EmailMessage),
        lazy=True,
    ),
    Codec(
        "email_alternatives",
        EmailMultiAlternatives,
        emails.encode_email,
        partial(emails.decode_email, EmailMultiAlternatives),
        lazy=True,
    ),
    Codec("email_alternative", EmailAlternative, list, EmailAlternative._make, lazy=True),
    Codec("email_attachment", EmailAttachment, list, EmailAttachment._make, lazy=True),
    Codec(
        "email_part", Message, emails.encode_part, emails.decode_part, lazy=True, subclasses=True
    ),
):
    codecs.register(_codec)
