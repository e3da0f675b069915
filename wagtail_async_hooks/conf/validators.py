"""What a task option may be: a validator for each, and checks of all that are given together.

A validator returns what a value should have been, in words for an error; blank if it is valid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parseaddr
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.functional import Promise

from wagtail_async_hooks.conf.options import UNKNOWN_TO_HUEY, TaskOptions
from wagtail_async_hooks.utils.suggestions import nearest

LONGEST_TIMEOUT: Final = 1_000_000
"""Seconds, more than eleven days: what waits for longer than the system can overflows."""

MAX_RECIPIENT: Final = 254
"""Characters of an e-mail address, or of a dotted path, that is told of something."""

MAX_QUEUE_NAME: Final = 64
"""Characters of a queue's name that the ledger's column takes."""


def whole_number(value: Any) -> str:
    """Validate a number that a 32 bit column has to hold."""
    fits = type(value) is int and -(2**31) <= value < 2**31
    return "" if fits else "a whole number that fits 32 bits"


def queue_name(value: Any) -> str:
    """Validate the name of a queue."""
    fits = isinstance(value, str) and 0 < len(value) <= MAX_QUEUE_NAME and value.isprintable()
    if fits and value == value.strip():  # MySQL and MariaDB compare without spaces at the end
        return ""
    return f"a name of 1 to {MAX_QUEUE_NAME} printable characters, with no space around it"


def count(value: Any) -> str:
    """Validate a number of times."""
    return "" if type(value) is int and 0 <= value < 2**31 else "a whole number of at least 0"


def positive(value: Any) -> str:
    """Validate a number of things of which there has to be one."""
    return "" if type(value) is int and 0 < value < 2**31 else "a whole number of at least 1"


def megabytes(value: Any) -> str:
    """Validate an amount of memory."""
    fits = type(value) in (int, float) and 0 < value < float("inf")
    return "" if fits else "a number of megabytes above 0"


def seconds(value: Any) -> str:
    """Validate a number of seconds."""
    fits = type(value) in (int, float) and 0 <= value < float("inf")
    return "" if fits else "a number of seconds of at least 0"


def duration(value: Any) -> str:
    """Validate a number of seconds that something may take."""
    fits = type(value) in (int, float) and 0 < value <= LONGEST_TIMEOUT
    return "" if fits else f"a number of seconds above 0, and at most {LONGEST_TIMEOUT}"


def fraction(value: Any) -> str:
    """Validate a fraction."""
    fits = type(value) in (int, float) and 0 <= value <= 1
    return "" if fits else "a number from 0 to 1"


def rate(value: Any) -> str:
    """Validate a part of all that is more than none."""
    return "" if not fraction(value) and value > 0 else "a number above 0, and at most 1"


def email_address(value: Any) -> str:
    """Validate an e-mail address, with or without a name before it."""
    _name, address = parseaddr(value) if isinstance(value, str) else ("", "")
    try:
        validate_email(address)
    except ValidationError:
        address = ""
    fits = address and len(value) <= MAX_RECIPIENT and value.isprintable()
    return "" if fits else 'an e-mail address such as "ops@example.com"'


def recipient(value: Any) -> str:
    """Validate who is told of something: an e-mail address, or the dotted path of a function."""
    if not email_address(value):
        return ""
    parts = value.split(".") if isinstance(value, str) and len(value) <= MAX_RECIPIENT else []
    if len(parts) > 1 and all(part.isidentifier() for part in parts):
        return ""
    return (
        'an e-mail address such as "ops@example.com", or the dotted path of a function such as '
        '"mysite.alerts.tell"'
    )


def errors(value: Any) -> str:
    """Validate classes of exceptions."""
    named = value if isinstance(value, tuple | list) else [value]
    fits = all(_is_error_class(each) for each in named) and named
    return "" if fits else "a class of exceptions, its dotted path, or several of these"


def _is_error_class(value: Any) -> bool:
    if isinstance(value, str):
        return all(part.isidentifier() for part in value.split("."))
    return isinstance(value, type) and issubclass(value, BaseException)


def factor(value: Any) -> str:
    """Validate a factor."""
    fits = type(value) in (int, float) and 1 <= value < float("inf")
    return "" if fits else "a number of at least 1"


def flag(value: Any) -> str:
    """Validate a boolean."""
    return "" if type(value) is bool else "True or False"


def key(value: Any) -> str:
    """Validate the template of a key."""
    fits = callable(value) or (isinstance(value, str) and value)
    return "" if fits else 'a template such as "{page.pk}", or a callable'


def text(value: Any) -> str:
    """Validate a text for people."""
    return "" if isinstance(value, Promise) or (isinstance(value, str) and value) else "a text"


def explanations(value: Any) -> str:
    """Validate explanations of errors."""
    fits = callable(value) or (
        isinstance(value, Mapping)
        and all(_is_error_class(kind) for kind in value)
        and not any(map(text, value.values()))
    )
    return "" if fits else "a dict of texts by classes of exceptions, or a callable"


def word(value: Any) -> str:
    """Validate the name of a side effect."""
    fits = isinstance(value, str) and 0 < len(value) <= 64
    return "" if fits else "a text of 1 to 64 characters"


def address(value: Any) -> str:
    """Validate where a server listens; blank for nowhere."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    is_port = port.isascii() and port.isdecimal() and 0 < int(port) < 2**16
    fits = value == "" or (host and is_port and not any(map(str.isspace, host)))
    return "" if fits else 'an address and a port, such as "127.0.0.1:9464"'


