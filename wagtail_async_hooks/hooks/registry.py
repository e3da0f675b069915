"""The background functions of this process, by hook or signal.

Beside it, :mod:`.private_registries` reads what is registered with Wagtail and Django themselves.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.dispatch import Signal
from huey.api import TaskWrapper

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.options import TaskOptions
from wagtail_async_hooks.hooks import catalogue
from wagtail_async_hooks.hooks.catalogue import Kind
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function, dotted_path, has_name


@dataclass(frozen=True)
class BackgroundFunction:
    """One function that runs in the background for one hook or signal.

    :param hook: name of the hook or signal.
    :param kind: the catalogue's entry of the hook or signal.
    :param draft: whether the author chose drafts or live objects; ``None`` leaves it to the kind.
    :param signal: the signal that calls it, with keyword arguments; ``None`` for a hook.
    :param moved: whether it is a function of another package, moved by the settings.
    """

    hook: str
    function: Function
    path: str
    kind: Kind
    options: TaskOptions
    draft: bool | None
    task: TaskWrapper
    signal: Signal | None = None
    moved: bool = False
    _settled: list[tuple[conf.Settings, TaskOptions]] = field(
        default_factory=list, repr=False, compare=False
    )

    def __str__(self) -> str:
        return f"{self.hook} {functions.named(self.function)}"

    @property
    def is_receiver(self) -> bool:
        """Whether it is called by a signal."""
        return self.signal is not None

    def options_now(self) -> TaskOptions:
        """Return the options in force: the site's settings overrule the code."""
        settings = conf.current()
        # Each call asks, and in a process the settings are the same ones until a test changes them.
        for known, options in self._settled:
            if known is settings:
                return options
        options = settings.options_for(self.hook, self.path).over(self.options)
        self._settled[:] = [(settings, options)]
        return options

    def is_synchronous_now(self) -> bool:
        """Return whether the site forces it to run in the request."""
        return conf.current().runs_synchronously(self.hook, self.path)


class KeptSynchronous(NamedTuple):
    """A function that was registered with ``background=True`` and runs in the request.

    :param is_unsuitable: whether the reason is the hook or signal, not the function.
    :param is_receiver: whether it is called by a signal.
    """

    hook: str
    function: Function
    reason: str
    is_unsuitable: bool
    is_receiver: bool = False


entries: Final[dict[tuple[str, str], BackgroundFunction]] = {}
"""The background functions of this process, by hook and dotted path of the function."""

kept_synchronous: Final[list[KeptSynchronous]] = []
"""Functions of which a system check says why they run in the request."""

_provided: Final[dict[tuple[str, str], TaskWrapper]] = {}
"""Tasks of functions that are not registered in this process; see :func:`provide_task`."""

_ENTRY: Final = "_wagtail_async_hooks_entry"
"""The attribute of a dispatcher that holds its entry."""


def register(
    hook: str,
    function: Function,
    kind: Kind,
    options: TaskOptions,
    *,
    draft: bool | None = None,
    signal: Signal | None = None,
    moved: bool = False,
) -> BackgroundFunction | None:
    """Register a background function.

    :param signal: for a receiver: the signal, which the worker passes to it again.
    :param moved: whether the settings have moved it, rather than its author.
    :returns: ``None`` if a worker could not find it; a check says why.
    """
    _forget_former(hook, function)
    reason = why_lost(hook, function, signal)
    if reason:
        kept_synchronous.append(KeptSynchronous(hook, function, reason, False, signal is not None))
        return None
    path = dotted_path(function)
    task = _task(hook, path, function, signal)
    entry = BackgroundFunction(hook, function, path, kind, options, draft, task, signal, moved)
    entries[hook, path] = entry
    return entry


def latest(entry: BackgroundFunction) -> BackgroundFunction:
    """Return the entry in force, which is another one after the module was loaded anew."""
    found = entries.get((entry.hook, entry.path), entry)
    return entry if found.function is entry.function else found


