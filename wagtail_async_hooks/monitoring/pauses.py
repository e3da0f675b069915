"""What is paused, and what a pause keeps from being run."""

from __future__ import annotations

from collections.abc import Iterable

from wagtail_async_hooks.models import Pause

Named = dict[tuple[str, str], Pause]
"""Pauses by kind and name."""


def by_name(pauses: Iterable[Pause]) -> Named:
    """Return pauses by what they pause."""
    return {(pause.kind, pause.name): pause for pause in pauses}


def of_task(pauses: Named, *, queue: str, hook: str = "", function: str = "") -> Pause | None:
    """Return the pause that keeps a task from being run, the widest first; ``None`` if none does.

    :param pauses: as :func:`by_name` returns them.
    """
    belongs = (
        (Pause.Kind.EVERYTHING, ""),
        (Pause.Kind.QUEUE, queue),
        (Pause.Kind.HOOK, hook),
        (Pause.Kind.FUNCTION, function),
    )
    return next((pauses[each] for each in belongs if each in pauses), None)
