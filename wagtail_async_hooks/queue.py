"""The task queue: a Huey that enqueues through the ledger and executes through the ledger.

``background`` is the one instance of a site. All of Huey's public API works on it; what differs is
where the truth lies. A task is a row before a worker hears of it, it is claimed by an UPDATE, and
how it ended is written in one transaction with the next claim.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.core.signals import setting_changed
from django.db import transaction
from django.utils import timezone
from huey import signals as huey_signals
from huey.api import Huey, Task, TaskWrapper, chord, group
from huey.constants import EmptyData
from huey.exceptions import CancelExecution, HueyException
from huey.storage import BaseStorage
from huey.utils import Error, utcnow

from wagtail_async_hooks import conf, serializer, signals
from wagtail_async_hooks.exceptions import CannotSerialize, TargetGone, UnknownTask
from wagtail_async_hooks.execution import OUTAGE_TRIES, Calling, Execution, describe, entered
from wagtail_async_hooks.records import Claim, Outcome, State
from wagtail_async_hooks.rows import is_later, make_row
from wagtail_async_hooks.storage.database import DatabaseStorage, Envelope
from wagtail_async_hooks.storage.resolving import resolve

logger = logging.getLogger(__name__)

UNKNOWN_TASK_DELAYS: Final = (10, 60, 300, 900, 3600)
"""Seconds after which a task that no code here knows is tried again: a rolling deploy takes
minutes, and a task that is still unknown after the last one fails."""


class BackgroundTaskWrapper(TaskWrapper):  # type: ignore[misc]  # Huey has no types
    """What ``@background.task()`` makes of a function."""

    huey: TaskQueue

    def create_task(
        self,
        func: Callable[..., Any],
        context: bool = False,
        name: str | None = None,
        **options: Any,
    ) -> type[Task]:
        """Make the task's class; it resolves the arguments, then calls the function."""
        options.setdefault("function", f"{func.__module__}.{func.__qualname__}")
        made: type[Task] = super().create_task(self._resolving(func), context, name, **options)
        return made

    def _resolving(self, func: Callable[..., Any]) -> Callable[..., Any]:
        call = async_to_sync(func) if inspect.iscoroutinefunction(func) else func

        @functools.wraps(func, updated=())  # not the mark of a coroutine function
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.huey.calling() as calling:
                try:
                    args, kwargs = serializer.resolve(args), serializer.resolve(kwargs)
                except TargetGone as gone:
                    raise CancelExecution(str(gone), retry=False) from gone
                calling.begin()
                return call(*args, **kwargs)

        return run


class _ThreadState(threading.local):
    """What a thread is doing: the attempt under way, and the outcome not yet recorded."""

    execution: Execution | None = None
    pending: Outcome | None = None


