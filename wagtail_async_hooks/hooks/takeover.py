"""Moving functions that other packages have registered to the background, by the settings.

``WAGTAIL_TASKS["HOOKS"]["thirdparty.wagtail_hooks.purge"] = {"background": True}`` replaces that
function by its dispatcher: among the functions of each background-safe hook, and among the
receivers of each suited signal. Nothing of Wagtail or Django is patched: the function is
deregistered and its dispatcher is registered by their public ways, once all apps' hooks are
registered, and again before the next request where more was registered since then.

In the same way, what stays in the request gets a timer around it, if the settings ask for that.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
from typing import Any, Final

from django.apps import apps
from django.core.signals import request_started, setting_changed
from django.db.backends.signals import connection_created
from django.dispatch import Signal
from huey.api import TaskWrapper
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.options import TaskOptions
from wagtail_async_hooks.hooks import catalogue, measuring, private_registries, registry
from wagtail_async_hooks.hooks.catalogue import Kind
from wagtail_async_hooks.hooks.dispatch import Moved
from wagtail_async_hooks.hooks.private_registries import Connection, Registration, Unreadable
from wagtail_async_hooks.hooks.registry import entry_of
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function, dotted_path, has_name

logger = logging.getLogger(__name__)

_OURS: Final = "wagtail_async_hooks"


_lock: Final = threading.RLock()
_seen: list[tuple[int, Any]] | None = None
"""What was registered and connected at the last scan, as far as that tells what is new."""


# When to scan -------------------------------------------------------------------------------


def connect() -> None:
    """Scan the registries whenever they may have changed; called once, by the app."""
    for signal, receiver in (
        (request_started, _before_request),
        (connection_created, _before_query),
        (setting_changed, _settings_changed),
    ):
        signal.connect(receiver, dispatch_uid=f"{_OURS}.takeover")


def _before_request(**kwargs: Any) -> None:
    if _is_wanted() and _has_changed():
        take_over()


def _before_query(**kwargs: Any) -> None:
    # Scripts make no request. Their receivers are connected once all apps are ready.
    if apps.ready and _is_wanted() and _has_changed():
        _scan()


def _settings_changed(*, setting: str, **kwargs: Any) -> None:
    if setting != conf.SETTING or not apps.ready:
        return
    if conf.current().moved or measuring.is_wanted():
        take_over()
    elif measuring.is_on() or any(entry.moved for entry in registry.entries.values()):
        _scan()


def _is_wanted() -> bool:
    return bool(registry.entries or conf.current().moved or measuring.is_wanted())


def _has_changed() -> bool:
    try:
        return private_registries.newest(s for s, _ in catalogue.SIGNALS.values()) != _seen
    except Unreadable:
        return False


def take_over() -> None:
    """Move the registered functions that the settings name, and move all others back."""
    try:
        wagtail_hooks.search_for_hooks()
    except Exception:  # Wagtail raises it to whoever needs the hooks
        return
    for path in conf.current().moved:
        resolve(path)  # its module may register it, so import it before the scan
    _scan()


def provide_tasks() -> None:
    """Let a worker run the tasks of functions that are registered in web processes only.

    Also of functions that the settings have moved back, as long as they name them.
    """
    for path in conf.current().background:
        function, why = resolve(path)
        if function is None or why:
            continue
        for hook in catalogue.hooks():
            registry.provide_task(hook, function)
        for name, (signal, _) in catalogue.SIGNALS.items():
            registry.provide_task(name, function, signal)


# Scanning -----------------------------------------------------------------------------------


def _scan() -> None:
    global _seen
    with _lock:
        moved = conf.current().moved
        measuring.switch()
        try:
            try:
                for hook, kind in catalogue.hooks().items():
                    _scan_hook(hook, kind, moved)
                for signal in signals(moved):
                    _scan_signal(signal, moved)
            finally:
                _seen = private_registries.newest(s for s, _ in catalogue.SIGNALS.values())
        except Unreadable:
            return  # the check says so
        except Exception:  # it must not end a request, nor Wagtail's import of all hooks
            logger.exception("Functions that the settings move may go on in the request.")


def _scan_hook(hook: str, kind: Kind, moved: frozenset[str]) -> None:
    entries = private_registries.of_hook(hook)
    instead: dict[int, Function | None] = {}
    returned = []
    for place, each in enumerate(entries):
        if isinstance(each.function, Moved):
            if each.function.entry.path not in moved:
                instead[place] = measuring.timed(hook, each.function.entry.function)
                returned.append(each.function.entry)
        elif entry_of(each.function) is None:
            function = measuring.plain(each.function)
            if _is_in_background_too(hook, each, entries):
                instead[place] = None
            elif path_of(function) in moved and not why_not(hook, function):
                instead[place] = _moved(hook, function, kind)
            elif (timed := measuring.timed(hook, each.function)) is not each.function:
                instead[place] = timed
    if instead:
        private_registries.substitute(hook, instead)
    for entry in returned:
        _forget(entry)


def _is_in_background_too(hook: str, plain: Registration, entries: list[Registration]) -> bool:
    """Return whether code has registered a function for the background as well."""
    found = (entry_of(each.function) for each in entries)
    return any(e and not e.moved and e.hook == hook and e.function == plain.function for e in found)


def _moved(hook: str, function: Function, kind: Kind) -> Moved | None:
    entry = registry.entries.get((hook, dotted_path(function)))
    if entry is None or not entry.moved:
        entry = registry.register(hook, function, kind, TaskOptions(), moved=True)
    assert entry is not None  # why_not() was asked
    return Moved(entry)


def _scan_signal(signal: Signal, moved: frozenset[str]) -> None:
    connections = private_registries.of_signal(signal)
    later = [(entry_of(each.function), each) for each in connections]
    in_background = [(entry, each) for entry, each in later if entry is not None]
    for each in connections:
        if isinstance(each.function, Moved):
            entry = each.function.entry
            if entry.path not in moved:
                private_registries.reconnect(signal, each, entry.function)
                _forget(entry)
        elif entry_of(each.function) is None:
            if any(_are_the_same(each, *other) for other in in_background):
                private_registries.disconnect(signal, each)
            elif path_of(each.function) in moved and not why_not_received(signal, each):
                _receivers().move(signal, each)


def _are_the_same(plain: Connection, entry: registry.BackgroundFunction, other: Connection) -> bool:
    """Return whether code has connected a receiver for the background as well."""
    if entry.moved or not (plain.has_sender and other.has_sender):
        return False
    return entry.function == plain.function and other.sender is plain.sender


def _forget(entry: registry.BackgroundFunction) -> None:
    if registry.entries.get((entry.hook, entry.path)) is entry:
        registry.unregister(entry.hook, entry.function)


def signals(moved: frozenset[str]) -> list[Signal]:
    """Return the signals to scan; a site's own are found in the modules of moved functions."""
    found = [signal for signal, _ in catalogue.SIGNALS.values()]
    found += [entry.signal for entry in registry.entries.values() if entry.signal is not None]
    packages = {path.partition(".")[0] for path in moved}
    for name, module in list(sys.modules.items()) if packages else ():
        if name.partition(".")[0] in packages:
            found += (each for each in list(vars(module).values()) if isinstance(each, Signal))
    return list({id(signal): signal for signal in found}.values())


