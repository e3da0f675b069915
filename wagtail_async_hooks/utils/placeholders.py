"""What may stand in the braces of a title or a key: single values, and nothing that holds others.

A template names arguments and their attributes. A request, a dict or an object of any class may
hold cookies, tokens and passwords, and its text all of them. So the values that are filled in are
of an allow list of types, and those of a request's attributes of a list of names.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import string
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.db.models import Model
from django.db.models.fields.files import FieldFile
from django.http import HttpRequest
from django.utils.functional import LazyObject, Promise

from wagtail_async_hooks.utils.redaction import is_secret, without_secrets

OF_REQUESTS: Final = ("user", "path", "method", "scheme")
"""The attributes of a request that may be named."""

_PLAIN: Final = (
    *(str, int, float, type(None), decimal.Decimal, uuid.UUID, enum.Enum, Promise),
    *(datetime.date, datetime.time, datetime.timedelta, FieldFile),
)
_NUMBERS: Final = (int, decimal.Decimal, uuid.UUID, datetime.date)
_NAME: Final = re.compile(r"\w+(?:\.\w+|\[[^\[\].]+\])*")
_LONG: Final = 20
"""Characters of a format, such as ``%d.%m.%Y``."""

_formatter: Final = string.Formatter()


class Refused(Exception):
    """Something may not be named in a template; the message says why, in half a sentence."""


def problems_of(template: str, *, of_key: bool = False) -> Iterator[str]:
    """Say what a template names that it may not name, whatever the arguments are.

    :param of_key: whether it is that of a key rather than of a title.
    """
    try:
        parts = list(_formatter.parse(template))
    except ValueError as error:
        yield f"it cannot be read: {error}"
        return
    for _, name, spec, conversion in parts:
        if name is not None:
            try:
                steps = _steps(name, spec, conversion, of_key)
                if steps[0] == "request" and steps[1:2] not in [[each] for each in OF_REQUESTS]:
                    raise Refused(_of_request(name))
                if steps in (["args"], ["kwargs"]):
                    raise Refused(f"{{{name}}} has all arguments; name single ones")
            except Refused as refused:
                yield str(refused)


def filled(
    name: str,
    spec: str | None,
    conversion: str | None,
    arguments: Mapping[str, Any],
    *,
    of_key: bool = False,
) -> str:
    """Return the text for one name of a template.

    :param name: of an argument, with attributes.
    :param of_key: whether it is that of a key rather than of a title.
    :raises Refused: if it may not be named.
    :raises KeyError: if there is no such argument.
    :raises AttributeError: if there is no such attribute.
    """
    first, *others = _steps(name, spec, conversion, of_key)
    value = arguments[str(first)]
    for step in others:
        value = _next(name, value, step)
    return _text(name, value, spec or "", of_key)


def _steps(name: str, spec: str | None, conversion: str | None, of_key: bool) -> list[str | int]:
    if conversion:
        raise Refused(f"{{{name}!{conversion}}} has a conversion, which shows more than a value")
    if spec and ("{" in spec or len(spec) > _LONG or re.search(r"\d{3}", spec)):
        raise Refused(f"{{{name}}} has a format that is too long")
    if "[" in name and not of_key:
        raise Refused(f"{{{name}}} looks into a list or dict, of which single items are not shown")
    if not _NAME.fullmatch(name):
        raise Refused(f"{{{name}}} does not name an argument")
    steps: list[str | int] = [int(s) if s.isdigit() else s for s in re.findall(r"[^.\[\]]+", name)]
    for step in steps:
        if isinstance(step, str) and is_secret(step):
            raise Refused(f"{{{name}}} is named like a secret")
        if isinstance(step, str) and step.startswith("_") and not _is_of_model(step, steps):
            raise Refused(f"{{{name}}} names something private")
    return steps


def _is_of_model(step: str, steps: list[str | int]) -> bool:
    return step == "_meta" and steps[-1] in ("label", "label_lower", "model_name", "app_label")


def _next(name: str, value: Any, step: str | int) -> Any:
    """Return an attribute of a value, or an item of a list or dict."""
    if isinstance(value, HttpRequest) and step not in OF_REQUESTS:
        raise Refused(_of_request(name))
    if isinstance(value, list | tuple) and isinstance(step, int):
        return value[step]
    if isinstance(value, Mapping):
        return value[step]
    return getattr(value, str(step))


def _of_request(name: str) -> str:
    return f"{{{name}}}: of a request only {', '.join(OF_REQUESTS)} may be named"


def _text(name: str, value: Any, spec: str, of_key: bool) -> str:
    if isinstance(value, HttpRequest):
        raise Refused(_of_request(name))
    if isinstance(value, LazyObject | Model):
        if not isinstance(value, Model):
            raise Refused(_of_kind(name, value))
        return without_secrets(format(str(value), spec))
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, _PLAIN):
        return without_secrets(format(value if isinstance(value, _FORMATTED) else str(value), spec))
    if isinstance(value, list | tuple) and value and all(isinstance(v, Model) for v in value):
        told = ", ".join(str(each) for each in value[:3])
        return without_secrets(f"{told}, …" if len(value) > 3 else told)
    is_list = of_key and isinstance(value, list | tuple | set | frozenset)
    if is_list and all(isinstance(each, _NUMBERS) for each in value):
        return str(value)
    raise Refused(_of_kind(name, value))


_FORMATTED: Final = (int, float, decimal.Decimal, datetime.date, datetime.time)


def _of_kind(name: str, value: Any) -> str:
    kind = type(value).__name__
    return f"{{{name}}} is a {kind}, which may hold anything; name a single value, an attribute"
