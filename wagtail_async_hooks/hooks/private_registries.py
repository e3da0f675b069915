"""Private access to the registries of Wagtail's hooks and Django's signals.

Both have public ways to register and to deregister a function. Neither has one to ask with which
``order`` a function was registered, or with which sender it was connected. That is read here, and
nowhere else, from ``wagtail.hooks._hooks`` and from ``Signal.receivers``. Where they do not look as
expected, :class:`Unreadable` is raised and nothing is changed.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.dispatch import Signal
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks.utils.functions import Function


class Unreadable(Exception):
    """A registry does not look as it did in the releases that this package was tested with."""


class Registration(NamedTuple):
    """A function that is registered for a hook.

    :param order: as it was given to ``hooks.register()``.
    """

    function: Function
    order: Any


class Connection(NamedTuple):
    """A function that is connected to a signal.

    :param key: Django's lookup key: the ``dispatch_uid`` or the function's id, and the sender's id.
    :param sender: what it was connected with; ``None`` for all senders.
    :param has_sender: whether the sender is known: Django before 6.1 keeps only its id.
    """

    function: Function
    key: tuple[Any, Any]
    sender: Any
    has_sender: bool


# Hooks --------------------------------------------------------------------------------------


def hook_names() -> list[str]:
    """Return the names of all hooks that a function was registered for.

    :raises Unreadable: see there.
    """
    return list(_hooks())


def of_hook(hook: str) -> list[Registration]:
    """Return the registrations of a hook, in the order in which they were made.

    :raises Unreadable: see there.
    """
    found = _hooks().get(hook, [])
    if not isinstance(found, list) or not all(_is_registration(each) for each in found):
        raise Unreadable("wagtail.hooks._hooks has other entries than (function, order)")
    return [Registration(*each) for each in found]


def _hooks() -> dict[str, Any]:
    found = getattr(wagtail_hooks, "_hooks", None)
    if not isinstance(found, dict):
        raise Unreadable("wagtail.hooks has no dict _hooks")
    return found


def _is_registration(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and callable(given[0])


def substitute(hook: str, instead: Mapping[int, Function | None]) -> None:
    """Replace registered functions, or deregister them.

    The others keep their sequence: later ones of the same order are registered again. For an
    instant, some are registered twice; none is ever missing.

    :param instead: functions by the index of the registration in :func:`of_hook`; ``None``
        deregisters it.
    :raises Unreadable: see there.
    """
    entries = of_hook(hook)
    for order in {entries[place].order for place in instead}:
        group = [(place, each) for place, each in enumerate(entries) if each.order == order]
        # Wagtail deregisters the first equal entry, so begin with the first one.
        gone = [entries[place].function for place in instead if entries[place].order == order]
        first = next(n for n, (_, each) in enumerate(group) if each.function in gone)
        for place, each in group[first:]:
            function = instead.get(place, each.function)
            if function is not None:
                wagtail_hooks.register(hook, function, order=order)
        for _, each in group[first:]:
            _deregister(hook, each)


def _deregister(hook: str, registration: Registration) -> None:
    """Remove the first registration of a function with its order, by Wagtail's public way."""
    temporary = wagtail_hooks.register_temporarily(
        hook, registration.function, order=registration.order
    )
    temporary.__exit__(None, None, None)


# Signals ------------------------------------------------------------------------------------


def of_signal(signal: Signal, *senders: Any) -> list[Connection]:
    """Return the connections of a signal.

    :param senders: senders to recognize. By default, ``None``, models and apps; Django must have
        loaded these, which it may not have when a module is imported.
    :raises Unreadable: see there.
    """
    found = getattr(signal, "receivers", None)
    if not isinstance(found, list):
        raise Unreadable("django.dispatch.Signal has no list of receivers")
    if not found:
        return []
    known = {id(sender): sender for sender in senders} if senders else _senders()
    return [each for entry in list(found) if (each := _connection(entry, known)) is not None]


def _senders() -> dict[int, Any]:
    """Return the senders to recognize, by their ids: ``None``, models and apps."""
    models = apps.get_models(include_auto_created=True, include_swapped=True)
    return {id(sender): sender for sender in (None, *models, *apps.get_app_configs())}


def _connection(entry: Any, senders: dict[int, Any]) -> Connection | None:
    """Return one connection; ``None`` if its receiver or sender no longer exists."""
    if not isinstance(entry, tuple) or len(entry) not in (3, 4) or not isinstance(entry[0], tuple):
        raise Unreadable("Signal.receivers has other entries than (key, receiver, …)")
    key, receiver = entry[:2]
    if len(key) != 2:
        raise Unreadable("a key in Signal.receivers is no pair")
    function = receiver() if isinstance(receiver, weakref.ReferenceType) else receiver
    if function is None:
        return None
    if not callable(function):
        raise Unreadable("Signal.receivers has receivers that cannot be called")
    kept = entry[2] if len(entry) == 4 else None  # since Django 6.1, a reference to the sender
    if isinstance(kept, weakref.ReferenceType):
        sender = kept()
        return None if sender is None else Connection(function, key, sender, True)
    return Connection(function, key, senders.get(key[1]), key[1] in senders)


def are_called_in_order(signal: Signal, sender: Any, *functions: Function) -> bool:
    """Return whether these functions are connected for a sender, and called in this order.

    Those are meant that were connected without a ``dispatch_uid``.

    :raises Unreadable: see there.
    """
    sought = [(id(function), id(sender)) for function in functions]
    try:
        return [entry[0] for entry in signal.receivers if entry[0] in sought] == sought
    except (AttributeError, IndexError, TypeError) as error:
        raise Unreadable(f"Signal.receivers is no list of (key, receiver, …) ({error})") from error


def reconnect(signal: Signal, old: Connection, function: Function) -> None:
    """Connect another function instead of a connected one, with the same sender and lookup key.

    So connecting the old one again, or disconnecting it, affects the new one. It is called after
    all other receivers. For an instant both are connected; neither is ever missing.
    """
    meanwhile = object()
    signal.connect(function, sender=old.sender, weak=False, dispatch_uid=meanwhile)
    signal.disconnect(sender=old.sender, dispatch_uid=old.key[0])
    signal.connect(function, sender=old.sender, weak=False, dispatch_uid=old.key[0])
    signal.disconnect(sender=old.sender, dispatch_uid=meanwhile)


def disconnect(signal: Signal, old: Connection) -> None:
    """Disconnect a function."""
    signal.disconnect(sender=old.sender, dispatch_uid=old.key[0])


def newest(signals: Iterable[Signal]) -> list[tuple[int, Any]]:
    """Return how many there are for each hook and signal, and which is the newest of them.

    It changes with each new one, also with one that takes the place of another.

    :raises Unreadable: see there.
    """
    try:
        connected = [(len(found), found[-1][0]) for s in signals if (found := s.receivers)]
        return [(len(found), id(found[-1][0])) for found in _hooks().values() if found] + connected
    except (AttributeError, LookupError, TypeError) as error:
        raise Unreadable(f"a registry has no newest entry ({error})") from error
