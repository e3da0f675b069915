"""Signed documents: Huey's messages and results as JSON with a signature, a version and limits.

Messages are signed with ``SECRET_KEY`` (``SECRET_KEY_FALLBACKS`` are honoured), so that what was
altered, or written by another site, is refused before any of it is decoded.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from hmac import compare_digest
from typing import Any, Final

from django.conf import settings
from django.core.signing import BadSignature, Signer, b64_encode
from django.utils.crypto import salted_hmac
from huey.registry import Message
from huey.serializer import Serializer

from wagtail_async_hooks.exceptions import CannotSerialize, MessageRefused
from wagtail_async_hooks.serialization import builtins  # noqa: F401  # registers its codecs
from wagtail_async_hooks.serialization.codecs import TAG, decode, encode

VERSION: Final = 1
"""Version of the format, in every message."""

MAX_SIZE: Final = 8_000_000
"""Bytes that a message or a result may take at most: MySQL's default for one statement is twice
as much, and a worker reads each message whole."""

MAX_DEPTH: Final = 400
"""How deeply the JSON of a message may be nested: what Python can still write it might not be able
to read, which takes more of its stack."""

_SALT: Final = "wagtail_async_hooks.message"
_TOO_DEEP: Final = "the message is nested too deeply."

# ASCII only, so that it can be read in every database and log. What contains itself has no end
# for encode(), so there is no need to look for it again.
_json: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_reader: Final = json.JSONDecoder()
_NESTED: Final = "the value is nested too deeply or contains itself; pass a flat value."


class SignedJSONSerializer(Serializer):  # type: ignore[misc]  # Huey has no types
    """Serializer for a Huey instance: JSON with a signature, never pickle."""

    def _serialize(self, data: Any) -> bytes:
        return _write({"d": data})

    def _deserialize(self, data: bytes | memoryview) -> Any:
        document = _read(bytes(data))["d"]
        is_message = type(document) is dict and document.get(TAG) == "message"
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
        context = document.get("c") or {}
        return message, decode(context) if context else {}, frozenset(document.get("a", ()))


def is_signed_here(data: bytes) -> bool:
    """Return whether a message was signed with this process's ``SECRET_KEY``, or a former one."""
    try:
        _signer().unsign(data.decode("ascii"))
    except (BadSignature, UnicodeDecodeError):
        return False
    return True


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
        signed.update(value.encode() if isinstance(value, str) else value)
        return b64_encode(signed.digest()).decode()

    def unsign(self, signed_value: str) -> str:
        value, _, signature = signed_value.rpartition(self.sep)
        if compare_digest(signature, self.signature(value)):
            return value  # nearly all were signed with the present key
        return super().unsign(signed_value)


def _is_too_deep(text: str, document: Any) -> bool:
    """Return whether a document is nested too deeply; most are not, as counting brackets shows."""
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
    return document  # type: ignore[no-any-return]  # what has keys is a dict
