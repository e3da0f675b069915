"""System checks of functions of other packages that the settings move to the background."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.core import checks
from django.core.checks import CheckMessage

from wagtail_async_hooks import conf
from wagtail_async_hooks.hooks import catalogue, private_registries, receivers, registry, takeover
from wagtail_async_hooks.hooks.private_registries import Connection, Registration, Unreadable
from wagtail_async_hooks.hooks.registry import entry_of
from wagtail_async_hooks.hooks.takeover import path_of
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function, dotted_path


def check_moved(**kwargs: Any) -> Iterator[CheckMessage]:
    """Functions of other packages that the settings cannot move, or that run twice."""
    unreadable = _why_unreadable()
    for path in sorted(conf.current().moved):
        yield from _check_path(path, unreadable)
    if not unreadable:
        yield from _check_twice()


def _why_unreadable() -> str:
    try:
        for hook in private_registries.hook_names():
            private_registries.of_hook(hook)
        for signal, _ in catalogue.SIGNALS.values():
            private_registries.of_signal(signal)
    except Unreadable as error:
        return str(error)
    return ""


def _check_path(path: str, unreadable: str) -> Iterator[CheckMessage]:
    where = conf.background_setting(path)
    function, why = takeover.resolve(path)
    keep = f'Remove "background", or set it to False: "{path}" runs in the request.'
    if function is None:
        yield _wrong_path(f'{where} names "{path}", which {why}', "Correct the path, or remove it.")
    elif why:
        yield _warning(
            "wagtail_async_hooks.W031", f'{where} cannot move "{path}": {why}', keep, function
        )
    elif (own := dotted_path(function)) != path:
        yield _wrong_path(f'{where} names "{path}", which is defined as "{own}"', f'Write "{own}".')
    elif unreadable:
        yield _warning(
            "wagtail_async_hooks.W033",
            f'{where} cannot move "{path}": {unreadable}, as it had in the releases of Wagtail and '
            "Django that this package knows",
            "Update wagtail_async_hooks; until then the function runs in the request.",
            function,
        )
    else:
        for text, hint in _why_not_moved(path, where, keep):
            yield _warning("wagtail_async_hooks.W032", text, hint, function)


def _why_not_moved(path: str, where: str, keep: str) -> Iterator[tuple[str, str]]:
    """Yield why a function is not moved, or not for each hook and signal; and what to do."""
    kept = list(_kept(path))
    is_moved = any(entry.path == path for entry in registry.entries.values())
    for why in kept:
        if not is_moved or why.stays:
            yield f'{where} cannot move "{path}": {why.text}', keep
    if not kept and not is_moved:
        yield (
            f'{where} names "{path}", which is registered for no hook and connected to no signal '
            "in this process",
            "Name the function that is registered, or have it registered when the apps are ready.",
        )


class _Kept(NamedTuple):
    """Why one registration of a function stays as it is.

    :param stays: whether it could have been moved, as its other registrations are.
    """

    text: str
    stays: bool


def _kept(path: str) -> Iterator[_Kept]:
    safe = catalogue.hooks()
    for hook in private_registries.hook_names():
        for each in private_registries.of_hook(hook):
            if not _is_plain(each) or path_of(each.function) != path:
                continue
            if hook in safe:
                yield _Kept(f'for "{hook}", {takeover.why_not(hook, each.function)}', True)
            else:
                yield _Kept(f'it is registered for "{hook}", which is not background-safe', False)
    signals = [
        *takeover.signals(conf.current().moved),
        *(s for s, _ in catalogue.UNSUITABLE.values()),
    ]
    for signal in {id(signal): signal for signal in signals}.values():
        for found in private_registries.of_signal(signal):
            if _is_plain(found) and path_of(found.function) == path:
                name = receivers.name_of(signal, found.function)
                why = takeover.why_not_received(signal, found)
                suits = not catalogue.why_unsuitable(signal)
                yield _Kept(f'for the signal "{name}", {why}', suits)


def _check_twice() -> Iterator[CheckMessage]:
    """Yield what runs in the background and, under the same path, in the request as well."""
    for hook in catalogue.hooks():
        registered = private_registries.of_hook(hook)
        later = {e.path for each in registered if (e := entry_of(each.function)) is not None}
        for each in registered:
            if _is_plain(each) and path_of(each.function) in later:
                yield _runs_twice(each.function, f'registered twice for "{hook}"')
    for entry in {id(e.signal): e for e in registry.entries.values() if e.signal}.values():
        assert entry.signal is not None
        connections = private_registries.of_signal(entry.signal)
        for found in connections:
            if _is_plain(found) and _is_connected_too(found, connections):
                yield _runs_twice(found.function, f'connected twice to the signal "{entry.hook}"')


def _is_plain(registered: Registration | Connection) -> bool:
    """Return whether something runs in the request."""
    return entry_of(registered.function) is None


def _is_connected_too(plain: Connection, connections: list[Connection]) -> bool:
    """Return whether a background receiver of the same path is called for the same senders."""
    senders = [
        other.sender
        for other in connections
        if (e := entry_of(other.function)) is not None and e.path == path_of(plain.function)
    ]
    if not senders:
        return False
    return plain.sender is None or any(s is None or s is plain.sender for s in senders)


def _runs_twice(function: Function, what: str) -> CheckMessage:
    return _warning(
        "wagtail_async_hooks.W034",
        f"{functions.named(function)} is {what}, in the background and in the request, so it "
        "runs twice",
        "Register it once. To move a function of another package, use "
        f'{conf.SETTING}["HOOKS"][path]["background"] rather than registering it again.',
        function,
    )


def _wrong_path(text: str, hint: str) -> CheckMessage:
    return _warning("wagtail_async_hooks.W030", text, hint)


def _warning(number: str, text: str, hint: str, function: Any = None) -> CheckMessage:
    obj = function and functions.label(function)
    return checks.Warning(f"{text}.", hint=hint, obj=obj, id=number)
