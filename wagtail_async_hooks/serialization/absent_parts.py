"""Parts of a request that a worker does not have: an error in Python, empty in templates."""

from __future__ import annotations

from typing import Any, Final

from wagtail_async_hooks.exceptions import NotCarried

ABSENT: Final = ("POST", "FILES", "COOKIES", "session", "body")
"""Attributes of a request that a worker does not have."""


class Absent:
    """Descriptor of an attribute that is not serialized; a value that the hook itself sets counts.

    :param advice: what to do instead, for the error.
    """

    def __init__(self, advice: str) -> None:
        self.advice = advice

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        raise not_carried(self.name, self.advice)


def not_carried(name: str, advice: str) -> NotCarried:
    """Return the error for a part of a request.

    :param name: of the attribute or method.
    """
    return NotCarried(
        f"request.{name} is not carried to the worker: {advice}, or keep this hook "
        "synchronous with WAGTAIL_TASKS_SYNC_HOOKS."
    )


class Empty(dict[str, Any]):
    """What templates get for a part that is not serialized: nothing, as of an anonymous visitor.

    A dict, since templates call the methods of one. What is put into it is lost.
    """

    def __str__(self) -> str:
        return ""

    def getlist(self, key: str, default: Any = None) -> list[Any]:
        """Return no values, as a ``QueryDict`` does of a field that was not sent."""
        return [] if default is None else list(default)

    def lists(self) -> list[Any]:
        """Return no fields."""
        return []
