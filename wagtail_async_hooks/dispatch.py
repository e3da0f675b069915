"""The dispatcher: what stands in Wagtail's registry for a background hook, and where it leads."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.apps import apps
from django.db import models, router, transaction
from huey.api import TaskWrapper

from wagtail_async_hooks import catalogue, conf
from wagtail_async_hooks.exceptions import CannotSerialize
from wagtail_async_hooks.queue import background

logger = logging.getLogger(__name__)

Hook = Callable[..., Any]


@dataclass(frozen=True)
class BackgroundHook:
    """One function that runs in the background for one hook."""

    hook: str
    function: Hook
    path: str
    priority: int | None
    task: TaskWrapper

    def priority_now(self) -> int | None:
        """Return the priority in force: the site's settings overrule the code."""
        set_by_site = conf.current().priority_for(self.hook, self.path)
        return self.priority if set_by_site is None else set_by_site


@dataclass(frozen=True)
class KeptSynchronous:
    """A function that was registered with ``background=True`` and runs in the request anyway."""

    hook: str
    function: Hook
    reason: str
    in_catalogue: bool


registry: Final[dict[tuple[str, str], BackgroundHook]] = {}
"""The background hooks of this process, by hook and dotted path of the function."""

kept_synchronous: Final[list[KeptSynchronous]] = []
"""What the system checks tell the developer about."""

_refused: Final[set[tuple[str, str]]] = set()


def in_background(hook: str, function: Hook, *, priority: int | None = None) -> Hook:
    """Return what is to stand in Wagtail's registry for a function that asked for the background.

    That is a wrapper, or the function itself where it has to run in the request.
    """
    reason = _why_synchronous(hook, function)
    if reason:
        in_catalogue = catalogue.is_background_safe(hook)
        kept_synchronous.append(KeptSynchronous(hook, function, reason, in_catalogue))
        # Wagtail would call a coroutine function, and leave the coroutine at that.
        return _plain(function) if in_catalogue else function
    path = dotted_path(function)
    entry = BackgroundHook(hook, function, path, priority, _task(hook, path, function))
    registry[hook, path] = entry

    @functools.wraps(function, updated=())  # not the mark of a coroutine function
    def dispatcher(*args: Any, **kwargs: Any) -> Any:
        return _dispatch(entry, args, kwargs)

    return dispatcher


def forget(hook: str, function: Hook) -> None:
    """Undo :func:`in_background`, for a function that was registered for the time of a test."""
    entry = registry.get((hook, dotted_path(function))) if _has_name(function) else None
    if entry is not None and entry.function is function:
        del registry[hook, entry.path]
        entry.task.unregister()
    kept_synchronous[:] = [
        kept for kept in kept_synchronous if (kept.hook, kept.function) != (hook, function)
    ]


def dotted_path(function: Hook) -> str:
    """Return the path by which settings, messages and the admin name a function."""
    return f"{function.__module__}.{function.__qualname__}"


def _why_synchronous(hook: str, function: Hook) -> str:
    if not catalogue.is_background_safe(hook):
        return "the hook is not background-safe: Wagtail needs its answer, or its timing"
    if not _has_name(function):
        return f"a worker cannot find a {type(function).__qualname__} again, it has no name"
    name = function.__qualname__
    if "<lambda>" in name:
        return "a worker cannot find a lambda again, it has no name"
    if "<locals>" in name:
        return "a worker cannot find a function again that is defined inside another one"
    known = registry.get((hook, dotted_path(function)))
    if known is not None and known.function is not function:
        return "a worker could not tell it from another function of the same name"
    return ""


def _has_name(function: Hook) -> bool:
    return all(getattr(function, name, None) for name in ("__module__", "__qualname__"))


def _task(hook: str, path: str, function: Hook) -> TaskWrapper:
    """Return the Huey task of a hook function, which it may have from an earlier registration."""
    known = registry.get((hook, path))
    if known is not None:
        return known.task
    name = f"{function.__qualname__}@{hook}"
    return background.task(name=name, hook=hook, function=path)(_for_nobody(function))


def _for_nobody(function: Hook) -> Hook:
    """Return what calls a function and drops its answer, as Wagtail does with most of them."""

    @functools.wraps(function, updated=())  # not the mark of a coroutine function
    def call(*args: Any, **kwargs: Any) -> None:
        _plain(function)(*args, **kwargs)

    return call


