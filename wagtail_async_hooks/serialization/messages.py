"""Huey's messages and results as signed JSON, and the registry of codecs for what JSON lacks.

JSON's own types stand for themselves. Everything else is an object with the one key ``$``, which
names the codec, and ``v``, what that codec made of the value. Some codecs are *lazy*: in a message
their values stay :class:`Reference` objects until the task runs, so that listing the queue or
handing a task on to another worker needs no database.

Huey's serializer pickles, ``DjangoJSONEncoder`` writes what nothing reads back, and jsonpickle
imports the classes that a message names.

Messages are signed with ``SECRET_KEY`` (``SECRET_KEY_FALLBACKS`` are honoured), and a name in
a message is looked up, never imported: who can write to the storage cannot run code.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import functools
import json
import math
import re
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.signing import BadSignature, Signer, b64_encode
from django.db import DatabaseError, InterfaceError
from django.utils.crypto import salted_hmac
from django.utils.encoding import force_bytes
from django.utils.functional import LazyObject
from django.utils.safestring import SafeString
from huey.registry import Message
from huey.serializer import Serializer
from huey.utils import SKIPPED, Error

from wagtail_async_hooks.exceptions import (
    BackgroundError,
    CannotSerialize,
    CodecFailed,
    MessageRefused,
)
from wagtail_async_hooks.utils.catching import passes
from wagtail_async_hooks.utils.errors import text_of

VERSION: Final = 1
"""Version of the format, in every message."""

MAX_SIZE: Final = 8_000_000
"""Bytes that a message or a result may take at most: MySQL's default for one statement is twice
as much, and a worker reads each message whole."""

MAX_DEPTH: Final = 400
"""How deeply the JSON of a message may be nested: what Python can still write it might not be able
to read, which takes more of its stack."""

_TAG: Final = "$"
_NESTING: Final = (dict, list)
_LONG: Final = 2**63
"""Much longer numbers are beyond what int() reads back by default (4300 digits)."""

_SALT: Final = "wagtail_async_hooks.message"
_TOO_DEEP: Final = "the message is nested too deeply."

# ASCII only, so that it can be read in every database and log. What contains itself has no end
# for encode(), so there is no need to look for it again.
_json: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_reader: Final = json.JSONDecoder()
_NESTED: Final = "the value is nested too deeply or contains itself; pass a flat value."


# Compared by identity: the payload need not be hashable.
@dataclass(frozen=True, eq=False, repr=False)
class Reference:
    """A value that a lazy codec carries, until it is resolved.

    :param kind: name of the codec.
    :param payload: what the codec made of the value, decoded but for nested references.
    """

    kind: str
    payload: Any

    def __repr__(self) -> str:
        return f"<Reference {self.kind}>"


class Codec(NamedTuple):
    """How values of one type are carried.

    :param kind: the name in messages; it must never change its meaning.
    :param type: values of this type, and of subclasses if ``subclasses`` is set.
    :param encode: makes of a value something JSON-like, which may contain other known types.
    :param decode: makes the value again.
    :param lazy: decode only when the task runs.
    :param subclasses: carry values of subclasses as well.
    :param many: name of the codec that carries a whole list of such values.
    """

    kind: str
    type: type
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    lazy: bool = False
    subclasses: bool = False
    many: str = ""


_by_kind: dict[str, Codec] = {}
_by_type: dict[type, Codec] = {}


def register(codec: Codec) -> None:
    """Make a codec known; one for the same type or of the same name is replaced."""
    _by_kind[codec.kind] = codec
    _by_type[codec.type] = codec
    _codec_for.cache_clear()


@functools.lru_cache(maxsize=512)  # a model has many base classes
def _codec_for(kind: type[Any]) -> Codec | None:
    """Return the codec of a type, or that of its nearest base class which accepts subclasses."""
    if kind in _by_type:
        return _by_type[kind]
    for base in kind.__mro__[1:]:
        codec = _by_type.get(base)
        if codec is not None and codec.subclasses:
            return codec
    return None


def _codec_of(value: Any) -> Codec | None:
    """Return the codec of a value, which may be loaded only when it is needed."""
    kind: Any = value.__class__ if isinstance(value, LazyObject) else type(value)
    return _codec_for(kind)


def encode(value: Any) -> Any:
    """Turn a value into what :mod:`json` can write.

    :raises CannotSerialize: naming the type and where it stands inside the value.
    """
    kind = type(value)
    built_in = _BUILT_IN.get(kind)
    if built_in is not None:
        return built_in(value)
    codec = _codec_of(value)
    if codec is None:
        raise CannotSerialize(
            f"{kind.__module__}.{kind.__qualname__} cannot be carried to the worker; "
            "pass its key, or plain values made of it."
        )
    return {_TAG: codec.kind, "v": encode(_encoded(codec, value))}


def is_carried(value: Any) -> bool:
    """Tell whether a value can be carried as it is."""
    try:
        encode(value)
    except (CannotSerialize, RecursionError):  # what contains itself has no end
        return False
    return True


def _encoded(codec: Codec, value: Any) -> Any:
    try:
        return codec.encode(value)
    except (BackgroundError, DatabaseError, InterfaceError, RecursionError):
        raise  # these say themselves what is wrong, or mean something to those above
    except BaseException as error:
        if passes(error):
            raise
        raise CannotSerialize(
            f'the codec "{codec.kind}" failed at a {type(value).__qualname__}: '
            f"{type(error).__name__}: {text_of(error)}."
        ) from error


def _decoded(codec: Codec, payload: Any) -> Any:
    try:
        return codec.decode(payload)
    except (BackgroundError, DatabaseError, InterfaceError, RecursionError):
        raise
    except BaseException as error:
        if passes(error):
            raise
        raise CodecFailed(
            f'the codec "{codec.kind}" could not make a value of its message again: '
            f"{type(error).__name__}: {text_of(error)}."
        ) from error


def _encode_str(value: str) -> Any:
    return value if _is_plain(value) else {_TAG: "text", "v": _encode_text(value)}


def _encode_int(value: int) -> Any:
    return value if abs(value) < _LONG else {_TAG: "int", "v": hex(value)}


def _encode_float(value: float) -> Any:
    return value if math.isfinite(value) else {_TAG: "float", "v": repr(value)}


def _encode_tagged(items: tuple[Any, ...] | set[Any] | frozenset[Any]) -> Any:
    return {_TAG: type(items).__name__, "v": _encode_items(items)}


def _encode_reference(reference: Reference) -> Any:
    return {_TAG: reference.kind, "v": encode(reference.payload)}


def _encode_list(items: list[Any]) -> Any:
    codec = _codec_of(items[0]) if items else None
    if codec is None or not codec.many or any(_codec_of(item) is not codec for item in items):
        return _encode_items(items)
    return {_TAG: codec.many, "v": encode(_encoded(_by_kind[codec.many], items))}


def _encode_items(items: Iterable[Any]) -> list[Any]:
    encoded: list[Any] = []
    try:
        for item in items:
            encoded.append(encode(item))
    except CannotSerialize as error:
        raise error.within(f"[{len(encoded)}]") from None
    return encoded


def _encode_dict(value: dict[Any, Any]) -> Any:
    encoded = {}
    for key, item in value.items():
        # Most texts are ASCII, and most numbers short: a call less for each, or two.
        if type(key) is not str or key == _TAG or not (key.isascii() or _is_plain(key)):
            return _encode_pairs(value)
        kind = type(item)
        if (kind is str and item.isascii()) or (kind is int and abs(item) < _LONG):
            encoded[key] = item
            continue
        try:
            encoded[key] = encode(item)
        except CannotSerialize as error:
            raise error.within(f"[{key!r}]") from None
    return encoded


def _encode_pairs(value: dict[Any, Any]) -> Any:
    """Return what is carried of a dict whose keys an object of JSON cannot have."""
    pairs = []
    for key, item in value.items():
        try:
            pairs.append([encode(key), encode(item)])
        except CannotSerialize as error:
            raise error.within(f"[{key!r}]") from None
    return {_TAG: "dict", "v": pairs}


def _as_it_is(value: Any) -> Any:
    return value


_BUILT_IN: Final[dict[type, Callable[[Any], Any]]] = {
    str: _encode_str,
    type(None): _as_it_is,
    bool: _as_it_is,
    int: _encode_int,
    float: _encode_float,
    list: _encode_list,
    dict: _encode_dict,
    tuple: _encode_tagged,
    set: _encode_tagged,
    frozenset: _encode_tagged,
    Reference: _encode_reference,
}
"""What :func:`encode` makes of these types by itself; a subclass of one is no such type."""


def decode(value: Any, *, lazily: bool = False) -> Any:
    """Turn what :func:`encode` returned into the value again.

    :param lazily: leave the values of lazy codecs as :class:`Reference`.
    :raises MessageRefused: if a codec is not known here.
    :raises CodecFailed: if a codec does not know what to make of its payload.
    """
    # Most values stand for themselves: a call less for each.
    if type(value) is list:
        return [decode(item, lazily=lazily) if type(item) in _NESTING else item for item in value]
    if type(value) is not dict:
        return value
    if _TAG not in value:
        return {
            key: decode(item, lazily=lazily) if type(item) in _NESTING else item
            for key, item in value.items()
        }
    kind = value[_TAG]
    codec = _by_kind.get(kind) if isinstance(kind, str) else None
    if codec is None:
        raise MessageRefused(f'no codec "{kind}" is registered in this process.')
    payload = decode(value.get("v"), lazily=lazily)
    if codec.lazy and lazily:
        return Reference(kind, payload)
    return _decoded(codec, payload)


def resolve(value: Any) -> Any:
    """Replace every :class:`Reference` inside a value by what it refers to."""
    kind = type(value)
    if kind is Reference:
        return _decoded(_by_kind[value.kind], resolve(value.payload))
    if kind in (list, tuple, set, frozenset):
        return kind(resolve(item) for item in value)
    if kind is dict:
        return {resolve(key): resolve(item) for key, item in value.items()}
    return value


class SignedJSONSerializer(Serializer):  # type: ignore[misc]  # Huey has no types
    """Serializer for a Huey instance: JSON with a signature, never pickle."""

    def _serialize(self, data: Any) -> bytes:
        return _write({"d": data})

    def _deserialize(self, data: bytes | memoryview) -> Any:
        document = _read(bytes(data))["d"]
        is_message = type(document) is dict and document.get(_TAG) == "message"
        return decode(document, lazily=is_message)

    def serialize_call(
        self, message: Message, context: dict[str, Any], added: Iterable[str] = ()
    ) -> bytes:
        """Return a message together with what surrounds the call.

        :param added: names of keyword arguments that the caller has not given.
        """
        content: dict[str, Any] = {"d": message}
        if context:
            content["c"] = context
        if added:
            content["a"] = sorted(added)
        return _write(content)

    def deserialize_call(self, data: bytes) -> tuple[Message, dict[str, Any]]:
        """Return what :meth:`serialize_call` was given; references stay unresolved.

        :raises MessageRefused: if this site did not write the message.
        """
        message, context, _ = self.deserialize_whole(data)
        return message, context

    def deserialize_whole(self, data: bytes) -> tuple[Message, dict[str, Any], frozenset[str]]:
        """Return the same, and the names of keyword arguments that the caller has not given.

        :raises MessageRefused: if this site did not write the message.
        """
        document = _read(bytes(data))
        message = decode(document["d"], lazily=True)
        if not isinstance(message, Message):
            raise MessageRefused("what was stored as a message is none, but some other value.")
        return message, decode(document.get("c", {})), frozenset(document.get("a", ()))


def _parse(text: str) -> Any:
    """Return what JSON says, as written by us: there is no space around it to be looked for."""
    document, end = _reader.raw_decode(text)
    if end != len(text):
        raise ValueError("something follows after its end")
    return document


def _write(content: dict[str, Any]) -> bytes:
    try:
        document = {"v": VERSION, **{key: encode(value) for key, value in content.items()}}
        text = _json.encode(document)
    except RecursionError:
        raise CannotSerialize(_NESTED) from None
    if _is_too_deep(text, document):
        raise CannotSerialize(_NESTED)
    data = _signer().sign(text).encode()
    if len(data) > MAX_SIZE:
        raise CannotSerialize(
            f"the message would take {_megabytes(data)} MB, and {MAX_SIZE // 10**6} MB is the "
            "most; pass keys, or the name of a file."
        )
    return data


def _signer() -> Signer:
    return _signer_with(settings.SECRET_KEY, tuple(settings.SECRET_KEY_FALLBACKS))


@functools.lru_cache(maxsize=8)
def _signer_with(key: str | bytes, former: tuple[str | bytes, ...]) -> Signer:
    """Return the signer of a site's keys; making one takes as long as signing a message does."""
    return _PreparedSigner(key=key, fallback_keys=list(former), salt=_SALT)


