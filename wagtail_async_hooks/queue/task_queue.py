"""The task queue: a Huey that enqueues through the ledger and executes through the ledger.

``background`` is the one instance of a site. All of Huey's public API works on it; what differs is
where the truth lies. A task is a row before a worker hears of it, it is claimed by an UPDATE, and
how it ended is written in one transaction with the next claim.
"""

from __future__ import annotations

import contextvars
import datetime
import functools
import inspect
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeVar, Unpack, overload

from asgiref.sync import async_to_sync
from django.core.signals import setting_changed
from django.db import transaction
from huey import signals as huey_signals
from huey.api import Huey, Task, TaskWrapper, chord, group
from huey.constants import EmptyData
from huey.exceptions import CancelExecution, HueyException, TaskException
from huey.storage import BaseStorage
from huey.utils import Error

from wagtail_async_hooks import conf, current_task, signals
from wagtail_async_hooks.conf import installed, validators
from wagtail_async_hooks.current_task import Running
from wagtail_async_hooks.exceptions import (
    CalledInCoroutine,
    CannotSerialize,
    MessageRefused,
    TargetGone,
    UnknownTask,
)
from wagtail_async_hooks.queue import huey_log, keys, refusals
from wagtail_async_hooks.queue import retries as retrying
from wagtail_async_hooks.queue.attempt import (
    NOTED,
    OUTAGE_TRIES,
    Calling,
    Execution,
    describe,
    entered,
)
from wagtail_async_hooks.queue.holding import Holding
from wagtail_async_hooks.queue.row import make_row
from wagtail_async_hooks.queue.submission import (
    Definition,
    QueuedPeriodicTask,
    QueuedTask,
    Submission,
    base_of,
)
from wagtail_async_hooks.queue.task_types import (
    ContextTaskDecorator,
    KeyOptions,
    TaskDecorator,
    TaskKeywords,
    Time,
)
from wagtail_async_hooks.serialization import codecs, messages
from wagtail_async_hooks.serialization.context import Context, fresh
from wagtail_async_hooks.storage.database import DatabaseStorage, Envelope
from wagtail_async_hooks.storage.factory import resolve
from wagtail_async_hooks.types import Bounds, Claim, Outcome, State
from wagtail_async_hooks.utils import catching, coroutines, crontab, forks, timeouts, uuid7
from wagtail_async_hooks.utils.crontab import Asked
from wagtail_async_hooks.utils.database import clock, transactions
from wagtail_async_hooks.utils.errors import report, repr_of, traceback_of
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.utils.time import is_later

if TYPE_CHECKING:
    from wagtail_async_hooks.models import BackgroundTask

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

UNKNOWN_TASK_DELAYS: Final = (10, 60, 300, 900, 3600)
"""Seconds after which a task that no code here knows is tried again: a rolling deploy takes
minutes, and a task that is still unknown after the last one fails."""

PACKAGE: Final = "wagtail_async_hooks"
"""What the names of the package's own tasks begin with."""

CANCELLED: Final = "it was cancelled"
"""Why a task ended that was cancelled while it ran."""


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
            call_class=settings.pop("call_class", None),
            times=settings.pop("times", None),
            missed=settings.pop("missed", "once"),
        )

    def map(self, it: Iterable[Any]) -> Any:
        """Call the task for each item, as Huey does; all are recorded by few INSERTs."""
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
        """Record a call for later, as Huey does."""
        at = args if eta is None and delay is None else eta
        with self.huey.eta_named(isinstance(at, datetime.datetime)):
            return super().schedule(args, kwargs, eta, delay, *options, **named)

    def _resolving(self, func: Callable[..., Any]) -> Callable[..., Any]:
        call = func
        if inspect.iscoroutinefunction(func):
            call = async_to_sync(timeouts.in_time(func))

        @functools.wraps(func, updated=())  # not the mark of a coroutine function
        def run(*args: Any, **kwargs: Any) -> Any:
            calling = self.huey.calling()

            def resolve_and_call() -> Any:
                try:
                    added = _added_here()
                    given = {k: v for k, v in kwargs.items() if k not in added}
                    resolved = codecs.resolve(args), codecs.resolve(given)
                except TargetGone as gone:
                    raise CancelExecution(str(gone), retry=False) from gone
                _cancel_if_superseded()
                calling.begin()
                return _called(functools.partial(call, *resolved[0], **resolved[1]))

            return calling.call(resolve_and_call)

        return run


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
            call, running.task.timeout or None, str(claim), revocable=claim.holds_alone
        )
    except BaseException as error:
        if not catching.stops(error):
            retrying.judge(running, error)
        raise


