"""The task queue: a Huey that enqueues through the ledger and executes through the ledger.

``background`` is the one instance of a site. All of Huey's public API works on it; what differs is
where the truth lies. A task is a row before a worker hears of it, it is claimed by an UPDATE, and
how it ended is written in one transaction with the next claim.
"""

from __future__ import annotations

import contextvars
import datetime
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from django.core.signals import setting_changed
from huey import signals as huey_signals
from huey.api import Huey, Task, TaskWrapper, chord, group
from huey.constants import EmptyData
from huey.exceptions import HueyException, TaskException
from huey.storage import BaseStorage
from huey.utils import Error

from wagtail_async_hooks import conf, current_task, observers, signals
from wagtail_async_hooks.conf import installed
from wagtail_async_hooks.current_task import Running
from wagtail_async_hooks.exceptions import CalledInCoroutine, CannotSerialize
from wagtail_async_hooks.queue import connection_guard, huey_log, keys
from wagtail_async_hooks.queue import retries as retrying
from wagtail_async_hooks.queue.attempt import NOTED, Attempt, FunctionCall, note
from wagtail_async_hooks.queue.claims import Claims
from wagtail_async_hooks.queue.conclusion import Conclusion
from wagtail_async_hooks.queue.decorators import DecoratingHuey
from wagtail_async_hooks.queue.row import make_row
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.queue.task_messages import TaskMessages, context_of
from wagtail_async_hooks.queue.wrapper import BackgroundTaskWrapper
from wagtail_async_hooks.serialization import messages
from wagtail_async_hooks.serialization.context import fresh
from wagtail_async_hooks.storage.database import DatabaseStorage, Envelope
from wagtail_async_hooks.storage.factory import resolve
from wagtail_async_hooks.types import Bounds, State
from wagtail_async_hooks.utils import catching, coroutines, forks
from wagtail_async_hooks.utils.database import clock, transactions
from wagtail_async_hooks.utils.errors import report, repr_of, traceback_of
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.utils.time import is_later

logger = logging.getLogger(__name__)


class _ThreadState(threading.local):
    """What a thread is doing."""

    attempt: Attempt | None = None
    is_eta_named: bool = False