class _PreparedSigner(Signer):
    """Django's signer, which derives its key once, and not for each message anew."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        salt = f"{_SALT}signer"  # as Django has it
        self._prepared = salted_hmac(salt, b"", self.key, algorithm=self.algorithm)

    def signature(self, value: str | bytes, key: str | bytes | None = None) -> str:
        if key not in (None, self.key):
            return super().signature(value, key)
        signed = self._prepared.copy()
        signed.update(force_bytes(value))
        return b64_encode(signed.digest()).decode()


def _is_too_deep(text: str, document: Any) -> bool:
    """Tell whether a document is nested too deeply; most are not, as counting brackets shows."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if type(node) in (list, dict)
            for child in (node if type(node) is list else node.values())
        ]
        if not level:
            return False
    return True


def _megabytes(data: bytes) -> str:
    return f"{len(data) / 10**6:.1f}"


def _read(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_SIZE:
        raise MessageRefused(
            f"the message takes {_megabytes(data)} MB, and {MAX_SIZE // 10**6} MB is the most."
        )
    try:
        text = _signer().unsign(data.decode("ascii"))
        document = _parse(text)
        version, _ = document["v"], document["d"]
        is_too_deep = _is_too_deep(text, document)
    except RecursionError:
        raise MessageRefused(_TOO_DEEP) from None
    except (BadSignature, UnicodeDecodeError) as error:
        raise MessageRefused(
            "the message was altered, or signed with another SECRET_KEY (add the former one to "
            "SECRET_KEY_FALLBACKS)."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise MessageRefused(f"the message is not one of this package: {error}.") from error
    if is_too_deep:
        raise MessageRefused(_TOO_DEEP)
    if type(version) is not int or not 1 <= version <= VERSION:
        raise MessageRefused(
            f"the message has version {version!r}, this release reads up to {VERSION}: it was "
            "written by a newer release."
        )
    return dict(document)


# Huey's own types ---------------------------------------------------------------------------


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
    for name, value in {**_REQUIRED, **fields}.items():
        if not isinstance(value, _SHAPE.get(name, object)):
            raise MessageRefused(f'the message\'s "{name}" cannot be a {type(value).__name__}.')
    if type(message.args) is not tuple:
        message = message._replace(args=tuple(message.args))
    return message


# Python's types -----------------------------------------------------------------------------


_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def _is_plain(text: str) -> bool:
    """Tell whether a text survives JSON; two surrogates beside each other would become one."""
    return text.isascii() or _SURROGATES.search(text) is None


def _encode_text(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")


def _decode_text(payload: str) -> str:
    return base64.b64decode(payload).decode("utf-8", "surrogatepass")


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


def _built_by_encode(value: Any) -> Any:
    raise AssertionError("encode() writes this type by itself")


for _codec in (
    Codec("int", int, _built_by_encode, lambda payload: int(payload, 16)),
    Codec("float", float, _built_by_encode, float),
    Codec("tuple", tuple, _built_by_encode, tuple),
    Codec("set", set, _built_by_encode, set),
    Codec("frozenset", frozenset, _built_by_encode, frozenset),
    Codec("dict", dict, _built_by_encode, dict),
    Codec("text", str, _built_by_encode, _decode_text),
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
