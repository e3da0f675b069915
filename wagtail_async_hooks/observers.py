"""Tools that observe tasks, such as those that trace calls: what they put around them, and pass on.

They are asked only where one of them was added. What goes wrong in a tool is logged, and harms
neither the task nor who enqueues it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from wagtail_async_hooks.utils.errors import report

if TYPE_CHECKING:
    from wagtail_async_hooks.current_task import Running
    from wagtail_async_hooks.queue.submission import QueuedTask

logger = logging.getLogger(__name__)

Carried = Mapping[str, Mapping[str, str]]
"""What messages carry for the tools, by their names."""

_NOTHING: Final = nullcontext()


class Observer:
    """A tool that observes tasks; a subclass overrides what it needs.

    :cvar name: under which messages carry what it passes on to the attempts at a task.
    """

    name = ""

    def enqueueing(self, task: QueuedTask) -> AbstractContextManager[object]:
        """Return the context in which a task is enqueued."""
        return _NOTHING

    def carry(self) -> Mapping[str, str]:
        """Return what the message of a task is to carry that is being enqueued here."""
        return {}

    def attempting(
        self, running: Running, carried: Mapping[str, str]
    ) -> AbstractContextManager[object]:
        """Return the context in which an attempt at a task is made.

        :param running: tells at the end of the context how that went.
        :param carried: what :meth:`carry` has returned as the task was enqueued.
        """
        return _NOTHING


_observers: Final[dict[str, Observer]] = {}


def add(observer: Observer) -> None:
    """Have a tool observe tasks from now on, in the place of another one with its name."""
    _observers[observer.name] = observer


def remove(observer: Observer) -> None:
    """Have a tool observe tasks no more."""
    if _observers.get(observer.name) is observer:
        del _observers[observer.name]


def enqueueing(task: QueuedTask) -> AbstractContextManager[object]:
    """Return the context in which a task is enqueued."""
    if not _observers:
        return _NOTHING
    return _Contexts([(each, partial(each.enqueueing, task)) for each in _all()])


def carry() -> Carried | None:
    """Return what the message of a task is to carry; ``None`` for nothing."""
    found: dict[str, Mapping[str, str]] = {}
    for each in _all():
        try:
            carried = each.carry()
        except Exception as error:
            _complain(each, error)
            continue
        if carried:
            found[each.name] = carried
    return found or None


def attempting(running: Running) -> AbstractContextManager[object]:
    """Return the context in which an attempt at a task is made."""
    if not _observers:
        return _NOTHING
    carried = running.context.carried or {}
    return _Contexts(
        [(each, partial(each.attempting, running, carried.get(each.name, {}))) for each in _all()]
    )


def _all() -> list[Observer]:
    return list(_observers.values())


def _complain(observer: Observer, error: Exception) -> None:
    report(logger, error, "What observes tasks for %s failed.", observer.name)


class _Contexts:
    """Contexts of several tools, of which none can do harm.

    :param contexts: the tools, and what makes the context of each.
    """

    def __init__(
        self, contexts: list[tuple[Observer, Callable[[], AbstractContextManager[Any]]]]
    ) -> None:
        self._contexts = contexts
        self._entered: list[tuple[Observer, AbstractContextManager[Any]]] = []

    def __enter__(self) -> None:
        for observer, make in self._contexts:
            try:
                context = make()
                context.__enter__()
            except Exception as error:
                _complain(observer, error)
            else:
                self._entered.append((observer, context))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._entered:
            observer, context = self._entered.pop()
            try:
                context.__exit__(kind, error, trace)
            except Exception as another:
                if another is not error:
                    _complain(observer, another)
