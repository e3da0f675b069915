"""The dispatcher: what stands in place of a background function, and where its calls lead."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.dispatch import Signal
from huey.api import Task, TaskWrapper

from wagtail_async_hooks import conf, current_task
from wagtail_async_hooks.conf import installed
from wagtail_async_hooks.conf.options import DEFAULT_QUEUE, TaskOptions
from wagtail_async_hooks.exceptions import CannotSerialize, Snooze
from wagtail_async_hooks.hooks import catalogue, overrides
from wagtail_async_hooks.hooks.call import Call
from wagtail_async_hooks.hooks.catalogue import Kind
from wagtail_async_hooks.hooks.overrides import Mode
from wagtail_async_hooks.queue import enqueue
from wagtail_async_hooks.queue.keys import give_keys
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function, dotted_path, has_name
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)

AUTOSAVE_DELAY: Final = 30.0
"""Seconds that a task of an autosave waits, so that those which follow can be merged into it."""


@dataclass(frozen=True)
class BackgroundFunction:
    """One function that runs in the background for one hook or signal.

    :param hook: name of the hook or signal.
    :param kind: what is known about that.
    :param draft: what the author chose to see; ``None`` leaves it to the kind.
    :param signal: what calls it, with keyword arguments; ``None`` for a hook.
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

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return one call of it."""
        draft = self.kind.draft if self.draft is None else self.draft
        return Call(self.kind, args, kwargs, draft and not self.kind.deleted)


class KeptSynchronous(NamedTuple):
    """A function that was registered with ``background=True`` and runs in the request anyway.

    :param is_unsuitable: whether that is because of the hook or signal, not of the function.
    :param is_receiver: whether it is called by a signal.
    """

    hook: str
    function: Function
    reason: str
    is_unsuitable: bool
    is_receiver: bool = False


registry: Final[dict[tuple[str, str], BackgroundFunction]] = {}
"""The background functions of this process, by hook and dotted path of the function."""

kept_synchronous: Final[list[KeptSynchronous]] = []
"""What the system checks tell the developer about."""

_provided: Final[dict[tuple[str, str], TaskWrapper]] = {}
"""Tasks of functions that are not registered in this process; see :func:`provide_task`."""

_ENTRY: Final = "_wagtail_async_hooks_entry"
"""What a dispatcher knows its entry by."""

_refused: Final[set[tuple[str, str]]] = set()


def in_background(
    hook: str,
    function: Function,
    options: TaskOptions = TaskOptions(),  # noqa: B008  (it is frozen)
    *,
    draft: bool | None = None,
) -> Function:
    """Return what is to stand in Wagtail's registry for a function that asked for the background.

    That is a wrapper, or the function itself where it has to run in the request.
    """
    kind = catalogue.kind_of(hook)
    if kind is None:
        reason = "the hook is not background-safe: Wagtail needs its answer, or its timing"
        kept_synchronous.append(KeptSynchronous(hook, function, reason, True))
        return function
    entry = enter(hook, function, kind, options, draft=draft)
    if entry is None:
        # Wagtail would call a coroutine function, and leave the coroutine at that.
        return functions.to_the_end(function)

    @functools.wraps(function, updated=())  # not the mark of a coroutine function
    def dispatcher(*args: Any, **kwargs: Any) -> Any:
        if latest(entry).function is entry.function:  # else its module has registered it anew
            return dispatch(entry, args, kwargs)

    return marked(dispatcher, entry)


def marked(dispatcher: Function, entry: BackgroundFunction) -> Function:
    """Return a dispatcher, from which its entry can be known again."""
    setattr(dispatcher, _ENTRY, entry)
    return dispatcher


def entry_of(registered: Any) -> BackgroundFunction | None:
    """Return the entry whose dispatcher something in a registry is; ``None`` if it is none."""
    found = getattr(registered, "__dict__", {}).get(_ENTRY)
    return found if isinstance(found, BackgroundFunction) else None


class Moved:
    """What stands in a registry for a function of another package that the settings have moved.

    It equals the function, so that whoever registered that can deregister it still.
    """

    def __init__(self, entry: BackgroundFunction) -> None:
        functools.update_wrapper(self, entry.function, updated=())
        setattr(self, _ENTRY, entry)
        self.entry = entry

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return dispatch(self.entry, args, kwargs)

    def __eq__(self, other: object) -> bool:
        return self.entry.function == (other.entry.function if isinstance(other, Moved) else other)

    def __hash__(self) -> int:
        return hash(self.entry.function)


def enter(
    hook: str,
    function: Function,
    kind: Kind,
    options: TaskOptions,
    *,
    draft: bool | None = None,
    signal: Signal | None = None,
    moved: bool = False,
) -> BackgroundFunction | None:
    """Make a function known as one that runs in the background.

    :param signal: passed to the function again, if it is a receiver.
    :param moved: whether the settings have moved it, and not its author.
    :returns: ``None`` if a worker could not find it; the checks tell why.
    """
    _forget_former(hook, function)
    reason = why_lost(hook, function, signal)
    if reason:
        kept_synchronous.append(KeptSynchronous(hook, function, reason, False, signal is not None))
        return None
    path = dotted_path(function)
    task = _task(hook, path, function, signal)
    entry = BackgroundFunction(hook, function, path, kind, options, draft, task, signal, moved)
    registry[hook, path] = entry
    return entry


def latest(entry: BackgroundFunction) -> BackgroundFunction:
    """Return what is registered now in the place of a function whose module was loaded anew."""
    found = registry.get((entry.hook, entry.path), entry)
    return entry if found.function is entry.function else found


def _forget_former(hook: str, function: Function) -> None:
    """Forget a function that its module, which is loaded anew, registers once more."""
    known = registry.get((hook, dotted_path(function))) if has_name(function) else None
    if known is None or known.function == function:
        return
    loaded = getattr(sys.modules.get(function.__module__), "__spec__", None)
    if known.task.task_class.loaded is not loaded:
        del registry[hook, known.path]
        known.task.unregister()


def forget(hook: str, function: Function) -> None:
    """Undo :func:`enter`, for a function that was registered for the time of a test."""
    entry = registry.get((hook, dotted_path(function))) if has_name(function) else None
    if entry is not None and entry.function is function:
        del registry[hook, entry.path]
        entry.task.unregister()
    kept_synchronous[:] = [
        kept for kept in kept_synchronous if (kept.hook, kept.function) != (hook, function)
    ]


def restore(entry: BackgroundFunction) -> None:
    """Undo :func:`forget`, for a function that was registered another way meanwhile."""
    registry[entry.hook, entry.path] = entry
    if entry.task.task_class not in background.task_classes():
        background._registry.register(entry.task.task_class)


def hook_names() -> set[str]:
    """Return the names of all hooks and signals whose functions may run in the background."""
    return {*catalogue.hooks(), *catalogue.SIGNALS, *(hook for hook, _ in registry)}


def function_paths() -> set[str]:
    """Return the dotted paths of the functions that run in the background."""
    return {path for _, path in registry}


def wants_copies(hook: str) -> bool:
    """Tell whether a function of a hook runs in the background, as the settings are now."""
    return any(
        name == hook and not entry.is_synchronous_now() for (name, _), entry in registry.items()
    )


def provide_task(hook: str, function: Function, signal: Signal | None = None) -> None:
    """Let this process run tasks of a function that others may have recorded.

    For a worker: it need not have what registers the function, such as the site's addresses.
    """
    path = dotted_path(function)
    if (hook, path) not in registry and (hook, path) not in _provided:
        _provided[hook, path] = _task(hook, path, function, signal)


def why_lost(hook: str, function: Function, signal: Signal | None) -> str:
    """Say why a worker could not tell a function from others, or find it; blank if it can."""
    known = registry.get((hook, dotted_path(function))) if has_name(function) else None
    if known is not None and known.function != function:
        return "a worker could not tell it from another function of the same name"
    if known is not None and known.signal is not signal:
        return (
            "a worker could not tell its signal from another one; "
            "keep each in a module, under a name of its own"
        )
    return functions.why_lost(function)


def _task(hook: str, path: str, function: Function, signal: Signal | None) -> TaskWrapper:
    """Return the Huey task of a function, which it may have from an earlier registration."""
    known = registry.get((hook, path))
    if known is not None:
        return known.task
    if (hook, path) in _provided:
        return _provided.pop((hook, path))
    name = f"{function.__qualname__}@{hook}"
    called = function if signal is None else functools.partial(function, signal=signal)
    known_by = {"hook": hook, "function": path}
    ask = staticmethod(functools.partial(_options_of, hook, path))
    return background.task_with(name=name, **known_by, options_now=ask)(
        _for_nobody(function, called)
    )


def _options_of(hook: str, path: str) -> TaskOptions:
    """Return the options in force of a function, which its task asks for when that has failed."""
    entry = registry.get((hook, path))
    return conf.current().options_for(hook, path) if entry is None else entry.options_now()


def _for_nobody(function: Function, called: Callable[..., Any]) -> Function:
    """Return what calls a function and drops its answer, as Wagtail does with most of them."""

    @functools.wraps(function, updated=())  # not the mark of a coroutine function
    def call(*args: Any, **kwargs: Any) -> None:
        functions.call(called, *args, **kwargs)

    return call


def dispatch(
    entry: BackgroundFunction,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    signal: Signal | None = None,
) -> Any:
    """Have the function run in the background; whatever happens, the editor's request goes on.

    :param signal: what a receiver gets beside its arguments, if it runs here after all.
    """
    here = kwargs if signal is None else {**kwargs, "signal": signal}
    run = functools.partial(functions.call, entry.function, *args, **here)
    mode = overrides.mode_of(entry.hook, entry.path)
    if mode is Mode.SUPPRESSED:
        logger.debug("%s is suppressed.", entry)
        return
    if mode is Mode.SYNCHRONOUS or entry.is_synchronous_now():
        return _at_once(entry, run)
    if installed.is_missing():
        if conf.current().backend:
            logger.error("%s runs in the request: %s. %s", entry, installed.MISSING, installed.HINT)
        enqueue.run_here(str(entry), run)
        return
    call = entry.call(args, kwargs)
    if call.is_autosave and not entry.options_now().merges:
        logger.debug("%s is not run for an autosave.", entry)
        return
    otherwise = functools.partial(_run_here, entry, call, run)
    make = functools.partial(_make_task, entry, call)
    if background.immediate:
        with current_task.within(call.request):
            enqueue.make_and_record(make, otherwise)
    else:
        enqueue.make_and_record(make, otherwise)


def _at_once(entry: BackgroundFunction, run: Callable[[], Any]) -> Any:
    """Call a function that the site keeps synchronous, and return its answer."""
    try:
        return run()
    except Snooze as snooze:
        logger.error(
            "%s is not called again: %s, which the request cannot do.", str(entry), one_line(snooze)
        )


def _make_task(entry: BackgroundFunction, call: Call) -> Task:
    options = entry.options_now()
    if call.is_autosave and options.delay is None and not options.debounce:
        # Nobody asked for that delay, so what expires does so as much later.
        expires = options.expires and options.expires + AUTOSAVE_DELAY
        options = options._replace(delay=AUTOSAVE_DELAY, expires=expires)
    args, kwargs = call.carried()
    task = entry.task.task_class(args, kwargs, **options.for_huey())
    task.queue = options.queue or DEFAULT_QUEUE
    task.options_known = options
    if options.title is not None:
        task.named = call.named
    give_keys(task, options, call.named, entry)
    task.context_carried = Context.capture(call.target(supersede=bool(options.supersede)))
    return task


def _run_here(
    entry: BackgroundFunction, call: Call, run: Callable[[], Any], error: Exception
) -> None:
    """Run a call in the request that cannot be recorded as a task: it is not lost."""
    if isinstance(error, CannotSerialize):
        _refuse(entry, call, error)
    else:
        logger.error(
            "%s could not be recorded as a background task, so it runs in the request.",
            str(entry),
            exc_info=error,
        )
    enqueue.run_here(str(entry), run)


def _refuse(entry: BackgroundFunction, call: Call, error: CannotSerialize) -> None:
    """Log, once for each function, which argument keeps it from running in the background."""
    if (entry.hook, entry.path) in _refused:
        return
    _refused.add((entry.hook, entry.path))
    logger.error(
        "%s runs in the request, because an argument cannot be carried to a worker: %s",
        str(entry),
        one_line(call.culprit(error)),
    )