def _added_here() -> Set[str]:
    """Return the names of keyword arguments with which nobody has called the task that runs."""
    running = current_task.running()
    return frozenset() if running is None else running.task.added_arguments()


def _cancel_if_superseded() -> None:
    running = current_task.running()
    target = running and running.context.target
    if target and target.supersede and (successor := target.successor()) is not None:
        raise CancelExecution(f"superseded by revision {successor}", retry=False)


class _ThreadState(threading.local):
    """What a thread is doing: the attempt under way, and the outcome not yet recorded."""

    execution: Execution | None = None
    pending: Outcome | None = None
    is_eta_named: bool = False


class TaskQueue(Huey):  # type: ignore[misc]  # Huey has no types
    """A Huey whose tasks live in the ledger; immediate where ``BACKEND`` is blank.

    :param name: keeps the keys of several queues in one storage apart.
    """

    storage: DatabaseStorage

    bounds: Bounds
    """What claims keep to: limits, and in a worker also its queues, and what is paused."""

    def __init__(self, name: str = "wagtail_async_hooks") -> None:
        self._thread = _ThreadState()
        self.holding = Holding()
        self._has_given_up = False
        self._suspect = threading.Lock()
        self._set_aside = refusals.SetAside()
        self.bounds = Bounds(limits=conf.current().limits)
        super().__init__(
            name,
            store_none=True,  # costs nothing: a task that has succeeded and has no result says so
            store_intermediate_errors=False,
            immediate=not conf.current().backend,
            serializer=messages.SignedJSONSerializer(),
        )
        super().signal(*NOTED)(self._note)
        setting_changed.connect(self._settings_changed, dispatch_uid=f"{name}.settings")

    def get_task_wrapper_class(self) -> type[TaskWrapper]:
        return BackgroundTaskWrapper

    def get_storage(self, **kwargs: Any) -> BaseStorage:
        return resolve(conf.current(), self.name)

    @overload
    def task(
        self,
        retries: int = 0,
        retry_delay: float = 0,
        retry_backoff: float = 0,
        priority: int | None = None,
        context: Literal[False] = False,
        name: str | None = None,
        expires: Time | None = None,
        timeout: float | None = None,
        **options: Unpack[TaskKeywords],
    ) -> TaskDecorator: ...
    @overload
    def task(
        self,
        retries: int = 0,
        retry_delay: float = 0,
        retry_backoff: float = 0,
        priority: int | None = None,
        *,
        context: Literal[True],
        name: str | None = None,
        expires: Time | None = None,
        timeout: float | None = None,
        **options: Unpack[TaskKeywords],
    ) -> ContextTaskDecorator: ...
    def task(self, *args: Any, **options: Any) -> Any:
        """Return a decorator that makes a background task of a function, as Huey does.

        :raises TypeError: if it is given the function itself, which would be taken for a number of
            retries.
        """
        if args and callable(args[0]):
            raise TypeError(
                "background.task(…) returns a decorator: write @background.task() with its brackets"
                f" above {getattr(args[0], '__qualname__', 'the function')}."
            )
        return super().task(*args, **options)

    def task_with(self, **settings: Any) -> Callable[[Callable[..., Any]], TaskWrapper]:
        """Return what :meth:`task` does, for attributes of this package's own."""
        decorator: Callable[[Callable[..., Any]], TaskWrapper] = super().task(**settings)
        return decorator

    @overload
    def own_task(
        self, name: str, *, context: Literal[True], **settings: Any
    ) -> ContextTaskDecorator: ...
    @overload
    def own_task(self, name: str, **settings: Any) -> TaskDecorator: ...
    def own_task(self, name: str, **settings: Any) -> Any:
        """Return a decorator for a task of this package, which is stored as ``PACKAGE.name``.

        Huey would store the path of its module, and rows of an older release would name none that
        exists once the function has moved.
        """
        settings.update(__module__=PACKAGE, function=f"{PACKAGE}.{name}")
        return super().task(name=name, **settings)

    @overload
    def periodic_task(
        self,
        validate_datetime: str | Asked,
        retries: int = 0,
        retry_delay: float = 0,
        retry_backoff: float = 0,
        priority: int | None = None,
        context: Literal[False] = False,
        name: str | None = None,
        expires: Time | None = None,
        timeout: float | None = None,
        *,
        time_zone: str = "",
        missed: str = "once",
        **options: Unpack[KeyOptions],
    ) -> TaskDecorator: ...
    @overload
    def periodic_task(
        self,
        validate_datetime: str | Asked,
        retries: int = 0,
        retry_delay: float = 0,
        retry_backoff: float = 0,
        priority: int | None = None,
        *,
        context: Literal[True],
        name: str | None = None,
        expires: Time | None = None,
        timeout: float | None = None,
        time_zone: str = "",
        missed: str = "once",
        **options: Unpack[KeyOptions],
    ) -> ContextTaskDecorator: ...
    def periodic_task(
        self,
        validate_datetime: str | Asked,
        *args: Any,
        time_zone: str = "",
        missed: str = "once",
        **options: Any,
    ) -> Any:
        """Return a decorator for a function that recurs, as Huey does.

        :param validate_datetime: Huey's ``crontab()``, or any function that says of a naive time
            in UTC whether the task is due; or a crontab as text, which knows time zones.
        :param time_zone: where the clock of a crontab that is text hangs; by default that of
            Django's ``TIME_ZONE``.
        :param missed: what becomes of what fell due while no worker looked: run ``"once"``, or
            ``"skip"``.
        :raises ValueError: if the crontab, the time zone or ``missed`` cannot be used.
        :raises TypeError: if an option is given that merges tasks: a run that has not ended keeps
            the next one from being recorded, so there is nothing to merge.
        """
        for name in keys.OPTIONS:
            if name != "exclusive" and name in options:
                raise TypeError(
                    f"@background.periodic_task({name}=…) cannot be given: a run that has not "
                    "ended keeps the next one from being recorded, so there is nothing to merge."
                )
        times = crontab.times_of(validate_datetime, time_zone)
        if missed not in crontab.MISSED:
            raise ValueError(f'missed should be "once" or "skip", but is {missed!r}.')
        return super().periodic_task(times.is_due, *args, times=times, missed=missed, **options)

    def periodic_tasks(self) -> list[QueuedPeriodicTask]:
        """Return a task of each function that recurs, as they are registered now."""
        tasks: list[QueuedPeriodicTask] = self._registry.periodic_tasks
        return tasks

    def forget_former(self, kind: type[QueuedTask]) -> None:
        """Forget a task whose module is loaded anew, and makes it once more.

        One that the same module makes twice stays, and Huey refuses the other one.
        """
        name = self._registry.task_to_string(kind)
        former = self._registry._registry.get(name)
        if former is not None and former.definition.spec is not kind.definition.spec:
            self._registry.unregister(former)

    def task_classes(self) -> list[type[QueuedTask]]:
        """Return what Huey knows tasks by, as they are registered now."""
        return list(self._registry._registry.values())

    def function_of(self, name: str) -> Callable[..., Any] | None:
        """Return the function of a task that is registered here; ``None`` if none has the name."""
        kind: type[QueuedTask] | None = self._registry._registry.get(name)
        return None if kind is None else kind.definition.called

    def _settings_changed(self, *, setting: str, **kwargs: Any) -> None:
        if setting == conf.SETTING:
            self.storage.close()
            self.bounds = Bounds(limits=conf.current().limits)
            self.immediate = not conf.current().backend
            self.storage = self.create_storage()

    # Enqueue --------------------------------------------------------------------------------

    def enqueue(self, task: Task | group | chord) -> Any:
        """Record a task, in the caller's transaction; see Huey for the result.

        :raises CannotSerialize: if an argument cannot be carried; nothing was recorded.
        :raises CalledInCoroutine: if Django allows no statements here; nothing was recorded.
        """
        if not self.immediate and coroutines.refuses_statements():
            raise CalledInCoroutine(_named(task))
        execution = self._thread.execution
        is_eta_named, self._thread.is_eta_named = self._thread.is_eta_named, False
        if isinstance(task, group | chord):
            with self.gathering():
                return super().enqueue(task)
        self._require_own(task)
        submission = task.submission
        if is_eta_named:
            submission.is_eta_named = True
        if self.immediate:
            tries = retrying.immediate_tries(task)
            if tries > retrying.IMMEDIATE_TRIES:
                return None
            task = self.deserialize_task(self.serialize_task(task))
            task.eta = None  # delays and retries run at once
            task.tries = tries
            if tries == retrying.IMMEDIATE_TRIES:
                task.retries = 0
        elif execution is not None and task is execution.task:
            execution.again()
            return self._emit(huey_signals.SIGNAL_ENQUEUED, task)
        else:
            keys.give_own_keys(task)
        task.submission.given_arguments = frozenset(task.kwargs)
        # Huey logs what goes wrong in immediate mode, and says no more about it.
        with transactions.raising_if_lost() if self.immediate else nullcontext():
            result = super().enqueue(task)
        if not self.immediate and is_later(task.eta):
            self._emit(huey_signals.SIGNAL_SCHEDULED, task)
        return result

    def enqueue_many(self, tasks: Iterable[Task | group | chord]) -> list[Any]:
        """Record many tasks, all of them or none, by few INSERTs in the caller's transaction.

        :param tasks: such as ``my_task.s(1, 2)``; groups and chords as well.
        :returns: the result of each, as of :meth:`enqueue`.
        :raises CannotSerialize: if an argument cannot be carried; nothing was recorded.
        :raises TypeError: if something is no task; nothing was recorded.
        """
        given = list(tasks)  # to its end first: what that does is not for one INSERT
        for task in given:
            if not isinstance(task, Task | group | chord):
                raise TypeError(
                    f"enqueue_many() takes tasks such as my_task.s(1, 2), but {task!r} is none."
                )
        with self.gathering():
            return [self.enqueue(task) for task in given]

    def gathering(self) -> AbstractContextManager[None]:
        """Return the context in which all that Huey enqueues is recorded at once, at its end."""
        return nullcontext() if self.immediate else self.storage.gathering()

    @contextmanager
    def eta_named(self, is_named: bool) -> Iterator[None]:
        """Return the context in which the next task is enqueued whose time a caller has named."""
        self._thread.is_eta_named = is_named
        try:
            yield
        finally:
            self._thread.is_eta_named = False

    def add_schedule(self, task: Task) -> None:
        """Record a task for its time."""
        execution = self._thread.execution
        if self.immediate:
            self.enqueue(task)
        elif execution is not None and task is execution.task:
            execution.again()
            self._emit(huey_signals.SIGNAL_SCHEDULED, task)
        else:
            self._require_own(task)
            keys.give_own_keys(task)
            super().add_schedule(task)

    def _require_own(self, task: Task) -> None:
        """Raise Huey's error if a task is of another Huey.

        :raises HueyException: that no such task is registered.
        """
        if not isinstance(task, QueuedTask):
            self._registry.create_message(task)
            raise HueyException(f"{task!r} is no task of this queue.")

    def serialize_task(self, task: QueuedTask) -> Envelope:
        """Return the message, together with the row for the ledger."""
        context = _context_of(task)
        message = self._pack(task, context)
        if self.immediate:
            return Envelope(message)
        return Envelope.around(message, make_row(task, message, context.user))

    def _pack(self, task: QueuedTask, context: Context | None = None) -> bytes:
        """Return the message.

        :param context: what is to surround the task, if that is known already.
        """
        payload = (context or _context_of(task)).payload()
        call = self._registry.create_message(task)
        message: bytes = self.serializer.serialize_call(call, payload, task.added_arguments())
        return message

    def deserialize_task(self, data: bytes) -> QueuedTask:
        """Return the task of a message.

        :raises MessageRefused: if this site did not write the message.
        :raises UnknownTask: if no such task is registered here.
        """
        message, context, added = self.serializer.deserialize_whole(data)
        try:
            task: QueuedTask = self._registry.create_task(message)
            task.submission.added_arguments = added
            task.submission.context = Context.from_payload(context)
        except HueyException as error:
            raise UnknownTask(
                f"{error}; the code that enqueued it is not what this worker runs, or its module "
                "is not imported by a wagtail_hooks.py or tasks.py."
            ) from error
        except (TypeError, ValueError, AttributeError) as error:
            raise MessageRefused(
                f"the message is not one of this package: {type(error).__name__}: {error}."
            ) from error
        return task

    def renewed(self, row: BackgroundTask) -> bytes:
        """Return the message of a task that has ended, for one more attempt: it does not expire.

        :param row: the task's.
        """
        message = bytes(row.message)
        try:
            task = self.deserialize_task(message)
        except (UnknownTask, MessageRefused):
            return message  # the attempt will tell
        task.eta = task.expires = task.expires_resolved = None
        return self._pack(task)

    def recorded_earlier(self, row: BackgroundTask, by: datetime.timedelta) -> bytes:
        """Return the message of a task as though it had been recorded earlier.

        :param row: the task's.
        :param by: how much.
        """
        message = bytes(row.message)
        try:
            task = self.deserialize_task(message)
        except (UnknownTask, MessageRefused):
            return message
        if task.eta is None and task.expires_resolved is None:
            return message
        task.eta = task.eta and task.eta - by
        task.expires_resolved = task.expires_resolved and task.expires_resolved - by
        return self._pack(task)

    # Claim ----------------------------------------------------------------------------------

    def dequeue(self) -> QueuedTask | None:
        return super().dequeue() if self.immediate else self.next()

    def next(self, worker: int | None = None) -> QueuedTask | None:
        """Record how this thread's last task ended and claim the next one, in one transaction.

        :param worker: primary key of the worker's row.
        :returns: the task, or ``None`` if nothing waits.
        """
        while not self.bounds.all_paused:
            claim = self._claim(worker)
            if claim is None:
                return None
            if not claim.goes_on and (task := self._open(claim)) is not None:
                return task
        self.settle()
        return None

    def give_up(self, silence: float) -> None:
        """Interrupt what others may not run beside this process, and are about to take over.

        That is what has an exclusive key, or a place within the limit of a queue.

        :param silence: for how many seconds nobody has heard of this worker.
        """
        if (number := timeouts.revoke()) and not self._has_given_up:
            logger.warning(
                "The database has not heard of this worker for %.0f s, and others are about to "
                "take over what it holds: %d of its tasks are interrupted, which have an exclusive "
                "key or a limit.",
                silence,
                number,
            )
        self._has_given_up = bool(number)

    def holds(self, pk: int, attempt: int) -> bool:
        """Tell whether this process makes an attempt at a task, or has yet to record its end."""
        return self.holding.has(pk, attempt)

    def _claim(self, worker: int | None) -> Claim | None:
        """Claim the next task; one that a worker has died of only if no such one runs here.

        Otherwise those that happened to run beside a task that kills its workers would run beside
        it again, and again, and would be taken for murderers as well.
        """
        suspects = self._suspect.acquire(blocking=False)
        claim = None
        try:
            try:
                claim = self._step(worker, claim=True, suspects=suspects)
            except Exception as error:
                if not self._is_refused(error):
                    raise
                self.settle()
                claim = self._step(worker, claim=True, suspects=suspects)
        finally:
            if suspects and (claim is None or not claim.deaths or claim.goes_on):
                self._suspect.release()
        return claim

    def _let_go(self, claim: Claim) -> None:
        """The attempt at a task has ended."""
        if claim.deaths and self._suspect.locked():
            self._suspect.release()

    def settle(self) -> None:
        """Record how this thread's last task ended, if that is not done yet.

        What the database refuses is recorded in other words, see :mod:`.refusals`.
        """
        while (outcome := self._thread.pending) is not None:
            try:
                self._step(None, claim=False)
            except Exception as error:
                if not self._is_refused(error):
                    raise
                self._thread.pending = refusals.lessened(outcome, error)
                if self._thread.pending is None:
                    self._set_aside.add(outcome)

    def _is_refused(self, error: Exception) -> bool:
        """Return whether the database refuses what is to be recorded of this thread's last task."""
        outcome = self._thread.pending
        return outcome is not None and refusals.is_refused(
            outcome, error, self.storage.ledger.database()
        )

    def record_set_aside(self, *, all_of_them: bool = False) -> None:
        """Try again to record outcomes that the database has refused altogether.

        :param all_of_them: also those for which it is not time yet, as the process ends.
        """
        if self._set_aside:
            self._set_aside.retry(self._record, all_of_them=all_of_them)

    def _record(self, outcome: Outcome) -> None:
        kept, _ = self.storage.ledger.step(outcome, None, claim=False)
        self._recorded(outcome, kept)

    def _step(self, worker: int | None, *, claim: bool, suspects: bool = True) -> Claim | None:
        outcome = self._thread.pending
        kept: bool
        claimed: Claim | None
        kept, claimed = self.storage.ledger.step(
            outcome, worker, claim=claim, suspects=suspects, bounds=self.bounds
        )
        if claimed is not None and not claimed.put_off:
            claimed = self._hold(claimed, outcome)
        if outcome is not None:
            self._recorded(outcome, kept)
        if claimed is not None:
            if claimed.put_off and claimed.exclusive_key:
                self._notify_next(self.storage.announce_next, claimed.exclusive_key)
            for merged in claimed.merged:
                signals.announce(signals.merged, merged.sender, task=merged.info, into=claimed.info)
        return claimed

    def _hold(self, claimed: Claim, outcome: Outcome | None) -> Claim:
        """Note a claim; if this process is still at an earlier attempt, that one goes on instead.

        So it is after a cut, during which the task was taken from this worker, and after a restore
        of the database to a state in which the task waited.
        """
        earlier = self.holding.before(claimed, None if outcome is None else outcome.claim)
        if earlier is None:
            self.holding.add(claimed)
            return claimed
        logger.warning("%s still runs in this worker, and goes on.", claimed)
        self.storage.ledger.go_on(claimed, earlier)
        return replace(claimed, goes_on=True)

    def _recorded(self, outcome: Outcome, kept: bool) -> None:
        self._thread.pending = None
        self.holding.discard(outcome.claim)
        if outcome.claim.exclusive_key:
            self._notify_next(self.storage.announce_next, outcome.claim.exclusive_key)
        if outcome.claim.slot is not None:
            self._notify_next(self.storage.announce_room, outcome.claim.queue)
        _announce(outcome, kept)

    @staticmethod
    def _notify_next(announce: Callable[[str], None], name: str) -> None:
        """Announce what may be claimed now; whatever happens, what was claimed here is run."""
        try:
            announce(name)
        except Exception as error:
            logger.warning(
                "No worker was told what may run next; they find it by looking: %s", error
            )

    def _open(self, claim: Claim) -> QueuedTask | None:
        """Return the claimed task, or see to it that a message which cannot be run is kept."""
        if claim.put_off:
            return None
        if claim.cancel_requested:
            self._pass_over(Outcome(claim, State.CANCELLED, error=CANCELLED, was_called=False))
            return None
        try:
            task = self.deserialize_task(claim.message)
        except BaseException as error:
            if catching.stops(error):
                self._pass_over(Outcome(claim, State.WAITING, was_called=False))
                raise
            outcome = describe(error, Outcome(claim, State.FAILED, was_called=False))
            tries = claim.counted - 1
            if isinstance(error, UnknownTask) and tries < len(UNKNOWN_TASK_DELAYS):
                outcome.state = State.SCHEDULED
                outcome.run_in = float(UNKNOWN_TASK_DELAYS[tries])
                delay = datetime.timedelta(seconds=outcome.run_in)
                outcome.run_at = clock.database_now() + delay
            self._pass_over(outcome)
            return None
        task.claim = claim
        return task

    def _pass_over(self, outcome: Outcome) -> None:
        """Have it recorded what becomes of a claimed task that is not run."""
        self._thread.pending = outcome
        self._let_go(outcome.claim)

    def read_schedule(self, timestamp: datetime.datetime | None = None) -> list[Task]:
        """Let what is due wait for a worker; nothing is left for a scheduler to enqueue."""
        if self.immediate:
            due: list[Task] = super().read_schedule(timestamp)
            return due
        self.storage.announce(self.storage.ledger.promote_due())
        return []

    # Execute --------------------------------------------------------------------------------

    def execute(self, task: QueuedTask, timestamp: datetime.datetime | None = None) -> Any:
        """Run a task and record how it ended."""
        if task.claim is None:
            return self._executed_here(task, timestamp)
        value = self.attempt(task, timestamp)
        self.settle()
        return value

    def _executed_here(self, task: QueuedTask, timestamp: datetime.datetime | None) -> Any:
        """Run a task that nobody has claimed, in immediate mode."""
        running = Running(task, _context_of(task), tries=task.tries)
        value = None
        try:
            value = contextvars.copy_context().run(self._executed, running, timestamp)
        except BaseException as error:
            if catching.is_exception(error) or catching.passes(error):
                raise
            report(logger, error, "%s broke off.", repr(task))
        if running.stopped_by is not None:  # Huey makes nothing of Ctrl-C
            raise running.stopped_by
        return value

    def _executed(self, running: Running, timestamp: datetime.datetime | None) -> Any:
        with current_task.Entered(running):
            return super().execute(running.task, timestamp)

    def attempt(self, task: QueuedTask, timestamp: datetime.datetime | None = None) -> Any:
        """Run a claimed task; :meth:`next` or :meth:`settle` records how it ended.

        What stops the process, such as Ctrl-C in its main thread, is raised again once the task is
        handed back.
        """
        now = _moment_of_attempt(task) if timestamp is None else timestamp
        since = forks.generation()
        running = Running(task, _context_of(task), task.claim)
        execution = Execution(running)
        before, self._thread.execution = self._thread.execution, execution
        begun = time.monotonic()
        value = None
        try:
            signals.announce(signals.started, execution.claim.sender, task=execution.claim.info)
            due = now if task.eta is None else max(now, task.eta)
            value = fresh().run(self._executed, running, due)
        except BaseException as error:
            # What Huey does not handle: mostly, what follows from the task cannot be recorded.
            forks.end_if_forked(since, execution.name, error)
            if catching.stops(error):
                running.stopped_by = error
            else:
                report(logger, error, "%s broke off.", str(execution.claim))
                execution.broke_off(error)
        finally:
            self._thread.execution = before
            self._let_go(execution.claim)
        forks.end_if_forked(since, execution.name)
        if running.stopped_by is not None:
            self._hand_back(execution, running.stopped_by)
        self._conclude_somehow(execution, time.monotonic() - begun)
        return value

    def _hand_back(self, execution: Execution, stopped_by: BaseException) -> NoReturn:
        """Let a task wait for another worker, since this process is being stopped."""
        execution.broke_off(stopped_by)
        self._thread.pending = Outcome(execution.claim, State.WAITING)
        try:
            self.settle()
        finally:
            raise stopped_by

    def _conclude_somehow(self, execution: Execution, duration: float) -> None:
        """Conclude an attempt; an error of ours fails the task, and does not leave it running."""
        try:
            self._conclude(execution, duration)
        except BaseException as error:
            report(logger, error, "What became of %s cannot be recorded.", str(execution.claim))
            self._thread.pending = describe(error, Outcome(execution.claim, State.FAILED))
            if catching.stops(error):
                raise

    def calling(self) -> Calling:
        """Return the context in which a task's function is called."""
        return Calling(self._thread.execution)

    def _conclude(self, execution: Execution, duration: float) -> None:
        outcome = execution.outcome(duration)
        if outcome.state.is_final:
            outcome.result = self._packed(execution)
            if outcome.state is State.SUCCEEDED and execution.task.definition.forgets_arguments:
                outcome.message = self._pack(_without_arguments(execution.task))
        elif execution.runs_again:
            outcome.message = self._pack(execution.task)
        self._thread.pending = outcome
        if execution.transaction is not None:
            self._commit_with(execution.transaction)

    def _commit_with(self, followups: transaction.Atomic) -> None:
        """Record the outcome in the transaction that holds what follows from it."""
        outcome = self._thread.pending
        assert outcome is not None
        try:
            with entered(followups):
                kept, _ = self.storage.ledger.step(outcome, None, claim=False)
                if not kept:  # somebody else runs it meanwhile, and will see to what follows
                    transaction.set_rollback(True, using=self.storage.ledger.database())
        except BaseException as error:
            if catching.stops(error):
                raise
            told = str(outcome.claim)
            report(logger, error, "What follows from %s could not be recorded.", told)
            describe(error, outcome)
            again = outcome.claim.counted < OUTAGE_TRIES
            outcome.state = State.WAITING if again else State.FAILED
            return
        self._recorded(outcome, kept)

    def _packed(self, execution: Execution) -> bytes | None:
        result = execution.result
        if execution.claim.hook or result is EmptyData or result is None:
            return None  # what these hooks return is for nobody, as in Wagtail
        if isinstance(result, Error):
            result = Error({k: v for k, v in result.metadata.items() if k != "traceback"})
        try:
            packed: bytes = self.serializer.serialize(result)
        except CannotSerialize as error:
            logger.warning(
                "The result of %s is not kept: %s", str(execution.claim), one_line(error)
            )
            return None
        return packed

    def _note(self, signal: str, task: Task, *args: Any) -> None:
        """Bridge from Huey's signals: remember the last one that says how the attempt ended."""
        execution = self._thread.execution
        if execution is not None and task is execution.task:
            execution.note(signal, *args)

    # What Huey calls of the site's ------------------------------------------------------------

    def signal(self, *names: str) -> Callable[[F], F]:
        """Return a decorator for a receiver of Huey's signals."""
        return _guarding(super().signal(*names))

    def pre_execute(self, name: str | None = None) -> Callable[[F], F]:
        """Return a decorator for a function that Huey calls before each task."""
        return _guarding(super().pre_execute(name))

    def post_execute(self, name: str | None = None) -> Callable[[F], F]:
        """Return a decorator for a function that Huey calls after each task."""
        return _guarding(super().post_execute(name))

    def on_startup(self, name: str | None = None) -> Callable[[F], F]:
        """Return a decorator for a function that each thread of a worker calls as it starts."""
        return _guarding(super().on_startup(name))

    def on_shutdown(self, name: str | None = None) -> Callable[[F], F]:
        """Return a decorator for a function that each thread of a worker calls as it ends."""
        return _guarding(super().on_shutdown(name))

    def build_error_result(self, task: Task, exception: BaseException) -> dict[str, Any]:
        """Return what is kept of an error, whatever that does when it is asked for its text."""
        told = exception.metadata.get("error") if isinstance(exception, TaskException) else None
        return {
            "error": told or repr_of(exception),
            "retries": task.retries,
            "traceback": traceback_of(exception),
            "task_id": task.id,
        }

    # Results --------------------------------------------------------------------------------

    def put_result(self, key: str, data: Any) -> Any:
        execution = self._thread.execution
        if execution is not None and key == execution.task.id:
            execution.result = data
            return None
        try:
            return super().put_result(key, data)
        except CannotSerialize as error:
            logger.warning("The result of the task %s is not kept: %s", key, one_line(error))

    def get_raw(self, key: str, peek: bool = False) -> Any:
        execution = self._thread.execution
        if execution is not None and key == execution.task.id:
            result = execution.result
            return result if result is EmptyData else self.serializer.serialize(result)
        data = super().get_raw(key, peek)
        if data is not EmptyData or self.immediate:
            return data
        row = self.storage.ledger.ended(key)
        if row is None:
            return EmptyData
        if row.state == State.SUCCEEDED:
            return self.serializer.serialize(None) if row.result is None else bytes(row.result)
        if row.result is None:
            return EmptyData
        error = self.serializer.deserialize(row.result)
        return self.serializer.serialize(Error({**error.metadata, "traceback": row.traceback}))

    def is_revoked(
        self, task: Any, timestamp: datetime.datetime | None = None, peek: bool = True
    ) -> bool:
        # It may be an identifier, or a class of tasks.
        claim = task.claim if isinstance(task, QueuedTask) else None
        if claim is not None and not claim.revocations:
            return False
        revoked: bool = super().is_revoked(task, timestamp, peek)
        return revoked

    def delete(self, key: str) -> Any:
        execution = self._thread.execution
        if execution is not None and execution.has_returned and key == execution.task.revoke_id:
            return False  # Huey tidies up after each task; that would cost a commit each time
        return super().delete(key)


