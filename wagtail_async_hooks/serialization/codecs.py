"""Turn values into what JSON can write, and back: the registry of codecs for what JSON lacks.

JSON's own types stand for themselves. Everything else is an object with the one key ``$``, which
names the codec, and ``v``, what that codec made of the value. Some codecs are *lazy*: in a message
their values stay :class:`Reference` objects until the task runs, so that listing the queue or
handing a task on to another worker needs no database.

A name in a message is looked up, never imported: who can write to the storage cannot run code.
Python's scalars and containers are here, since :func:`encode` writes them by itself; the other
types that need neither Django's models nor Wagtail are in
:mod:`~wagtail_async_hooks.serialization.builtins`.
"""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import DatabaseError, InterfaceError
from django.utils.functional import LazyObject

from wagtail_async_hooks.exceptions import (
    BackgroundError,
    CannotSerialize,
    CodecFailed,
    MessageRefused,
)
from wagtail_async_hooks.utils.catching import passes
from wagtail_async_hooks.utils.errors import text_of

TAG: Final = "$"
"""The key under which an object of JSON names its codec."""

_NESTING: Final = (dict, list)
_LONG: Final = 2**63
"""Much longer numbers are beyond what int() reads back by default (4300 digits)."""


# Compared by identity: the payload need not be hashable.
@dataclass(frozen=True, eq=False, repr=False)
class Reference:
    """The value of a lazy codec, until it is resolved.

    :param kind: name of the codec.
    :param payload: what the codec made of the value, decoded but for nested references.
    """

    kind: str
    payload: Any

    def __repr__(self) -> str:
        return f"<Reference {self.kind}>"


class Codec(NamedTuple):
    """How values of one type are serialized.

    :param kind: the name in messages; it must never change its meaning.
    :param type: values of this type, and of subclasses if ``subclasses`` is set.
    :param encode: makes of a value something JSON-like, which may contain other known types.
    :param decode: makes the value again.
    :param lazy: decode only when the task runs.
    :param subclasses: serialize values of subclasses as well.
    :param many: name of the codec of a whole list of such values.
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
    return {TAG: codec.kind, "v": encode(_encoded(codec, value))}


def is_serializable(value: Any) -> bool:
    """Return whether a value can be serialized as it is."""
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
    return value if _is_plain(value) else {TAG: "text", "v": _encode_text(value)}


def _encode_int(value: int) -> Any:
    return value if abs(value) < _LONG else {TAG: "int", "v": hex(value)}


def _encode_float(value: float) -> Any:
    return value if math.isfinite(value) else {TAG: "float", "v": repr(value)}


def _encode_tagged(items: tuple[Any, ...] | set[Any] | frozenset[Any]) -> Any:
    return {TAG: type(items).__name__, "v": _encode_items(items)}


def _encode_reference(reference: Reference) -> Any:
    return {TAG: reference.kind, "v": encode(reference.payload)}


def _encode_list(items: list[Any]) -> Any:
    codec = _codec_of(items[0]) if items else None
    if codec is None or not codec.many or any(_codec_of(item) is not codec for item in items):
        return _encode_items(items)
    return {TAG: codec.many, "v": encode(_encoded(_by_kind[codec.many], items))}


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
        if type(key) is not str or key == TAG or not (key.isascii() or _is_plain(key)):
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
    """Return the payload of a dict whose keys an object of JSON cannot have."""
    pairs = []
    for key, item in value.items():
        try:
            pairs.append([encode(key), encode(item)])
        except CannotSerialize as error:
            raise error.within(f"[{key!r}]") from None
    return {TAG: "dict", "v": pairs}


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
    if TAG not in value:
        return {
            key: decode(item, lazily=lazily) if item and type(item) in _NESTING else item
            for key, item in value.items()
        }
    kind = value[TAG]
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
    if kind in _SEQUENCES:
        # Most items stand for themselves: a call less for each.
        items = [resolve(item) if type(item) in _REFERRING else item for item in value]
        return items if kind is list else kind(items)
    if kind is dict:
        return {resolve(key): resolve(item) for key, item in value.items()}
    return value


_SEQUENCES: Final = frozenset({list, tuple, set, frozenset})
_REFERRING: Final = _SEQUENCES | {Reference, dict}
"""Types of which a value may be, or contain, a :class:`Reference`."""


# The types that encode() writes by itself ------------------------------------------------------


_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def _is_plain(text: str) -> bool:
    """Return whether a text survives JSON; two surrogates beside each other would become one."""
    return text.isascii() or _SURROGATES.search(text) is None


def _encode_text(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")


def _decode_text(payload: str) -> str:
    return base64.b64decode(payload).decode("utf-8", "surrogatepass")


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
):
    register(_codec)
