"""Codecs of Python's types that JSON lacks, and of Huey's; importing this module registers them."""

from __future__ import annotations

import base64
import datetime
import decimal
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Final

from django.utils.safestring import SafeString
from huey.registry import Message
from huey.utils import SKIPPED, Error

from wagtail_async_hooks.exceptions import CannotSerialize, MessageRefused
from wagtail_async_hooks.serialization.codecs import Codec, register

# Huey's types -----------------------------------------------------------------------------------


def _encode_message(message: Message) -> dict[str, Any]:
    named = zip(message._fields, message, strict=True)
    return {name: value for name, value in named if value is not None}


_NUMBER: Final = (int, float, type(None))
_MOMENT: Final = (datetime.datetime, type(None))
_SHAPE: Final[dict[str, tuple[type, ...]]] = {
    "name": (str,),
    "args": (list, tuple),
    "kwargs": (dict, type(None)),
    "eta": _MOMENT,
    "retries": (int, type(None)),
    "retry_delay": _NUMBER,
    "retry_backoff": _NUMBER,
    "priority": _NUMBER,
    "timeout": _NUMBER,
    "expires": (*_MOMENT, *_NUMBER, datetime.timedelta),
    "expires_resolved": _MOMENT,
    "on_complete": (Message, type(None)),
    "on_error": (Message, type(None)),
    "chord_config": (list, tuple, type(None)),
}
"""Of which types the fields of a message are; Huey would go wrong on others in many ways."""

_REQUIRED: Final = {"name": None, "args": None}
"""The fields that cannot be left out; any other one that is left out is ``None``."""


def _decode_message(fields: dict[str, Any]) -> Message:
    try:
        message = Message(**fields)
    except TypeError as error:
        raise MessageRefused(f"the message lacks a field or has one too many: {error}.") from error
    has_all = "name" in fields and "args" in fields
    for name, value in (fields if has_all else {**_REQUIRED, **fields}).items():
        if not isinstance(value, _SHAPE.get(name, object)):
            raise MessageRefused(f'the message\'s "{name}" cannot be a {type(value).__name__}.')
    if type(message.args) is not tuple:
        message = message._replace(args=tuple(message.args))
    return message


# Dates and times --------------------------------------------------------------------------------


def _encode_zone(zone: datetime.tzinfo | None) -> Any:
    if zone is None:
        return None
    if isinstance(zone, zoneinfo.ZoneInfo):
        if zone.key is None:
            raise CannotSerialize("a time zone without a name cannot be carried; use a named one.")
        return zone.key
    if isinstance(zone, datetime.timezone):
        offset = zone.utcoffset(None)
        return [offset.days, offset.seconds, offset.microseconds]
    raise CannotSerialize(
        f"a time zone of the class {type(zone).__qualname__} cannot be carried; use zoneinfo."
    )


def _decode_zone(zone: Any) -> datetime.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    return datetime.timezone(datetime.timedelta(*zone))


def _encode_moment(value: datetime.datetime | datetime.time) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, _encode_zone(value.tzinfo)]


def _decode_moment(kind: type[datetime.datetime] | type[datetime.time]) -> Callable[[Any], Any]:
    def decode_moment(payload: list[Any]) -> Any:
        text, fold, zone = payload
        return kind.fromisoformat(text).replace(fold=fold, tzinfo=_decode_zone(zone))

    return decode_moment


for _codec in (
    Codec("safe", SafeString, str.__str__, SafeString),  # str() would return the same object
    Codec("bytes", bytes, lambda value: base64.b64encode(value).decode("ascii"), base64.b64decode),
    Codec("decimal", decimal.Decimal, str, decimal.Decimal),
    Codec("uuid", uuid.UUID, lambda value: value.hex, uuid.UUID),
    Codec("date", datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    Codec("time", datetime.time, _encode_moment, _decode_moment(datetime.time)),
    Codec("datetime", datetime.datetime, _encode_moment, _decode_moment(datetime.datetime)),
    Codec(
        "timedelta",
        datetime.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda payload: datetime.timedelta(*payload),
    ),
    Codec("time_zone", datetime.tzinfo, _encode_zone, _decode_zone, subclasses=True),
    Codec("message", Message, _encode_message, _decode_message),
    Codec("error", Error, lambda error: error.metadata, Error),
    Codec("skipped", type(SKIPPED), lambda value: None, lambda payload: SKIPPED),
):
    register(_codec)
