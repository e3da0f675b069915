"""Every function that is registered for a hook: where it runs, why, and what could be better.

Also the receivers of Wagtail's signals, and those of other signals that run in the background. The
command ``wagtail_tasks hooks`` and the admin say the same, by these functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from huey.api import TaskWrapper
from wagtail import hooks as wagtail_hooks
from wagtail import signals as wagtail_signals

from wagtail_async_hooks import conf
from wagtail_async_hooks.hooks import (
    catalogue,
    measuring,
    private_registries,
    registry,
    takeover,
)
from wagtail_async_hooks.hooks.known_hooks import UNSUITABLE_HOOKS
from wagtail_async_hooks.hooks.private_registries import Unreadable
from wagtail_async_hooks.hooks.registry import BackgroundFunction
from wagtail_async_hooks.monitoring import objections, registered
from wagtail_async_hooks.monitoring.registered import Option
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function


class Where(TextChoices):
    """Where a function runs, and whether that can change; those first that can be improved."""

    MOVABLE = "movable", gettext_lazy("Could run in the background")
    BACKGROUND = "background", gettext_lazy("In the background")
    KEPT = "kept", gettext_lazy("Kept in the request")
    BOUND = "bound", gettext_lazy("Must run in the request")


@dataclass(frozen=True)
class HookFunction:
    """A function that is registered for a hook, or connected to a signal.

    :param kind: ``"hook"`` or ``"signal"``.
    :param hook: name of the hook or signal.
    :param function: its dotted path, or what it is where it has no name.
    :param reason: why it runs there, in words that follow "it".
    :param setting: the line of settings that moves it; blank if there is none, or none to advise.
    :param warnings: why it should not be moved, in whole sentences.
    :param notes: what else is worth knowing, in whole sentences.
    :param options: those in force, if its author or the settings ask for the background.
    :param moved: the setting that has moved it; blank if its author asked for the background.
    """

    kind: str
    hook: str
    function: str
    where: Where
    reason: str
    setting: str = ""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    moved: str = ""

    def option(self, name: str) -> Any:
        """Return the value of an option in force; ``None`` if it has none."""
        return next((each.value for each in self.options if each.name == name), None)


def all_functions() -> list[HookFunction]:
    """Return the functions of all hooks, and the receivers, those first that can be improved."""
    wagtail_hooks.search_for_hooks()
    # One may be registered twice, or be connected for several senders.
    found = dict.fromkeys([*_of_hooks(), *_of_signals()])
    in_force = {(e.kind, e.hook, e.function): e.options for e in registered.listed() if e.options}
    named = [
        replace(each, options=in_force.get((each.kind, each.hook, each.function), ()))
        for each in found
    ]
    return sorted(named, key=_rank)


def _rank(each: HookFunction) -> tuple[Any, ...]:
    order = list(Where).index(each.where)
    return order, bool(each.warnings), each.kind, each.hook, each.function


def hook_names() -> list[str]:
    """Return the names of all hooks that functions were registered for."""
    try:
        return sorted(private_registries.hook_names())
    except Unreadable:
        return sorted({*catalogue.hooks(), *UNSUITABLE_HOOKS})


# Hooks --------------------------------------------------------------------------------------


def _of_hooks() -> Iterator[HookFunction]:
    for hook in hook_names():
        for function in wagtail_hooks.get_hooks(hook):
            entry = registry.entry_of(function)
            yield _of_hook(hook, function) if entry is None else _of_entry(entry)


def _of_hook(hook: str, given: Function) -> HookFunction:
    function = functions.behind(measuring.plain(given))
    path = functions.label(function)
    kind = catalogue.kind_of(hook)
    if kind is None:
        notes = _in_vain(hook, function)
        return HookFunction("hook", hook, path, Where.BOUND, _why_bound(hook), notes=notes)
    if why := takeover.why_not(hook, function):
        reason = _why_lost(function, why)
        return HookFunction("hook", hook, path, Where.KEPT, reason, notes=_in_vain(hook, function))
    return _plain("hook", hook, function, kind.arguments)


def _why_bound(hook: str) -> str:
    """Return why no function of a hook can run in the background."""
    if hook.startswith("before_"):
        return _("must act before the change, which it may refuse")
    if hook in UNSUITABLE_HOOKS or hook.startswith(("register_", "construct_", "insert_")):
        return _("returns, or changes, what Wagtail needs to go on")
    return _("is for a hook that is not in the catalogue of background-safe hooks")


def _in_vain(hook: str, function: Function) -> tuple[str, ...]:
    """Return a note if a function was registered with ``background=True`` all the same."""
    for kept in registry.kept_synchronous:
        if kept.hook == hook and kept.function == function:
            return (_("Its code asks for the background, in vain."),)
    return ()


# What a worker could not find ---------------------------------------------------------------


def _why_lost(function: Function, why: str) -> str:
    """Return in the reader's language why a function cannot be moved.

    :param why: as the checks say it.
    """
    for is_so, reason in _REASONS:
        if is_so(function):
            return str(reason)
    return _("cannot be moved: %(why)s") % {"why": why}


_REASONS: Final[tuple[tuple[Callable[[Any], bool], Promise], ...]] = (
    (
        lambda function: isinstance(function, TaskWrapper),
        gettext_lazy("is a background task already, and only enqueues itself"),
    ),
    (inspect.isclass, gettext_lazy("is a class, and a worker calls functions only")),
    (inspect.ismethod, gettext_lazy("is a method, and a worker cannot find its object")),
    (
        lambda function: not functions.has_name(function),
        gettext_lazy("has no name, so a worker cannot find it"),
    ),
    (
        lambda function: "<lambda>" in function.__qualname__,
        gettext_lazy("is a lambda, so a worker cannot find it"),
    ),
    (
        lambda function: "<locals>" in function.__qualname__,
        gettext_lazy("is nested, so a worker cannot find it"),
    ),
    (
        lambda function: function.__module__.startswith("wagtail_async_hooks."),
        gettext_lazy("is a part of the background tasks themselves"),
    ),
)
"""What :func:`~wagtail_async_hooks.hooks.takeover.why_not` objects to, in its sequence."""


# What runs in the background, or asks for it ------------------------------------------------


def _of_entry(entry: BackgroundFunction) -> HookFunction:
    kind = "signal" if entry.is_receiver else "hook"
    moved = conf.background_setting(entry.path) if entry.moved else ""
    if setting := conf.current().why_synchronous(entry.hook, entry.path):
        where, reason = Where.KEPT, _("is kept in the request by %(setting)s")
    elif moved:
        where, reason, setting = Where.BACKGROUND, _("was moved by %(setting)s"), moved
    else:
        where, reason = Where.BACKGROUND, _("was registered with background=True")
    return HookFunction(
        kind, entry.hook, entry.path, where, reason % {"setting": setting}, moved=moved
    )


# What could run in the background -----------------------------------------------------------


def _plain(kind: str, hook: str, function: Function, arguments: tuple[str, ...]) -> HookFunction:
    """Return a function that a worker could run."""
    path = functions.label(function)
    if path in conf.current().moved:  # but the registry could not be read, or the path is wrong
        reason = _("stays there although the settings move it; “manage.py check” says why")
        return HookFunction(kind, hook, path, Where.KEPT, reason)
    if setting := conf.current().why_synchronous(hook, path):
        reason = _("is kept in the request by %(setting)s") % {"setting": setting}
        return HookFunction(kind, hook, path, Where.KEPT, reason)
    found = objections.of(kind, hook, function, arguments)
    return HookFunction(
        kind,
        hook,
        path,
        Where.MOVABLE,
        _("could run in the background"),
        setting="" if found.warnings else conf.line_that_moves(path),
        warnings=tuple(str(text) % {"what": what} for text, what in found.warnings),
        notes=tuple(map(str, found.notes)),
    )


# Signals ------------------------------------------------------------------------------------

_OF_WAGTAIL: Final = tuple(
    name
    for name, (signal, kind) in catalogue.SIGNALS.items()
    if getattr(wagtail_signals, name, None) is signal
)
"""Signals whose synchronous receivers are listed: Django's have many that nobody wants to move."""