VALIDATORS: Final[Mapping[str, Callable[[Any], str]]] = {
    "priority": whole_number,
    "queue": queue_name,
    "retries": count,
    "retry_delay": seconds,
    "retry_backoff": factor,
    "retry_jitter": fraction,
    "retry_on": errors,
    "discard_on": errors,
    "timeout": duration,
    "expires": seconds,
    "delay": seconds,
    "coalesce": key,
    "debounce": seconds,
    "debounce_max": seconds,
    "exclusive": key,
    "supersede": flag,
    "title": text,
    "explain": explanations,
    "side_effect": word,
}
"""The validator of each option."""
assert set(VALIDATORS) == set(TaskOptions._fields)


def invalid(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that are invalid, of those that code gives together.

    :param given: by name; all names are known.
    :returns: by name, what an option should have been.
    """
    judged = {name: VALIDATORS[name](value) for name, value in given.items() if value is not None}
    found = {name: expected for name, expected in judged.items() if expected}
    if given.get("debounce_max") is not None and given.get("debounce") is None:
        found.setdefault("debounce_max", "given together with debounce")
    return found or contradictions(given)


def contradictions(given: Mapping[str, Any]) -> dict[str, str]:
    """Return which options, each of the right type, contradict others; see :func:`invalid`."""
    least, most = given.get("debounce"), given.get("debounce_max")
    if least is None or most is None or least <= most:
        return {}
    return {"debounce_max": f"no less than debounce, which is {least!r}"}


def taken_from(given: dict[str, Any], call: str) -> TaskOptions:
    """Take the options out of keyword arguments of which Huey knows nothing, and return them.

    :param call: what was called, for the error.
    :raises TypeError: if one is of a wrong type.
    """
    taken = {name: given.pop(name) for name in UNKNOWN_TO_HUEY if name in given}
    for name, value in taken.items():
        if value is not None and (expected := VALIDATORS[name](value)):
            raise TypeError(f"{call}: {name}=… should be {expected}, but is {value!r}.")
    return TaskOptions(**taken)


def check_options(
    call: str, background: bool, live: bool, draft: bool, options: Mapping[str, Any]
) -> tuple[TaskOptions, bool | None]:
    """Return the options that were given in code, and which content they ask for.

    :param call: the beginning of the call, for the error.
    :raises TypeError: if one is unknown, of a wrong type, contradicts another one, or is given
        without ``background=True``.
    """
    if not isinstance(background, bool):
        raise TypeError(f"{call}, background=…) should be True or False, but is {background!r}.")
    for name in options:
        if name not in VALIDATORS:
            near = nearest(name, VALIDATORS)
            hint = f"did you mean {near}?" if near else f"known are: {', '.join(VALIDATORS)}."
            raise TypeError(f"{call}, {name}=…) is no option; {hint}")
    for name, expected in invalid(options).items():
        raise TypeError(f"{call}, {name}=…) should be {expected}, but is {options[name]!r}.")
    said = [name for name, value in options.items() if value is not None]
    said += [name for name, value in (("live", live), ("draft", draft)) if value]
    if said and not background:
        raise TypeError(f"{call}, {said[0]}=…) needs background=True as well.")
    if live and draft:
        raise TypeError(f"{call}, live=…, draft=…) can be one or the other, not both.")
    return TaskOptions(**options), draft if live or draft else None
