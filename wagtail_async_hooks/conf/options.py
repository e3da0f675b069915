"""The options of a background function, and which of several that name it are in force."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypedDict

from django.utils.functional import Promise
from huey.utils import utcnow

KeyTemplate = str | Callable[..., Any]
ErrorClass = type[BaseException] | str
"""A class of exceptions, or its dotted path."""

Text = str | Promise
"""A text, which may be translated where it is read."""

ErrorClasses = ErrorClass | Sequence[ErrorClass]
Explain = Mapping[Any, Text] | Callable[[BaseException], Text | None]


LONGEST_TIMEOUT: Final = 1_000_000
"""Seconds, more than eleven days: what waits for longer than the system can overflows."""

MAX_QUEUE_NAME: Final = 64
"""Characters of a queue's name that the ledger's column takes."""

DEFAULT_QUEUE: Final = "default"
"""The queue of what names none."""


class TaskOptions(NamedTuple):
    """How the tasks of one function are run; ``None`` where nothing is said."""

    priority: int | None = None
    """Higher runs first, whenever it was submitted."""

    queue: str | None = None
    """The queue that it waits in; ``"default"`` if nothing is said."""

    retries: int | None = None
    """How often it is run again after an error."""

    retry_delay: float | None = None
    """Seconds between an error and the next attempt."""

    retry_backoff: float | None = None
    """What the delay is multiplied by after each further error."""

    retry_jitter: float | None = None
    """By up to which part of itself the delay is lengthened, at random."""

    retry_on: ErrorClasses | None = None
    """The errors after which it is run again; after any other it has failed."""

    discard_on: ErrorClasses | None = None
    """The errors with which it ends as cancelled, however many retries are left."""

    timeout: float | None = None
    """Seconds after which an attempt is ended, and has failed."""

    expires: float | None = None
    """Seconds after which it is not begun any more."""

    delay: float | None = None
    """Seconds before which it is not begun."""

    coalesce: KeyTemplate | None = None
    """Of several that wait with the same key, only the newest runs: a template such as
    ``"{page.pk}"``, or a callable that gets the arguments."""

    debounce: float | None = None
    """Seconds of quiet that are waited for: as long as others with the same key follow within that
    time, it is not begun. Without ``coalesce``, the first argument that is a model is the key."""

    debounce_max: float | None = None
    """Seconds after the first of such a burst, when it is begun although others follow."""

    exclusive: KeyTemplate | None = None
    """Of several with the same key only one runs at a time, in their order; made likewise."""

    supersede: bool | None = None
    """Do not run it once the object has a newer revision."""

    title: Text | None = None
    """What it does, for people: a text such as ``"Purge the cache for {page}"``, which is filled
    with the arguments."""

    explain: Explain | None = None
    """What an error means, for editors: a sentence for each class of exceptions, or a callable
    that gets the exception and returns one."""

    side_effect: str | None = None
    """What a second run would do once more, in a word such as ``"email"``."""

    def over(self, weaker: TaskOptions) -> TaskOptions:
        """Return these options, and for what they do not say those of another."""
        said = {name: value for name, value in self.items().items() if value is not None}
        return weaker._replace(**said)

    def items(self) -> Mapping[str, Any]:
        """Return the options by name."""
        return self._asdict()

    @property
    def merges(self) -> bool:
        """Whether tasks that wait are merged, if they have the same key."""
        return self.coalesce is not None or bool(self.debounce)

    def for_huey(self) -> dict[str, Any]:
        """Return what Huey has to know of them when it makes a task."""
        return {
            "priority": self.priority,
            "retries": self.retries,
            "retry_delay": self.retry_delay,
            "retry_backoff": self.retry_backoff,
            "timeout": self.timeout,
            "expires": datetime.timedelta(seconds=self.expires) if self.expires else None,
            "eta": utcnow() + datetime.timedelta(seconds=self.delay) if self.delay else None,
        }


class Options(TypedDict, total=False):
    """The same, as keyword arguments of ``register()`` and ``receiver()``."""

    priority: int | None
    queue: str | None
    retries: int | None
    retry_delay: float | None
    retry_backoff: float | None
    retry_jitter: float | None
    retry_on: ErrorClasses | None
    discard_on: ErrorClasses | None
    timeout: float | None
    expires: float | None
    delay: float | None
    coalesce: KeyTemplate | None
    debounce: float | None
    debounce_max: float | None
    exclusive: KeyTemplate | None
    supersede: bool | None
    title: Text | None
    explain: Explain | None
    side_effect: str | None


def whole_number(value: Any) -> str:
    """Return what is wrong with a number that a 32 bit column has to hold; blank if nothing is."""
    fits = type(value) is int and -(2**31) <= value < 2**31
    return "" if fits else "a whole number that fits 32 bits"


def queue_name(value: Any) -> str:
    """Return what is wrong with the name of a queue; blank if nothing is."""
    fits = isinstance(value, str) and 0 < len(value) <= MAX_QUEUE_NAME and value.isprintable()
    if fits and value == value.strip():  # MySQL and MariaDB compare without spaces at the end
        return ""
    return f"a name of 1 to {MAX_QUEUE_NAME} printable characters, with no space around it"


def count(value: Any) -> str:
    """Return what is wrong with a number of times; blank if nothing is."""
    return "" if type(value) is int and 0 <= value < 2**31 else "a whole number of at least 0"


def seconds(value: Any) -> str:
    """Return what is wrong with a number of seconds; blank if nothing is."""
    fits = type(value) in (int, float) and 0 <= value < float("inf")
    return "" if fits else "a number of seconds of at least 0"


def duration(value: Any) -> str:
    """Return what is wrong with a number of seconds that something may take; blank if nothing."""
    fits = type(value) in (int, float) and 0 < value <= LONGEST_TIMEOUT
    return "" if fits else f"a number of seconds above 0, and at most {LONGEST_TIMEOUT}"


def part(value: Any) -> str:
    """Return what is wrong with a part of something; blank if nothing is."""
    fits = type(value) in (int, float) and 0 <= value <= 1
    return "" if fits else "a number from 0 to 1"


def errors(value: Any) -> str:
    """Return what is wrong with classes of exceptions; blank if nothing is."""
    named = value if isinstance(value, tuple | list) else [value]
    fits = all(_is_error_class(each) for each in named) and named
    return "" if fits else "a class of exceptions, its dotted path, or several of these"


def _is_error_class(value: Any) -> bool:
    if isinstance(value, str):
        return all(part.isidentifier() for part in value.split("."))
    return isinstance(value, type) and issubclass(value, BaseException)


def factor(value: Any) -> str:
    """Return what is wrong with a factor; blank if nothing is."""
    fits = type(value) in (int, float) and 1 <= value < float("inf")
    return "" if fits else "a number of at least 1"


def flag(value: Any) -> str:
    """Return what is wrong with a choice of two; blank if nothing is."""
    return "" if type(value) is bool else "True or False"


def key(value: Any) -> str:
    """Return what is wrong with the template of a key; blank if nothing is."""
    fits = callable(value) or (isinstance(value, str) and value)
    return "" if fits else 'a template such as "{page.pk}", or a callable'


def text(value: Any) -> str:
    """Return what is wrong with a text for people; blank if nothing is."""
    return "" if isinstance(value, Promise) or (isinstance(value, str) and value) else "a text"


def explanations(value: Any) -> str:
    """Return what is wrong with explanations of errors; blank if nothing is."""
    fits = callable(value) or (
        isinstance(value, Mapping)
        and all(_is_error_class(kind) for kind in value)
        and not any(map(text, value.values()))
    )
    return "" if fits else "a dict of texts by classes of exceptions, or a callable"


def word(value: Any) -> str:
    """Return what is wrong with the name of a side effect; blank if nothing is."""
    fits = isinstance(value, str) and 0 < len(value) <= 64
    return "" if fits else "a text of 1 to 64 characters"


EXPECTED: Final[Mapping[str, Callable[[Any], str]]] = {
    "priority": whole_number,
    "queue": queue_name,
    "retries": count,
    "retry_delay": seconds,
    "retry_backoff": factor,
    "retry_jitter": part,
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
"""For each option, what tells what a value should have been."""
assert set(EXPECTED) == set(TaskOptions._fields)


def wrong(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with options that code gives together.

    :param given: by name; all names are known.
    :returns: by name, what an option should have been; nothing of those that are as they should be.
    """
    told = {name: EXPECTED[name](value) for name, value in given.items() if value is not None}
    found = {name: expected for name, expected in told.items() if expected}
    if given.get("debounce_max") is not None and given.get("debounce") is None:
        found.setdefault("debounce_max", "given together with debounce")
    return found or at_odds(given)


def at_odds(given: Mapping[str, Any]) -> dict[str, str]:
    """Return which options, each of the right type, contradict others; see :func:`wrong`."""
    least, most = given.get("debounce"), given.get("debounce_max")
    if least is None or most is None or least <= most:
        return {}
    return {"debounce_max": f"no less than debounce, which is {least!r}"}


UNKNOWN_TO_HUEY: Final = (
    *("retry_jitter", "retry_on", "discard_on"),
    *("title", "explain", "side_effect"),
)
"""What ``@background.task()`` takes as well: Huey itself has no place for it."""


def taken_from(given: dict[str, Any], call: str) -> TaskOptions:
    """Take the options out of keyword arguments of which Huey knows nothing, and return them.

    :param call: what was called, for the error.
    :raises TypeError: if one is of a wrong type.
    """
    taken = {name: given.pop(name) for name in UNKNOWN_TO_HUEY if name in given}
    for name, value in taken.items():
        if value is not None and (expected := EXPECTED[name](value)):
            raise TypeError(f"{call}: {name}=… should be {expected}, but is {value!r}.")
    return TaskOptions(**taken)
