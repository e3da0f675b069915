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
    """Let no worker begin a task of a queue, a hook or a function; without any of them, any task.

    :param queue: its name.
    :param hook: name of a hook or signal.
    :param function: dotted path of a function, or of a background task.
    :param user: who pauses it.
    :param reason: why, for those who wonder.
    :returns: whether it was not paused already; if it was, that pause stays as it is.
    :raises TypeError: if several are given.
    :raises ValueError: if a name is none.
    """
    kind, name = _target("pause", queue, hook, function)
    key = None if user is None else user.pk
    added: bool = ledger.add_pause(kind, name, key, reason)
    return added


def resume(*, queue: str = "", hook: str = "", function: str = "") -> bool:
    """Undo :func:`pause`, with the same arguments.

    Something else may still be paused that the same tasks belong to.

    :returns: whether it was paused.
    :raises TypeError: if several are given.
    :raises ValueError: if a name is none.
    """
    kind, name = _target("resume", queue, hook, function)
    removed: bool = ledger.remove_pause(kind, name)
    return removed


def paused() -> list[Pause]:
    """Return what is paused, in the order in which it was: what, by whom, when and why."""
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
