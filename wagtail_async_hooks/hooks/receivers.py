"""``@receiver(signal, background=True)``: Django's decorator, for receivers that a worker runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import chain
from types import ModuleType
from typing import Any, Final, Unpack

from django.db.models import Model
from django.db.models.signals import pre_delete
from django.dispatch import Signal
from django.dispatch import receiver as django_receiver

from wagtail_async_hooks.conf.options import Options, TaskOptions
from wagtail_async_hooks.conf.validators import check_options
from wagtail_async_hooks.hooks import (
    F,
    catalogue,
    delete_snapshots,
    dispatch,
    private_registries,
    registry,
)
from wagtail_async_hooks.hooks.dispatch import Moved
from wagtail_async_hooks.hooks.private_registries import Connection
from wagtail_async_hooks.hooks.registry import BackgroundFunction, KeptSynchronous
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function, dotted_path

_OURS: Final = "wagtail_async_hooks"
"""Label of our own app: a task about one of its rows would be the cause of the next one."""


def _listed(given: Any) -> list[Signal]:
    signals = list(given) if isinstance(given, Iterable) else [given]
    for each in signals:
        if not isinstance(each, Signal):
            raise TypeError(
                "receiver(…) takes a signal first: write @receiver(page_published) with its "
                f"brackets, rather than give it {functions.label(each)}."
            )
    return signals


def receiver(
    signal: Signal | Iterable[Signal],
    *,
    background: bool = False,
    sender: Any = None,
    dispatch_uid: Any = None,
    weak: bool = True,
    live: bool = False,
    draft: bool = False,
    **options: Unpack[Options],
) -> Callable[[F], F]:
    """Connect a function to a signal, or to several.

    It covers what hooks miss: publishing in bulk, by code, by schedule or by approval.

    :param signal: one of Wagtail's or Django's, or of your own.
    :param background: run the function in a worker once the transaction has committed. If the
        signal needs its receivers at once, or a worker could not find the function, it is connected
        as without this, and a system check warns.
    :param sender: as in Django.
    :param dispatch_uid: as in Django.
    :param weak: as in Django; a background receiver is always kept.
    :param live: see :func:`wagtail_async_hooks.hooks.register`.
    :param draft: see :func:`wagtail_async_hooks.hooks.register`.
    :param options: see :func:`wagtail_async_hooks.hooks.register`.
    :returns: a decorator, which returns the function itself.
    :raises TypeError: if an option is unknown, of a wrong type, or given without
        ``background=True``.
    """
    signals = [signal] if isinstance(signal, Signal) else _listed(signal)
    given, content = check_options("receiver(…", background, live, draft, options)

    def decorator(function: F) -> F:
        if not background:
            return django_receiver(signals, sender=sender, dispatch_uid=dispatch_uid, weak=weak)(
                function
            )
        for each in signals:
            _connect(each, function, given, content, sender, dispatch_uid)
        return function

    return decorator


def _connect(
    signal: Signal,
    function: Function,
    options: TaskOptions,
    draft: bool | None,
    sender: Any,
    dispatch_uid: Any,
) -> None:
    name = name_of(signal, function)
    entry = None
    if reason := why_unsuitable(signal, sender):
        registry.kept_synchronous.append(KeptSynchronous(name, function, reason, True, True))
    else:
        kind = catalogue.kind_of_signal(signal)
        entry = registry.register(name, function, kind, options, draft=draft, signal=signal)
    if entry is None:
        signal.connect(function, sender=sender, weak=False, dispatch_uid=dispatch_uid)
        return
    # Django checks what is connected; to the wrapper below it would have no objections.
    Signal().connect(function, weak=False)
    _take_out(signal, function, sender)
    uid = dispatch_uid or (entry.path, name)
    signal.connect(_dispatcher(entry), sender=sender, weak=False, dispatch_uid=uid)
    _keep_copies(entry, sender)


def _take_out(signal: Signal, function: Function, sender: Any) -> None:
    """Disconnect a receiver that its author has connected, so that it does not run twice."""
    signal.disconnect(function, sender=sender)
    try:
        for found in private_registries.of_signal(signal, sender):  # those with a dispatch_uid
            if found.function == function and found.has_sender and found.sender is sender:
                private_registries.disconnect(signal, found)
    except private_registries.Unreadable:
        return  # a check says so


def move(signal: Signal, found: Connection) -> None:
    """Replace a receiver that another package has connected by its dispatcher.

    :param found: its connection.
    """
    function, name = found.function, name_of(signal, found.function)
    entry = registry.entries.get((name, dotted_path(function)))
    if entry is None or not entry.moved:
        kind = catalogue.kind_of_signal(signal)
        entry = registry.register(name, function, kind, TaskOptions(), signal=signal, moved=True)
    if entry is not None:
        private_registries.reconnect(signal, found, MovedReceiver(entry))
        _keep_copies(entry, found.sender)


class MovedReceiver(Moved):
    """The dispatcher of a receiver that the settings have moved."""

    def __call__(self, sender: Any, signal: Signal, **kwargs: Any) -> Any:
        return _dispatch(self.entry, sender, signal, kwargs)

    __hash__ = Moved.__hash__


def _keep_copies(entry: BackgroundFunction, sender: Any) -> None:
    if entry.kind.deleted:
        pre_delete.connect(_keep_copy, sender=sender, weak=False)


def name_of(signal: Signal, function: Function) -> str:
    """Return the name by which settings and tasks know a signal."""
    return catalogue.name_of(signal) or _name_beside(function, signal)


def why_unsuitable(signal: Signal, sender: Any) -> str:
    """Return why a receiver has to run at once; blank if it need not."""
    if why := catalogue.why_unsuitable(signal):
        return f"the signal is not background-safe: {why}"
    if _is_ours(sender):
        return "each of its tasks would be the cause of the next one"
    return ""


def _is_ours(sender: Any) -> bool:
    if isinstance(sender, str):  # Django takes "app_label.Model", too
        return sender.partition(".")[0] == _OURS
    return getattr(getattr(sender, "_meta", None), "app_label", "") == _OURS


def _dispatcher(entry: BackgroundFunction) -> Function:
    def dispatcher(sender: Any, signal: Signal, **kwargs: Any) -> None:
        _dispatch(registry.latest(entry), sender, signal, kwargs)

    return registry.marked(dispatcher, entry)


def _dispatch(
    entry: BackgroundFunction, sender: Any, signal: Signal, kwargs: dict[str, Any]
) -> Any:
    if _is_ours(sender) and not entry.is_synchronous_now():
        return None
    return dispatch.dispatch(entry, (), {"sender": sender, **kwargs}, signal)


def _keep_copy(sender: Any, instance: Model, **kwargs: Any) -> None:
    if not _is_ours(sender) and registry.has_functions("post_delete"):
        delete_snapshots.keep(instance, [instance])


def _name_beside(function: Function, signal: Signal) -> str:
    """Return the name by which a module knows a signal; a signal has none itself.

    The function's own module comes first, then those that it has imported, then all others.
    """
    own = sys.modules.get(getattr(function, "__module__", ""))
    beside = [value for value in vars(own or object).values() if isinstance(value, ModuleType)]
    for module in chain([own], beside, list(sys.modules.values())):
        if isinstance(module, ModuleType):
            for name, value in list(vars(module).items()):
                if value is signal:
                    return name
    return "signal"
