"""A task's arguments as people may see them: short, and without what is taken for a secret.

``reprlib`` shortens as well, but calls the ``repr()`` of any object, and knows no names of secrets.
"""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from wagtail_async_hooks.exceptions import MessageRefused, UnknownTask
from wagtail_async_hooks.hooks import catalogue
from wagtail_async_hooks.integrations.tasks_backend import results
from wagtail_async_hooks.integrations.tasks_backend.calls import Call
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization.codecs import Reference
from wagtail_async_hooks.utils import signatures
from wagtail_async_hooks.utils.redaction import is_secret, without_password
from wagtail_async_hooks.utils.text import shortened

HIDDEN: Final = "…"
"""Replacement for a secret."""

MAX_TEXT: Final = 200
"""Characters of a text that are shown."""

MAX_ITEMS: Final = 10
"""Items of a list that are shown."""

_PLAIN: Final = (bool, int, float, type(None))
_WRITTEN: Final = (decimal.Decimal, uuid.UUID, datetime.date, datetime.time, datetime.timedelta)
_ASSIGNED: Final = re.compile(r"([\w-]+)=([^&\s]*)")


def arguments(row: BackgroundTask) -> dict[str, Any] | None:
    """Return the arguments of a task by name, or by number where they have none.

    Makes no queries: an object is shown by its model and primary key.

    :returns: values in JSON's types; ``None`` if the message cannot be read.
    """
    try:
        message, _, added = background.serializer.deserialize_whole(bytes(row.message))
    except MessageRefused:
        return None
    call = results.call_of(row)
    args = message.args or () if call is None else call.args
    kwargs = message.kwargs or {} if call is None else call.kwargs
    names = _names(row, message.name, len(args)) if call is None else _names_of_call(call)
    shown: dict[str, Any] = {}
    hides = False
    kwargs = {name: given for name, given in kwargs.items() if name not in added}
    for number, given in enumerate(args):
        name = names[number] if number < len(names) else str(number + 1)
        shown[name] = HIDDEN if hides else _of_name(name, given)
        hides = _asks_for_secret(given)
    return shown | {name: _of_name(name, given) for name, given in kwargs.items()}


def value(given: Any) -> Any:
    """Return a value in JSON's types, as people may see it."""
    if isinstance(given, _PLAIN):
        return given
    if isinstance(given, str):
        return text(given)
    if isinstance(given, _WRITTEN):
        return str(given)
    if isinstance(given, Reference):
        return _reference(given)
    if isinstance(given, Mapping):
        return {str(name): _of_name(str(name), item) for name, item in given.items()}
    if isinstance(given, list | tuple | set | frozenset):
        return list(_items(list(given)))
    return f"<{type(given).__qualname__}>"


def text(given: str) -> str:
    """Return a text without passwords and the like in it, and not all of a long one."""
    return shortened(_ASSIGNED.sub(_without_secret, without_password(given)), MAX_TEXT)


def _names(row: BackgroundTask, task: str, count: int) -> Sequence[str]:
    """Return the names of a task's positional arguments, as far as they are known.

    :param task: its name, by which Huey knows it.
    :param count: how many there are.
    """
    if row.hook and (kind := catalogue.kind_of(row.hook)) is not None:
        return kind.arguments
    function = None if row.hook else background.function_of(task)
    return () if function is None else signatures.place_names(function, count)


def _names_of_call(call: Call) -> Sequence[str]:
    """Return the names of the positional arguments of a task of ``TASKS``."""
    try:
        takes_context = int(call.task.takes_context)
    except UnknownTask:
        return ()
    return signatures.place_names(call.task.func, takes_context + len(call.args))[takes_context:]


def _of_name(name: str, given: Any) -> Any:
    return HIDDEN if is_secret(name) else value(given)


def _asks_for_secret(given: Any) -> bool:
    """Return whether the next argument is the value of an option such as ``--password``."""
    return (
        isinstance(given, str) and given.startswith("-") and "=" not in given and is_secret(given)
    )


def _without_secret(match: re.Match[str]) -> str:
    return f"{match[1]}={HIDDEN}" if is_secret(match[1]) else match[0]


def _reference(given: Reference) -> str:
    payload = given.payload
    if isinstance(payload, Mapping) and {"model", "pk"} <= payload.keys():
        return f"<{payload['model']} {payload['pk']}>"
    return f"<{given.kind}>"


def _items(given: list[Any]) -> Iterator[Any]:
    yield from map(value, given[:MAX_ITEMS])
    if len(given) > MAX_ITEMS:
        yield f"… {len(given) - MAX_ITEMS} more"
