"""What speaks against moving a synchronous function to the background, as its source shows.

The system checks say the same of functions that are moved already. To read the sources takes a
tenth of a second, so what is found is kept as long as the same functions are registered.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks.hooks import private_registries, takeover
from wagtail_async_hooks.hooks.private_registries import Unreadable
from wagtail_async_hooks.utils import functions, signatures
from wagtail_async_hooks.utils.functions import Function

_NOT_FOUND: Final = _("Its path leads elsewhere, so a worker could not find it (%(what)s).")
_NOT_CARRIED: Final = _("It reads %(what)s, which a worker does not have.")
_MISFIT: Final = _("It does not take what the hook passes: it %(what)s.")
_LEFT_BY_OTHERS: Final = _(
    "It reads %(what)s, which another function leaves there, and which does not reach a worker."
)
_ANSWERS: Final = _(
    "It returns something. If that is a response, editors would not get it any more."
)
_NEVER_AWAITED: Final = _("It is a coroutine function: Wagtail does not await it, a worker does.")


class Objections(NamedTuple):
    """What was found of a function.

    :param warnings: why it should not be moved: a text with a place, and what belongs there.
    :param notes: what else changes.
    """

    warnings: tuple[tuple[Promise, str], ...]
    notes: tuple[Promise, ...]


class _Known(NamedTuple):
    """What was found, and of what."""

    function: Function
    registered: int
    found: Objections


_known: Final[dict[tuple[str, str, str], _Known]] = {}
"""By kind, hook and dotted path."""

_written: Final[dict[int, dict[str, str]]] = {}
"""What :func:`.leftovers.written` has returned last, by what is registered."""


def of(kind: str, hook: str, function: Function, arguments: tuple[str, ...]) -> Objections:
    """Return what speaks against moving a function.

    :param kind: ``"hook"`` or ``"signal"``.
    :param arguments: the names of what the hook passes, if they are known.
    """
    key = (kind, hook, functions.label(function))
    number = _registered()
    known = _known.get(key)
    if known is None or (known.function, known.registered) != (function, number):
        found = Objections(
            tuple(dict.fromkeys(_warnings(kind, function, arguments, number))),
            tuple(_notes(kind, function)),
        )
        known = _known[key] = _Known(function, number, found)
    return known.found


def _warnings(
    kind: str, function: Function, arguments: tuple[str, ...], number: int
) -> Iterator[tuple[Promise, str]]:
    from wagtail_async_hooks.hooks import leftovers, source  # only who asks needs to read sources

    resolved, why = takeover.resolve(functions.label(function))
    if resolved is None or why:
        yield _NOT_FOUND, why
    # A receiver gets the request by its name, not as the first argument.
    if kind == "signal" or "request" in arguments[:1]:
        named = "request" if kind == "signal" else ""
        for finding in source.what_is_missing(function, named, len(arguments)):
            yield _NOT_CARRIED, finding.what
    if kind == "hook" and arguments and (misfit := signatures.misfit(function, arguments)):
        yield _MISFIT, misfit
    if number not in _written:
        _written.clear()
        _written[number] = leftovers.written()
    for left in leftovers.read_by(function, _written[number]):
        yield _LEFT_BY_OTHERS, left.what


def _notes(kind: str, function: Function) -> Iterator[Promise]:
    from wagtail_async_hooks.hooks import source

    if inspect.iscoroutinefunction(function):
        yield _NEVER_AWAITED
    elif kind == "hook":
        found = source.Source.of(function)
        if found is not None and found.returns_something():
            yield _ANSWERS


def _registered() -> int:
    """Return a number for the functions that are registered for hooks; -1 if they are not known."""
    try:
        names = private_registries.hook_names()
        return hash(tuple(id(each) for hook in names for each in wagtail_hooks.get_hooks(hook)))
    except Unreadable:
        return -1