def _receivers() -> Any:
    from wagtail_async_hooks.hooks import receivers  # not above: few sites need it

    return receivers


def path_of(function: Any) -> str:
    """Return the dotted path of a function; blank for an object that has no name."""
    return dotted_path(function) if has_name(function) else ""


# What cannot be moved -----------------------------------------------------------------------


def why_not(hook: str, function: Function) -> str:
    """Return why a registered function cannot be moved; blank if it can."""
    function = measuring.plain(function)
    return _why_lost(function) or registry.why_lost(hook, function, None)


def why_not_received(signal: Signal, found: Connection) -> str:
    """Return why a connected function cannot be moved; blank if it can."""
    receivers = _receivers()
    if why := _why_lost(found.function):
        return why
    if not found.has_sender:
        return "it is connected with a sender that is neither a model nor an app"
    if why := receivers.why_unsuitable(signal, found.sender):
        return str(why)
    name = receivers.name_of(signal, found.function)
    return registry.why_lost(name, found.function, signal)


def _why_lost(function: Any) -> str:
    """Return why a callable cannot be moved; blank if it can."""
    if isinstance(function, TaskWrapper):
        return "it is a background task already"
    if inspect.isclass(function):
        return "it is a class, and a worker calls functions only"
    if inspect.ismethod(function):
        return "it is a method, whose object a worker could not find again"
    if why := functions.why_lost(function):
        return why
    if dotted_path(function).startswith(f"{_OURS}."):
        return "it belongs to wagtail_async_hooks itself"
    return ""


def resolve(path: str) -> tuple[Any, str]:
    """Import a dotted path; return the function, and why it cannot be moved, blank if it can."""
    try:
        function = functions.imported(path)
    except ImportError as error:
        return None, f"cannot be imported: {error}"
    if isinstance(function, Moved):
        function = function.entry.function
    if not callable(function):
        return function, f"leads to a {type(function).__qualname__}, which is no function"
    return function, _why_lost(function)