def _dispatch(entry: BackgroundHook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Have the function run in the background; whatever happens, the editor's request goes on."""
    if conf.current().runs_synchronously(entry.hook, entry.path):
        return _plain(entry.function)(*args, **kwargs)
    pages = router.db_for_write(apps.get_model("wagtailcore", "Page"))
    if background.immediate or pages == background.storage.ledger.database():
        _enqueue_or_run(entry, args, kwargs)
    else:
        # The ledger cannot share the page's transaction: the next best is right after it.
        later = functools.partial(_enqueue_or_run, entry, args, kwargs)
        transaction.on_commit(later, using=pages, robust=True)


def _enqueue_or_run(entry: BackgroundHook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Record the call as a task; where that cannot be done, run it here: it is not lost."""
    try:
        _enqueue(entry, args, kwargs)
    except CannotSerialize as error:
        _refuse(entry, args, error)
        _run_here(entry, args, kwargs)
    except Exception:
        logger.exception(
            "%s %s could not be recorded as a background task, so it runs in the request.",
            entry.hook,
            entry.path,
        )
        _run_here(entry, args, kwargs)


def _enqueue(entry: BackgroundHook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    task = entry.task.task_class(_carried(entry.hook, args), kwargs, priority=entry.priority_now())
    if background.immediate:
        background.enqueue(task).get_raw_result()  # nobody asks for it: do not let it pile up
        return
    ledger = background.storage.ledger.database()
    if transaction.get_connection(ledger).in_atomic_block:
        # A savepoint, so that a table which is not there yet does not undo the editor's change.
        with transaction.atomic(using=ledger):
            background.enqueue(task)
    else:
        background.enqueue(task)


def _carried(hook: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments as they are to be carried: deleted objects whole, views described."""
    # Not above: it needs Wagtail's models, and hooks may be registered before they are loaded.
    from wagtail_async_hooks.arguments import BulkActionInfo, Snapshot

    def whole(value: Any) -> Any:
        if isinstance(value, models.Model):
            return Snapshot(value)
        return [whole(item) for item in value] if isinstance(value, list) else value

    kind = catalogue.kind_of(hook)
    if kind.deleted:
        return tuple(whole(value) for value in args)
    if "action_instance" in kind.arguments:
        place = kind.arguments.index("action_instance")
        return (*args[:place], *map(BulkActionInfo.of, args[place:]))
    return args


def _run_here(entry: BackgroundHook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    pages = router.db_for_write(apps.get_model("wagtailcore", "Page"))
    inside = transaction.get_connection(pages).in_atomic_block
    try:
        # A savepoint, so that an error does not undo the editor's change.
        with transaction.atomic(using=pages) if inside else nullcontext():
            _plain(entry.function)(*args, **kwargs)
    except Exception:
        logger.exception("%s %s failed in the request.", entry.hook, entry.path)


def _plain(function: Hook) -> Hook:
    """Return what calls a function to its end, also if it is a coroutine function."""
    return async_to_sync(function) if inspect.iscoroutinefunction(function) else function


def _refuse(entry: BackgroundHook, args: tuple[Any, ...], error: CannotSerialize) -> None:
    """Log, once for each function, which argument keeps it from running in the background."""
    if (entry.hook, entry.path) in _refused:
        return
    _refused.add((entry.hook, entry.path))
    logger.error(
        "%s %s runs in the request, because an argument cannot be carried to a worker: %s",
        entry.hook,
        entry.path,
        _argument(entry.hook, args, error),
    )


def _argument(hook: str, args: tuple[Any, ...], error: CannotSerialize) -> str:
    """Say which argument an error is about, by its name in Wagtail's documentation."""
    path = error.path
    names = catalogue.kind_of(hook).arguments
    head, bracket, rest = path.removeprefix("['args'][").partition("]")
    if path.startswith("['args'][") and bracket and head.isdigit():
        place = int(head)
        name = names[place] if place < len(names) else f"argument {place + 1}"
        kind = type(args[place]).__qualname__ if place < len(args) else "?"
        return f"{name}{rest} ({kind}): {error.reason}"
    return str(error)