def _forget_former(hook: str, function: Function) -> None:
    """Unregister a function that its module registers again, since it is loaded anew."""
    known = entries.get((hook, dotted_path(function))) if has_name(function) else None
    if known is None or known.function == function:
        return
    loaded = getattr(sys.modules.get(function.__module__), "__spec__", None)
    if known.task.task_class.definition.spec is not loaded:
        del entries[hook, known.path]
        known.task.unregister()


def unregister(hook: str, function: Function) -> None:
    """Undo :func:`register`, for a function that was registered for the time of a test."""
    entry = entries.get((hook, dotted_path(function))) if has_name(function) else None
    if entry is not None and entry.function is function:
        del entries[hook, entry.path]
        entry.task.unregister()
    kept_synchronous[:] = [
        kept for kept in kept_synchronous if (kept.hook, kept.function) != (hook, function)
    ]


def restore(entry: BackgroundFunction) -> None:
    """Undo :func:`unregister`, for a function that was registered again meanwhile."""
    entries[entry.hook, entry.path] = entry
    if entry.task.task_class not in background.task_classes():
        background._registry.register(entry.task.task_class)


def hook_names() -> set[str]:
    """Return the names of all hooks and signals whose functions may run in the background."""
    return {*catalogue.hooks(), *catalogue.SIGNALS, *(hook for hook, _ in entries)}


def function_paths() -> set[str]:
    """Return the dotted paths of the functions that run in the background."""
    return {path for _, path in entries}


def has_functions(hook: str) -> bool:
    """Return whether a function of a hook runs in the background, as the settings are now."""
    return any(
        name == hook and not entry.is_synchronous_now() for (name, _), entry in entries.items()
    )


def provide_task(hook: str, function: Function, signal: Signal | None = None) -> None:
    """Let this process run tasks of a function that other processes may have enqueued.

    For workers, which may not import what registers the function, such as the site's URLconf.
    """
    path = dotted_path(function)
    if (hook, path) not in entries and (hook, path) not in _provided:
        _provided[hook, path] = _task(hook, path, function, signal)


def why_lost(hook: str, function: Function, signal: Signal | None) -> str:
    """Return why a worker could not find or distinguish a function; blank if it can."""
    known = entries.get((hook, dotted_path(function))) if has_name(function) else None
    if known is not None and known.function != function:
        return "a worker could not tell it from another function of the same name"
    if known is not None and known.signal is not signal:
        return (
            "a worker could not tell its signal from another one; "
            "keep each in a module, under a name of its own"
        )
    return functions.why_lost(function)


def _task(hook: str, path: str, function: Function, signal: Signal | None) -> TaskWrapper:
    """Return the Huey task of a function: that of an earlier registration, or a new one."""
    known = entries.get((hook, path))
    if known is not None:
        return known.task
    if (hook, path) in _provided:
        return _provided.pop((hook, path))
    name = f"{function.__qualname__}@{hook}"
    called = function if signal is None else functools.partial(function, signal=signal)
    is_coroutine = inspect.iscoroutinefunction(function)
    decorate = background.task_with(
        name=name,
        hook=hook,
        function=path,
        options=lambda task: _options_of(hook, path),
        is_coroutine=lambda task: is_coroutine,
    )
    return decorate(_without_result(function, called))


def _options_of(hook: str, path: str) -> TaskOptions:
    """Return the options in force of a function, for its task when an attempt has failed."""
    entry = entries.get((hook, path))
    return conf.current().options_for(hook, path) if entry is None else entry.options_now()


def _without_result(function: Function, called: Callable[..., Any]) -> Function:
    """Return a function that calls another one and drops its result, as Wagtail mostly does."""

    @functools.wraps(function, updated=())  # not the mark of a coroutine function
    def call(*args: Any, **kwargs: Any) -> None:
        functions.call(called, *args, **kwargs)

    return call


def marked(dispatcher: Function, entry: BackgroundFunction) -> Function:
    """Return a dispatcher, for :func:`entry_of` to find its entry."""
    setattr(dispatcher, _ENTRY, entry)
    return dispatcher


def entry_of(registered: Any) -> BackgroundFunction | None:
    """Return the entry of a dispatcher; ``None`` for any other function that is registered."""
    found = getattr(registered, "__dict__", {}).get(_ENTRY)
    return found if isinstance(found, BackgroundFunction) else None
