"""``@background.task()``: what makes a background task of a function, and how that is called."""

from __future__ import annotations

import datetime
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Set
from typing import TYPE_CHECKING, Any

from huey.api import Task, TaskWrapper
from huey.exceptions import CancelExecution

from wagtail_async_hooks import current_task
from wagtail_async_hooks.conf import validators
from wagtail_async_hooks.exceptions import GivenUp, TargetGone
from wagtail_async_hooks.queue import keys, retries
from wagtail_async_hooks.queue.submission import Definition, QueuedTask, base_of
from wagtail_async_hooks.serialization import codecs
from wagtail_async_hooks.utils import catching, functions, parking, timeouts, uuid7
from wagtail_async_hooks.utils.database import transactions

if TYPE_CHECKING:
    from wagtail_async_hooks.queue.task_queue import TaskQueue


class BackgroundTaskWrapper(TaskWrapper):  # type: ignore[misc]  # Huey has no types
    """What ``@background.task()`` makes of a function."""

    huey: TaskQueue
    task_base: type[Task]

    def create_task(
        self,
        func: Callable[..., Any],
        context: bool = False,
        name: str | None = None,
        **settings: Any,
    ) -> type[Task]:
        """Make the task's class; it resolves the arguments, then calls the function.

        :raises TypeError: if an option is of a wrong type, or the function has no name.
        """
        if not getattr(func, "__qualname__", ""):
            raise TypeError(
                f"@background.task() takes a function, but was given a {type(func).__name__}, "
                "which has no name by which a worker could find it; write a function that calls it."
            )
        settings["definition"] = self._definition(func, settings)
        settings["create_id"] = staticmethod(uuid7.new)  # else Huey's, which do not ascend
        self.task_base = base_of(self.task_base)
        made: type[QueuedTask] = super().create_task(
            self._resolving(func), context, name, **settings
        )
        self.huey.forget_former(made)
        return made

    @staticmethod
    def _definition(func: Callable[..., Any], settings: dict[str, Any]) -> Definition:
        """Take out of the settings what is not for Huey, and return it."""
        path = settings.pop("function", f"{func.__module__}.{func.__qualname__}")
        queue = settings.pop("queue", None)
        if queue is not None and (expected := validators.queue_name(queue)):
            raise TypeError(f"The queue of the task {path} should be {expected}, but is {queue!r}.")
        about_keys = {name: settings.pop(name) for name in keys.OPTIONS if name in settings}
        own = validators.taken_from(settings, f"background.task(…) of {path}")
        return Definition(
            function=path,
            options=settings.pop("options", None) or (lambda task: own),
            hook=settings.pop("hook", ""),
            queue=queue,
            keys=keys.OwnKeys(func, about_keys) if about_keys else None,
            called=func,
            spec=getattr(sys.modules.get(func.__module__), "__spec__", None),
            forgets_arguments=settings.pop("forget_arguments", False) is True,
            is_coroutine=settings.pop("is_coroutine", None)
            or functools.partial(_always, inspect.iscoroutinefunction(func)),
            call_class=settings.pop("call_class", None),
            times=settings.pop("times", None),
            missed=settings.pop("missed", "once"),
        )

    def map(self, it: Iterable[Any]) -> Any:
        """Call the task for each item, as Huey does; all are enqueued by few INSERTs."""
        items = list(it)
        with self.huey.gathering():
            return super().map(items)

    def s(self, *args: Any, **kwargs: Any) -> QueuedTask:
        """Return a call, as Huey does; one for a time that is named remembers that."""
        is_eta_named = kwargs.get("eta") is not None
        task: QueuedTask = super().s(*args, **kwargs)
        task.submission.is_eta_named = is_eta_named
        return task

    def schedule(
        self,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        eta: datetime.datetime | None = None,
        delay: Any = None,
        *options: Any,
        **named: Any,
    ) -> Any:
        """Enqueue a call for later, as Huey does."""
        at = args if eta is None and delay is None else eta
        with self.huey.eta_named(isinstance(at, datetime.datetime)):
            return super().schedule(args, kwargs, eta, delay, *options, **named)

    def _resolving(self, func: Callable[..., Any]) -> Callable[..., Any]:
        call = func
        if inspect.iscoroutinefunction(func):
            call = functools.partial(functions.call, func)

        @functools.wraps(func, updated=())  # not the mark of a coroutine function
        def run(*args: Any, **kwargs: Any) -> Any:
            calling = self.huey.calling()

            def resolve_and_call() -> Any:
                try:
                    resolved = codecs.resolve(args), codecs.resolve(_given(kwargs))
                except TargetGone as gone:
                    raise CancelExecution(str(gone), retry=False) from gone
                _cancel_if_superseded()
                calling.begin()
                return _called(functools.partial(call, *resolved[0], **resolved[1]))

            return calling.call(resolve_and_call)

        return run


def _always(value: bool, task: QueuedTask) -> bool:
    return value


def _called(call: Callable[[], Any]) -> Any:
    """Call a task's function, within its time, and judge what it raises."""
    running = current_task.running()
    if running is None:
        return call()
    try:
        claim = running.claim
        if claim is None:
            # In immediate mode the caller's transaction goes on, whatever becomes of the task.
            with transactions.guarded(keeps_work=True):
                return call()
        assert claim is not None
        if not (running.task.timeout or claim.holds_alone):
            return call()
        return timeouts.limited(
            call,
            running.task.timeout or None,
            str(claim),
            revocable=claim.holds_alone,
            watched=not parking.is_parkable(),
        )
    except BaseException as error:
        if running.claim is not None and catching.is_of_exit(error):
            raise GivenUp("it was broken off, since the process ends that ran it") from error
        if not catching.stops(error):
            retries.judge(running, error)
        raise


def _given(named: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments with which somebody has called the task that runs."""
    running = current_task.running() if named else None
    added: Set[str] = frozenset() if running is None else running.task.added_arguments()
    return {name: value for name, value in named.items() if name not in added} if added else named


def _cancel_if_superseded() -> None:
    running = current_task.running()
    target = running and running.context.target
    if target and target.supersede and (successor := target.successor()) is not None:
        raise CancelExecution(f"superseded by revision {successor}", retry=False)
