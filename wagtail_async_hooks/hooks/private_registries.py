"""What is registered with Wagtail's hooks and Django's signals: the one look into both registries.

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
    """Return what is registered for a hook, in the sequence in which it was registered.

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
    """Put other functions into the places of registered ones, or take those out.

    The others keep their sequence. What was registered afterwards with the same order has to be
    registered anew for that. For an instant, some are registered twice, and none is missing.

    :param instead: by the place of the registration in :func:`of_hook`; ``None`` takes it out.
    :raises Unreadable: see there.
    """
    entries = of_hook(hook)
    for order in {entries[place].order for place in instead}:
        group = [(place, each) for place, each in enumerate(entries) if each.order == order]
        # What is deregistered is the first that is equal, so begin with the first one.
        gone = [entries[place].function for place in instead if entries[place].order == order]
        first = next(n for n, (_, each) in enumerate(group) if each.function in gone)
        for place, each in group[first:]:
            function = instead.get(place, each.function)
            if function is not None:
                wagtail_hooks.register(hook, function, order=order)
        for _, each in group[first:]:
            _deregister(hook, each)


def _deregister(hook: str, registration: Registration) -> None:
    """Take the first registration of a function with an order out, by Wagtail's public way."""
    temporary = wagtail_hooks.register_temporarily(
        hook, registration.function, order=registration.order
    )
    temporary.__exit__(None, None, None)


# Signals ------------------------------------------------------------------------------------


def of_signal(signal: Signal, *senders: Any) -> list[Connection]:
    """Return what is connected to a signal.

    :param senders: those to recognise. Without any, nobody, models and apps are recognised, which
        takes that Django has loaded them; at the import of a module that may not be so.
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
    """Return, by their ids, the senders that can be found again: nobody, models and apps."""
    models = apps.get_models(include_auto_created=True, include_swapped=True)
    return {id(sender): sender for sender in (None, *models, *apps.get_app_configs())}


def _connection(entry: Any, senders: dict[int, Any]) -> Connection | None:
    """Return one connection; ``None`` for what is connected no more, since it is gone."""
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


def reconnect(signal: Signal, old: Connection, function: Function) -> None:
    """Connect another function in the place of a connected one: same sender, same lookup key.

    So whoever connects the old one again, or disconnects it, is about the new one. It is called
    after what was connected before. For an instant both are connected, and neither is missing.
    """
    meanwhile = object()
    signal.connect(function, sender=old.sender, weak=False, dispatch_uid=meanwhile)
    signal.disconnect(sender=old.sender, dispatch_uid=old.key[0])
    signal.connect(function, sender=old.sender, weak=False, dispatch_uid=old.key[0])
    signal.disconnect(sender=old.sender, dispatch_uid=meanwhile)


def disconnect(signal: Signal, old: Connection) -> None:
    """Take out a connected function."""
    signal.disconnect(sender=old.sender, dispatch_uid=old.key[0])


def sizes(signals: Iterable[Signal]) -> tuple[int, int]:
    """Return two numbers that differ once something more is registered.

    :raises Unreadable: see there.
    """
    try:
        connected = sum(len(signal.receivers) for signal in signals)
        return sum(map(len, _hooks().values())), connected
    except (AttributeError, TypeError) as error:
        raise Unreadable(f"a registry has no length ({error})") from error
