"""The options of a background function, and those of two sources put together."""

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


DEFAULT_QUEUE: Final = "default"
"""The queue of tasks that name none."""


class TaskOptions(NamedTuple):
    """How the tasks of one function are run; ``None`` for an option that is not set."""

    priority: int | None = None
    """Higher runs first, whenever it was submitted."""

    queue: str | None = None
    """The queue that it waits in; ``"default"`` if none is set."""

    retries: int | None = None
    """How often it is run again after an error."""

    retry_delay: float | None = None
    """Seconds between an error and the next attempt."""

    retry_backoff: float | None = None
    """What the delay is multiplied by after each further error."""

    retry_jitter: float | None = None
    """Maximum random extension, as a fraction of the delay."""

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
        """Return these options; those that are not set are taken from others."""
        given = {name: value for name, value in self.items().items() if value is not None}
        return weaker._replace(**given)

    def items(self) -> Mapping[str, Any]:
        """Return the options by name."""
        return self._asdict()

    @property
    def merges(self) -> bool:
        """Whether tasks that wait are merged, if they have the same key."""
        return self.coalesce is not None or bool(self.debounce)

    def for_huey(self) -> dict[str, Any]:
        """Return the options that Huey's tasks have themselves, as Huey names them."""
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
    """Keyword arguments of ``register()`` and ``receiver()``: those of :class:`TaskOptions`."""

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


UNKNOWN_TO_HUEY: Final = (
    *("retry_jitter", "retry_on", "discard_on"),
    *("title", "explain", "side_effect"),
)
"""Options that ``@background.task()`` takes as well, and that Huey does not have."""