def _guarding(decorator: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return a decorator that has Huey call a function which raises an ``Exception`` if any."""

    def register(function: F) -> F:
        decorator(catching.Guarded(function))
        return function

    return register


def _named(task: Task | group | chord) -> str:
    """Return the name of what is enqueued, for an error; a group has none."""
    if isinstance(task, QueuedTask):
        return task.submission.function or task.definition.function
    return type(task).__name__


def _moment_of_attempt(task: QueuedTask) -> datetime.datetime:
    """Return what Huey is to take for the time: the database's, by which the task was claimed.

    The times in its message are those of the process that recorded it, whose clock may be wrong;
    whether it is due, and has expired, the claim has told.
    """
    assert task.claim is not None
    now = clock.database_now().replace(tzinfo=None)
    if task.eta is not None:
        task.eta = min(task.eta, now)
    if task.claim.is_expired is not None:
        task.expires_resolved = now - datetime.timedelta(days=1) if task.claim.is_expired else None
    return now


def _without_arguments(task: QueuedTask) -> QueuedTask:
    return type(task)(id=task.id, submission=Submission(context=Context()))


def _context_of(task: QueuedTask) -> Context:
    """Return what is to surround a task: what it was recorded with, or else the caller's context.

    What follows from a task, such as the next one of a pipeline, is surrounded by the same.
    """
    known = task.submission.context
    if known is not None:
        return known
    running = current_task.running()
    if running is not None and not running.is_called:
        return running.context.about(None)
    return Context.capture()


def _announce(outcome: Outcome, kept: bool) -> None:
    claim = outcome.claim
    if not kept:
        logger.warning("%s was given to another worker while it ran here.", str(claim))
        return
    arguments: dict[str, Any] = {"task": claim.info, "duration": outcome.duration}
    if outcome.state is State.SUCCEEDED:
        signals.announce(signals.succeeded, claim.sender, **arguments)
        return
    if outcome.put_off:
        signals.announce(signals.snoozed, claim.sender, **arguments, run_at=outcome.run_at)
        return
    signal = {
        State.FAILED: signals.failed,
        State.CANCELLED: signals.cancelled,
        State.EXPIRED: signals.expired,
    }.get(outcome.state, signals.retrying)
    signals.announce(signal, claim.sender, **arguments, error=outcome.error)


huey_log.connect()
installed.watch()

background: Final = TaskQueue()
"""The task queue of the site."""