_NOT_OF_SITES: Final = ("django", "wagtail", "wagtail_async_hooks")
"""Packages whose receivers of Wagtail's signals are parts of what Wagtail does."""


def _of_signals() -> Iterator[HookFunction]:
    for entry in registry.entries.values():
        if entry.is_receiver:
            yield _of_entry(entry)
    for kept in registry.kept_synchronous:
        if kept.is_receiver and kept.is_unsuitable:
            reason = _("is for a signal that is not background-safe")
            path, notes = functions.label(kept.function), _in_vain(kept.hook, kept.function)
            yield HookFunction("signal", kept.hook, path, Where.BOUND, reason, notes=notes)
    try:
        for name in _OF_WAGTAIL:
            yield from _of_signal(name, *catalogue.SIGNALS[name])
    except Unreadable:
        return  # a check says so


def _of_signal(name: str, signal: Any, kind: catalogue.Kind) -> Iterator[HookFunction]:
    for found in private_registries.of_signal(signal):
        function = found.function
        package = str(getattr(function, "__module__", "")).partition(".")[0]
        if registry.entry_of(function) is not None or package in _NOT_OF_SITES:
            continue
        if why := takeover.why_not_received(signal, found):
            path, reason = functions.label(function), _why_lost(function, why)
            yield HookFunction(
                "signal", name, path, Where.KEPT, reason, notes=_in_vain(name, function)
            )
        else:
            yield _plain("signal", name, function, kind.arguments)