class TaskQueue(Huey):  # type: ignore[misc]  # Huey has no types
    """A Huey whose tasks live in the ledger; immediate where ``BACKEND`` is blank.

    :param name: keeps the keys of several queues in one storage apart.
    """

    storage: DatabaseStorage

    def __init__(self, name: str = "wagtail_async_hooks") -> None:
        self._thread = _ThreadState()
        self._held: set[tuple[int, int]] = set()
        self._suspect = threading.Lock()
        super().__init__(
            name,
            store_none=True,  # costs nothing: the result is a column of the row that is written
            store_intermediate_errors=False,
            immediate=not conf.current().backend,
            serializer=serializer.SignedJSONSerializer(),
        )
        self.signal()(self._note)
        setting_changed.connect(self._settings_changed, dispatch_uid=f"{name}.settings")

    def get_task_wrapper_class(self) -> type[TaskWrapper]:
        return BackgroundTaskWrapper

    def get_storage(self, **kwargs: Any) -> BaseStorage:
        return resolve(conf.current(), self.name)

    def _settings_changed(self, *, setting: str, **kwargs: Any) -> None:
        if setting == conf.SETTING:
            self.immediate = not conf.current().backend
            self.storage = self.create_storage()

    # Enqueue --------------------------------------------------------------------------------

    def enqueue(self, task: Task | group | chord) -> Any:
        """Record a task, in the caller's transaction; see Huey for the result.

        :raises CannotSerialize: if an argument cannot be carried; nothing was recorded.
        """
        execution = self._thread.execution
        if isinstance(task, group | chord):
            return super().enqueue(task)
        if self.immediate:
            task = self.deserialize_task(self.serialize_task(task))
            task.eta = None  # delays and retries run at once
        elif execution is not None and task is execution.task:
            execution.again()
            return self._emit(huey_signals.SIGNAL_ENQUEUED, task)
        result = super().enqueue(task)
        if not self.immediate and is_later(task.eta):
            self._emit(huey_signals.SIGNAL_SCHEDULED, task)
        return result

    def add_schedule(self, task: Task) -> None:
        """Record a task for its time."""
        execution = self._thread.execution
        if self.immediate:
            self.enqueue(task)
        elif execution is not None and task is execution.task:
            execution.again()
            self._emit(huey_signals.SIGNAL_SCHEDULED, task)
        else:
            super().add_schedule(task)

    def serialize_task(self, task: Task) -> Envelope:
        """Return the message, together with the row for the ledger."""
        message = super().serialize_task(task)
        if self.immediate:
            return Envelope(message)
        return Envelope.around(message, make_row(task, message))

    def deserialize_task(self, data: bytes) -> Task:
        """Return the task of a message.

        :raises MessageRefused: if this site did not write the message.
        :raises UnknownTask: if no such task is registered here.
        """
        try:
            return super().deserialize_task(data)
        except HueyException as error:
            raise UnknownTask(
                f"{error}; the code that enqueued it is not what this worker runs, or its module "
                "is not imported by a wagtail_hooks.py or tasks.py."
            ) from error

    # Claim ----------------------------------------------------------------------------------

    def dequeue(self) -> Task | None:
        return super().dequeue() if self.immediate else self.next()

    def next(self, worker: int | None = None) -> Task | None:
        """Record how this thread's last task ended and claim the next one, in one transaction.

        :param worker: primary key of the worker's row.
        :returns: the task, or ``None`` if nothing waits.
        """
        while True:
            hint = self.storage.hint()
            claim = self._claim(worker, hint)
            if claim is None and hint is None:
                return None
            if claim is not None and (task := self._open(claim)) is not None:
                return task

    def holds(self, pk: int, attempt: int) -> bool:
        """Tell whether this process makes an attempt at a task, or has yet to record its end."""
        return (pk, attempt) in self._held

    def _claim(self, worker: int | None, hint: int | None) -> Claim | None:
        """Claim the next task; one that a worker has died of only if no such one runs here.

        Otherwise those that happened to run beside a task that kills its workers would run beside
        it again, and again, and would be taken for murderers as well.
        """
        suspects = self._suspect.acquire(blocking=False)
        claim = None
        try:
            claim = self._step(worker, hint, claim=True, suspects=suspects)
        finally:
            if suspects and (claim is None or not claim.deaths):
                self._suspect.release()
        return claim

    def _let_go(self, claim: Claim) -> None:
        """The attempt at a task has ended."""
        if claim.deaths and self._suspect.locked():
            self._suspect.release()

    def settle(self) -> None:
        """Record how this thread's last task ended, if that is not done yet."""
        if self._thread.pending is not None:
            self._step(None, None, claim=False)

    def _step(
        self, worker: int | None, hint: int | None, *, claim: bool, suspects: bool = True
    ) -> Claim | None:
        outcome = self._thread.pending
        kept: bool
        claimed: Claim | None
        kept, claimed = self.storage.ledger.step(
            outcome, worker, hint, claim=claim, suspects=suspects
        )
        if claimed is not None:
            self._held.add((claimed.pk, claimed.attempt))
        if outcome is not None:
            self._recorded(outcome, kept)
        return claimed

    def _recorded(self, outcome: Outcome, kept: bool) -> None:
        self._thread.pending = None
        self._held.discard((outcome.claim.pk, outcome.claim.attempt))
        _announce(outcome, kept)

    def _open(self, claim: Claim) -> Task | None:
        """Return the claimed task, or see to it that a message which cannot be run is kept."""
        try:
            task = self.deserialize_task(claim.message)
        except Exception as error:
            outcome = describe(error, Outcome(claim, State.FAILED))
            tries = claim.attempt - 1
            if isinstance(error, UnknownTask) and tries < len(UNKNOWN_TASK_DELAYS):
                outcome.state = State.SCHEDULED
                delay = datetime.timedelta(seconds=UNKNOWN_TASK_DELAYS[tries])
                outcome.run_at = timezone.now() + delay
            self._thread.pending = outcome
            self._let_go(claim)
            return None
        task.claim = claim
        return task

    def read_schedule(self, timestamp: datetime.datetime | None = None) -> list[Task]:
        """Let what is due wait for a worker; nothing is left for a scheduler to enqueue."""
        if self.immediate:
            due: list[Task] = super().read_schedule(timestamp)
            return due
        self.storage.announce(self.storage.ledger.promote_due())
        return []

    # Execute --------------------------------------------------------------------------------

    def execute(self, task: Task, timestamp: datetime.datetime | None = None) -> Any:
        """Run a task and record how it ended."""
        if getattr(task, "claim", None) is None:
            return super().execute(task, timestamp)
        value = self.attempt(task, timestamp)
        self.settle()
        return value

    def attempt(self, task: Task, timestamp: datetime.datetime | None = None) -> Any:
        """Run a claimed task; :meth:`next` or :meth:`settle` records how it ended."""
        execution = Execution(task, task.claim)
        before, self._thread.execution = self._thread.execution, execution
        begun = time.monotonic()
        value = None
        signals.announce(signals.started, execution.claim.sender, task=execution.claim)
        try:
            # By the worker's clock a task may not be due yet that is due by the database's.
            now = timestamp or utcnow()
            value = super().execute(task, now if task.eta is None else max(now, task.eta))
        except (Exception, SystemExit) as error:
            # Either sys.exit() in the function, or what follows from the task cannot be recorded.
            logger.error("%s broke off.", execution.claim, exc_info=True)
            execution.broke_off(error)
        finally:
            self._thread.execution = before
            self._let_go(execution.claim)
        try:
            self._conclude(execution, time.monotonic() - begun)
        except Exception as error:  # ours: let it fail the task, and not leave it running for ever
            logger.exception("What became of %s cannot be recorded.", execution.claim)
            self._thread.pending = describe(error, Outcome(execution.claim, State.FAILED))
        return value

    def calling(self) -> Calling:
        """Return the context in which a task's function is called."""
        return Calling(self._thread.execution)

    def _conclude(self, execution: Execution, duration: float) -> None:
        outcome = execution.outcome(duration)
        if outcome.state.is_final:
            outcome.result = self._packed(execution)
        elif execution.runs_again:
            outcome.message = super().serialize_task(execution.task)
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
        except Exception as error:
            logger.exception("What follows from %s could not be recorded.", outcome.claim)
            describe(error, outcome)
            again = outcome.claim.attempt < OUTAGE_TRIES
            outcome.state = State.WAITING if again else State.FAILED
            return
        self._recorded(outcome, kept)

    def _packed(self, execution: Execution) -> bytes | None:
        result = execution.result
        if execution.claim.hook or result is EmptyData:
            return None  # what these hooks return is for nobody, as in Wagtail
        if isinstance(result, Error):
            result = Error({k: v for k, v in result.metadata.items() if k != "traceback"})
        try:
            packed: bytes = self.serializer.serialize(result)
        except CannotSerialize as error:
            logger.warning("The result of %s is not kept: %s", execution.claim, error)
            return None
        return packed

    def _note(self, signal: str, task: Task, *args: Any) -> None:
        """Bridge from Huey's signals: remember the last one that says how the attempt ended."""
        execution = self._thread.execution
        if execution is not None and task is execution.task:
            execution.note(signal)

    # Results --------------------------------------------------------------------------------

    def put_result(self, key: str, data: Any) -> Any:
        execution = self._thread.execution
        if execution is not None and key == execution.task.id:
            execution.result = data
            return None
        try:
            return super().put_result(key, data)
        except CannotSerialize as error:
            logger.warning("The result of the task %s is not kept: %s", key, error)

    def get_raw(self, key: str, peek: bool = False) -> Any:
        execution = self._thread.execution
        if execution is not None and key == execution.task.id:
            result = execution.result
            return result if result is EmptyData else self.serializer.serialize(result)
        data = super().get_raw(key, peek)
        if data is not EmptyData or self.immediate:
            return data
        row = self.storage.ledger.ended(key)
        if row is None or row.result is None:
            return EmptyData
        if row.state == State.SUCCEEDED:
            return bytes(row.result)
        error = self.serializer.deserialize(row.result)
        return self.serializer.serialize(Error({**error.metadata, "traceback": row.traceback}))

    def is_revoked(
        self, task: Any, timestamp: datetime.datetime | None = None, peek: bool = True
    ) -> bool:
        claim = getattr(task, "claim", None)
        if claim is not None and not claim.revocations:
            return False
        revoked: bool = super().is_revoked(task, timestamp, peek)
        return revoked

    def delete(self, key: str) -> Any:
        execution = self._thread.execution
        if execution is not None and execution.has_returned and key == execution.task.revoke_id:
            return False  # Huey tidies up after each task; that would cost a commit each time
        return super().delete(key)


def _announce(outcome: Outcome, kept: bool) -> None:
    claim = outcome.claim
    if not kept:
        logger.warning("%s was given to another worker while it ran here.", claim)
        return
    arguments: dict[str, Any] = {"task": claim, "duration": outcome.duration}
    if outcome.state is State.SUCCEEDED:
        signals.announce(signals.succeeded, claim.sender, **arguments)
        return
    signal = {
        State.FAILED: signals.failed,
        State.CANCELLED: signals.cancelled,
        State.EXPIRED: signals.expired,
    }.get(outcome.state, signals.retrying)
    signals.announce(signal, claim.sender, **arguments, error=outcome.error)


background: Final = TaskQueue()
"""The task queue of the site."""