class TaskQueue(DecoratingHuey):
    """A Huey whose tasks live in the ledger; immediate where ``BACKEND`` is blank.

    :param name: keeps the keys of several queues in one storage apart.
    """

    storage: DatabaseStorage

    bounds: Bounds
    """What claims keep to: limits, and in a worker also its queues, and what is paused."""

    def __init__(self, name: str = "wagtail_async_hooks") -> None:
        self._thread = _ThreadState()
        self.bounds = Bounds(limits=conf.current().limits)
        super().__init__(
            name,
            store_none=True,  # costs nothing: a task that has succeeded and has no result says so
            store_intermediate_errors=False,
            immediate=not conf.current().backend,
            serializer=messages.SignedJSONSerializer(),
        )
        self.messages = TaskMessages(self)
        self.claims = Claims(self, self.messages)
        self._conclusion = Conclusion(self.claims, self.messages)
        Huey.signal(self, *NOTED)(self._note)  # unguarded: an error of it breaks the attempt off
        setting_changed.connect(self._settings_changed, dispatch_uid=f"{name}.settings")

    def get_task_wrapper_class(self) -> type[TaskWrapper]:
        return BackgroundTaskWrapper

    def get_storage(self, **kwargs: Any) -> BaseStorage:
        return resolve(conf.current(), self.name)

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
        """Enqueue a task, in the caller's transaction; see Huey for the result.

        :raises CannotSerialize: if an argument cannot be serialized; nothing was enqueued.
        :raises CalledInCoroutine: if Django allows no statements here; nothing was enqueued.
        """
        if not self.immediate and coroutines.refuses_statements():
            raise CalledInCoroutine(_named(task))
        attempt = self._thread.attempt
        is_eta_named, self._thread.is_eta_named = self._thread.is_eta_named, False
        if isinstance(task, group | chord):
            with self.gathering():
                return super().enqueue(task)
        self._require_own(task)
        submission = task.submission
        if is_eta_named:
            submission.is_eta_named = True
        if not self.immediate and attempt is not None and task is attempt.task:
            attempt.again()
            return self._emit(huey_signals.SIGNAL_ENQUEUED, task)
        with observers.enqueueing(task):
            return self._enqueue(task)

    def _enqueue(self, task: QueuedTask) -> Any:
        if self.immediate:
            tries = retrying.immediate_tries(task)
            if tries > retrying.IMMEDIATE_TRIES:
                return None
            task = self.deserialize_task(self.serialize_task(task))
            task.eta = None  # delays and retries run at once
            task.tries = tries
            if tries == retrying.IMMEDIATE_TRIES:
                task.retries = 0
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
        """Enqueue many tasks, all of them or none, by few INSERTs in the caller's transaction.

        :param tasks: such as ``my_task.s(1, 2)``; groups and chords as well.
        :returns: the result of each, as of :meth:`enqueue`.
        :raises CannotSerialize: if an argument cannot be serialized; nothing was enqueued.
        :raises TypeError: if something is no task; nothing was enqueued.
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
        """Return the context in which all is enqueued at once, at its end."""
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
        """Enqueue a task for its time."""
        attempt = self._thread.attempt
        if self.immediate:
            self.enqueue(task)
        elif attempt is not None and task is attempt.task:
            attempt.again()
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
        context = context_of(task)
        if (carried := observers.carry()) is not context.carried:
            context = context._replace(carried=carried)
        message = self.messages.pack(task, context)
        if self.immediate:
            return Envelope(message)
        return Envelope.around(message, make_row(task, message, context))

    def deserialize_task(self, data: bytes) -> QueuedTask:
        """Return the task of a message.

        :raises MessageRefused: if this site did not write the message.
        :raises UnknownTask: if no such task is registered here.
        """
        return self.messages.unpack(data)

    # Claim ----------------------------------------------------------------------------------

    def dequeue(self) -> QueuedTask | None:
        return super().dequeue() if self.immediate else self.next()

    def next(self, worker: int | None = None) -> QueuedTask | None:
        """Record how this thread's last task ended and claim the next one, in one transaction.

        :param worker: primary key of the worker's row.
        :returns: the task, or ``None`` if nothing waits.
        """
        return self.claims.next(worker)

    def settle(self) -> None:
        """Record how this thread's last task ended, if that is not done yet."""
        self.claims.settle()

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
        running = Running(task, context_of(task), tries=task.tries)
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
        with current_task.Entered(running), observers.attempting(running):
            return super().execute(running.task, timestamp)

    def attempt(self, task: QueuedTask, timestamp: datetime.datetime | None = None) -> Any:
        """Run a claimed task; :meth:`next` or :meth:`settle` records how it ended.

        What stops the process, such as Ctrl-C in its main thread, is raised again once the task is
        handed back.
        """
        now = _moment_of_attempt(task) if timestamp is None else timestamp
        since = forks.generation()
        assert task.claim is not None
        attempt = Attempt(task, context_of(task), task.claim)
        before, self._thread.attempt = self._thread.attempt, attempt
        begun = time.monotonic()
        value = None
        try:
            signals.announce(signals.started, attempt.claim.sender, task=attempt.claim.info)
            due = now if task.eta is None else max(now, task.eta)
            value = fresh().run(self._executed, attempt, due)
        except BaseException as error:
            # What Huey does not handle: mostly, what follows from the task cannot be enqueued.
            forks.end_if_forked(since, attempt.name, error)
            if catching.stops(error):
                attempt.stopped_by = error
            else:
                report(logger, error, "%s broke off.", str(attempt.claim))
                attempt.broke_off(error)
        finally:
            self._thread.attempt = before
            self.claims.let_go(attempt.claim)
        forks.end_if_forked(since, attempt.name)
        if attempt.stopped_by is not None:
            self._conclusion.hand_back(attempt, attempt.stopped_by)
        self._conclusion.conclude(attempt, time.monotonic() - begun)
        return value

    def calling(self) -> FunctionCall:
        """Return the context in which a task's function is called."""
        return FunctionCall(self._thread.attempt)

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """While this thread does something else than to make the attempt that it is in."""
        attempt, self._thread.attempt = self._thread.attempt, None
        try:
            with connection_guard.set_aside(
                lambda: "a task" if attempt is None else attempt.name()
            ):
                yield
        finally:
            self._thread.attempt = attempt

    def _note(self, signal: str, task: Task, *args: Any) -> None:
        """Bridge from Huey's signals: remember the last one that says how the attempt ended."""
        attempt = self._thread.attempt
        if attempt is not None and task is attempt.task:
            attempt.note(signal, *args)
        running = current_task.running() if self.immediate else None
        if running is not None and task is running.task:
            note(running, signal)

    # Results --------------------------------------------------------------------------------

    def build_error_result(self, task: Task, exception: BaseException) -> dict[str, Any]:
        """Return what is kept of an error, whatever that does when it is asked for its text."""
        told = exception.metadata.get("error") if isinstance(exception, TaskException) else None
        return {
            "error": told or repr_of(exception),
            "retries": task.retries,
            "traceback": traceback_of(exception),
            "task_id": task.id,
        }

    def put_result(self, key: str, data: Any) -> Any:
        attempt = self._thread.attempt
        if attempt is not None and key == attempt.task.id:
            attempt.result = data
            return None
        try:
            return super().put_result(key, data)
        except CannotSerialize as error:
            logger.warning("The result of the task %s is not kept: %s", key, one_line(error))

    def get_raw(self, key: str, peek: bool = False) -> Any:
        attempt = self._thread.attempt
        if attempt is not None and key == attempt.task.id:
            result = attempt.result
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
        attempt = self._thread.attempt
        if attempt is not None and attempt.has_returned and key == attempt.task.revoke_id:
            return False  # Huey tidies up after each task; that would cost a commit each time
        return super().delete(key)


def _named(task: Task | group | chord) -> str:
    """Return the name of what is enqueued, for an error; a group has none."""
    if isinstance(task, QueuedTask):
        return task.submission.function or task.definition.function
    return type(task).__name__


_ANY_TIME: Final = datetime.datetime(2000, 1, 1)  # Huey's are naive
"""What Huey is to take for the time where nothing depends on it; to find it out takes longer."""


def _moment_of_attempt(task: QueuedTask) -> datetime.datetime:
    """Return what Huey is to take for the time: the database's, by which the task was claimed.

    The times in its message are those of the process that enqueued it, whose clock may be wrong;
    whether it is due, and has expired, the claim has told.
    """
    claim = task.claim
    assert claim is not None
    never_expires = task.expires_resolved is None and claim.is_expired is None
    if task.eta is None and never_expires and not claim.revocations:
        return _ANY_TIME
    now = clock.database_now().replace(tzinfo=None)
    if task.eta is not None:
        task.eta = min(task.eta, now)
    if claim.is_expired is not None:
        task.expires_resolved = now - datetime.timedelta(days=1) if claim.is_expired else None
    return now


huey_log.connect()
installed.watch()

background: Final = TaskQueue()
"""The task queue of the site."""
