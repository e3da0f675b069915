"""Pause and resume: a queue, a hook, a function, or everything, on all workers and over restarts.

Workers look once a second. What runs finishes, what is paused waits, and once it is resumed it runs
in its order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wagtail_async_hooks import ledger
from wagtail_async_hooks.conf.validators import queue_name

if TYPE_CHECKING:
    from wagtail_async_hooks.models import Pause


def pause(
    *, queue: str = "", hook: str = "", function: str = "", user: Any = None, reason: str = ""
) -> bool:
    """Pause a queue, a hook or a function; without arguments, everything.

    :param queue: name of a queue.
    :param hook: name of a hook or signal.
    :param function: dotted path of a function, or of a background task.
    :param user: the user who pauses it.
    :param reason: the reason, for people.
    :returns: whether it is paused now and was not before; an earlier pause is kept.
    :raises TypeError: if several of queue, hook and function are given.
    :raises ValueError: if a name is not valid.
    """
    kind, name = _target("pause", queue, hook, function)
    key = None if user is None else user.pk
    added: bool = ledger.add_pause(kind, name, key, reason)
    return added


def resume(*, queue: str = "", hook: str = "", function: str = "") -> bool:
    """Undo :func:`pause`, with the same arguments.

    Tasks that another pause applies to stay paused.

    :returns: whether it was paused.
    :raises TypeError: see :func:`pause`.
    :raises ValueError: see :func:`pause`.
    """
    kind, name = _target("resume", queue, hook, function)
    removed: bool = ledger.remove_pause(kind, name)
    return removed


def paused() -> list[Pause]:
    """Return all pauses, the oldest first."""
    found: list[Pause] = ledger.pauses()
    return found


def _target(call: str, queue: str, hook: str, function: str) -> tuple[str, str]:
    """Return kind and name of what is named."""
    named = {"queue": queue, "hook": hook, "function": function}
    given = {kind: name for kind, name in named.items() if name != ""}
    if not given:
        return "everything", ""
    if len(given) > 1:
        raise TypeError(f"{call}() takes one of {', '.join(named)}, but was given several.")
    [(kind, name)] = given.items()
    if kind == "queue":
        expected = queue_name(name)
    else:
        longest = 100 if kind == "hook" else 255
        fits = isinstance(name, str) and len(name) <= longest and name.isprintable()
        expected = "" if fits else f"a name of 1 to {longest} printable characters"
    if expected:
        raise ValueError(f"{call}({kind}=…) should be {expected}, but is {name!r}.")
    return kind, name
