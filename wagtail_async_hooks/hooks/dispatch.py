"""Dispatching the calls of background functions: from Wagtail's call to a task in the queue."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django.db.models import Model
from django.dispatch import Signal
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import conf, current_task
from wagtail_async_hooks.conf import installed
from wagtail_async_hooks.conf.options import DEFAULT_QUEUE, TaskOptions
from wagtail_async_hooks.exceptions import CannotSerialize, Snooze
from wagtail_async_hooks.hooks import catalogue, measuring, overrides, registry
from wagtail_async_hooks.hooks.call import HookCall
from wagtail_async_hooks.hooks.overrides import Mode
from wagtail_async_hooks.hooks.registry import BackgroundFunction, KeptSynchronous
from wagtail_async_hooks.queue import enqueue
from wagtail_async_hooks.queue.ahead import Ahead
from wagtail_async_hooks.queue.keys import give_keys
from wagtail_async_hooks.queue.submission import QueuedTask, Submission
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)

AUTOSAVE_DELAY: Final = 30.0
"""Seconds that a task of an autosave waits, so that those which follow can be merged into it."""

_refused: Final[set[tuple[str, str]]] = set()
"""Functions, by hook and dotted path, that were logged since an argument cannot be serialized."""


def in_background(
    hook: str,
    function: Function,
    options: TaskOptions = TaskOptions(),  # noqa: B008  (it is frozen)
    *,
    draft: bool | None = None,
) -> Function:
    """Return the function to register with Wagtail for one with ``background=True``.

    That is its dispatcher, or the function itself where it has to run in the request.
    """
    kind = catalogue.kind_of(hook)
    if kind is None:
        reason = "the hook is not background-safe: Wagtail needs its answer, or its timing"
        registry.kept_synchronous.append(KeptSynchronous(hook, function, reason, True))
        return function
    entry = registry.register(hook, function, kind, options, draft=draft)
    if entry is None:
        # Wagtail would call a coroutine function without awaiting the coroutine.
        return functions.to_the_end(function)

    @functools.wraps(function, updated=())  # not the mark of a coroutine function
    def dispatcher(*args: Any, **kwargs: Any) -> Any:
        if registry.latest(entry).function is entry.function:  # else loaded anew, and registered
            return dispatch(entry, args, kwargs)

    return registry.marked(dispatcher, entry)


class Moved:
    """The dispatcher of a function of another package that the settings have moved.

    It is equal to the function, so that the other package can still deregister it.
    """

    def __init__(self, entry: BackgroundFunction) -> None:
        functools.update_wrapper(self, entry.function, updated=())
        registry.marked(self, entry)
        self.entry = entry

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return dispatch(self.entry, args, kwargs)

    def __eq__(self, other: object) -> bool:
        return self.entry.function == (other.entry.function if isinstance(other, Moved) else other)

    def __hash__(self) -> int:
        return hash(self.entry.function)


def dispatch(
    entry: BackgroundFunction,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    signal: Signal | None = None,
) -> Any:
    """Enqueue a call of a background function, or run it here where it cannot be enqueued.

    Errors are logged, so that the editor's request goes on.

    :param signal: the signal, which a receiver gets as an argument if it runs here.
    """
    if _ahead.take(lambda expected: expected.is_same(entry, args, kwargs)) is not None:
        return
    here = kwargs if signal is None else {**kwargs, "signal": signal}
    run = functools.partial(functions.call, entry.function, *args, **here)
    mode = overrides.mode_of(entry.hook, entry.path)
    if mode is Mode.SUPPRESSED:
        logger.debug("%s is suppressed.", entry)
        return
    if mode is Mode.SYNCHRONOUS:
        return _at_once(entry, run)
    if entry.is_synchronous_now():
        return measuring.call(entry.hook, entry.path, lambda: _at_once(entry, run))
    if installed.is_missing():
        if conf.current().backend:
            logger.error("%s runs in the request: %s. %s", entry, installed.MISSING, installed.HINT)
        enqueue.run_here(str(entry), run)
        return
    call = _call_of(entry, args, kwargs)
    if call.is_autosave and not entry.options_now().merges:
        logger.debug("%s is not run for an autosave.", entry)
        return
    otherwise = functools.partial(_run_here, entry, call, run)
    make = functools.partial(_make_task, entry, call)
    if background.immediate:
        with current_task.within(call.request):
            enqueue.make_and_enqueue(make, otherwise)
        return
    following = _following(entry, call)
    makes = [functools.partial(_make_task, *each) for each in following]
    if enqueue.make_and_enqueue(make, otherwise, makes):
        _ahead.expect(following, background.storage.ledger.database())


class _Expected(NamedTuple):
    """A call of a function that Wagtail makes next."""

    entry: BackgroundFunction
    call: HookCall

    def is_same(
        self, entry: BackgroundFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bool:
        """Return whether it is the call of a function with these arguments."""
        call = self.call
        return (
            self.entry is entry
            and call.kwargs.keys() == kwargs.keys()
            and len(call.args) == len(args)
            and all(_is_same(known, given) for known, given in zip(call.args, args, strict=True))
            and all(_is_same(call.kwargs[name], given) for name, given in kwargs.items())
        )


def _is_same(known: Any, given: Any) -> bool:
    """Return whether an argument is the same; a row may have been read anew for each function."""
    if known is given:
        return True
    return isinstance(known, Model) and type(known) is type(given) and bool(known == given)


_ahead: Final[Ahead[_Expected]] = Ahead()


def _following(entry: BackgroundFunction, call: HookCall) -> list[_Expected]:
    """Return the calls that Wagtail makes right after another one, and that are enqueued as well.

    Wagtail calls the functions of a hook one after the other, with the same arguments, until one
    returns a response. Dispatchers return none and raise nothing. So those that follow one another
    in the registry are all called, and nothing happens between them: what the last one would
    enqueue is what the first one does. A function that runs in the request ends the row, since it
    may return a response, or change what the arguments say.

    How sites and packages call the functions of hooks of their own nobody knows, nor how tests and
    scripts call those of Wagtail's, with requests that no view is answering: each of them is
    enqueued when it is called.
    """
    found: list[_Expected] = []
    if getattr(call.request, "resolver_match", None) is None:
        return found
    if entry.is_receiver or entry.hook not in catalogue.BACKGROUND_SAFE or _is_refused(entry):
        return found
    registered = iter(wagtail_hooks.get_hooks(entry.hook))
    for function in registered:
        if registry.entry_of(function) is entry:
            break
    for function in registered:
        following = registry.entry_of(function)
        if following is None or not _is_enqueued(following):
            break
        expected = _Expected(following, _call_of(following, call.args, {**call.kwargs}))
        if expected.call.is_autosave and not following.options_now().merges:
            break
        found.append(expected)
    return found


def _is_enqueued(entry: BackgroundFunction) -> bool:
    """Return whether calls of a function are enqueued, as the settings and switches are now."""
    return (
        registry.latest(entry).function is entry.function
        and overrides.mode_of(entry.hook, entry.path) is None
        and not entry.is_synchronous_now()
        and not _is_refused(entry)
    )


def _is_refused(entry: BackgroundFunction) -> bool:
    """Return whether an argument kept a function from the background; it will do so again."""
    return (entry.hook, entry.path) in _refused


def _call_of(entry: BackgroundFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> HookCall:
    draft = entry.kind.draft if entry.draft is None else entry.draft
    return HookCall(entry.kind, args, kwargs, draft and not entry.kind.deleted)


def _at_once(entry: BackgroundFunction, run: Callable[[], Any]) -> Any:
    """Call a function that the site keeps synchronous, and return its result."""
    try:
        return run()
    except Snooze as snooze:
        logger.error(
            "%s is not called again: %s, which the request cannot do.", str(entry), one_line(snooze)
        )


def _make_task(entry: BackgroundFunction, call: HookCall) -> QueuedTask:
    options = entry.options_now()
    if call.is_autosave and options.delay is None and not options.debounce:
        # The delay is ours, so the task expires as much later.
        expires = options.expires and options.expires + AUTOSAVE_DELAY
        options = options._replace(delay=AUTOSAVE_DELAY, expires=expires)
    args, kwargs = call.to_serialize()
    submission = Submission(
        queue=options.queue or DEFAULT_QUEUE,
        options=options,
        named=None if options.title is None else call.named,
    )
    task: QueuedTask = entry.task.task_class(
        args, kwargs, submission=submission, **options.for_huey()
    )
    give_keys(task, options, call.named, entry)
    submission.context = Context.capture(call.target(supersede=bool(options.supersede)))
    return task


def _run_here(
    entry: BackgroundFunction, call: HookCall, run: Callable[[], Any], error: Exception
) -> None:
    """Run a call in the request that cannot be enqueued, so that it is not lost."""
    if isinstance(error, CannotSerialize):
        _refuse(entry, call, error)
    else:
        logger.error(
            "%s could not be recorded as a background task, so it runs in the request.",
            str(entry),
            exc_info=error,
        )
    enqueue.run_here(str(entry), run)


def _refuse(entry: BackgroundFunction, call: HookCall, error: CannotSerialize) -> None:
    """Log, once for each function, which argument keeps it from running in the background."""
    if (entry.hook, entry.path) in _refused:
        return
    _refused.add((entry.hook, entry.path))
    logger.error(
        "%s runs in the request, because an argument cannot be carried to a worker: %s",
        str(entry),
        one_line(call.culprit(error)),
    )
