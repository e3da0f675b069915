"""The task queue: a Huey that enqueues through the ledger and executes through the ledger.

``background`` is the one instance of a site. All of Huey's public API works on it; what differs is
where the truth lies. A task is a row before a worker hears of it, it is claimed by an UPDATE, and
how it ended is written in one transaction with the next claim.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import inspect
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed
from django.db import DatabaseError, InterfaceError, router, transaction
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from huey import signals as huey_signals
from huey.api import Huey, Task, TaskWrapper, chord, group
from huey.constants import EmptyData
from huey.exceptions import CancelExecution, HueyException
from huey.storage import BaseStorage
from huey.utils import Error, utcnow
from wagtail.log_actions import get_active_log_context

from wagtail_async_hooks import conf, serializer, signals
from wagtail_async_hooks.exceptions import CannotSerialize, TargetGone, UnknownTask
from wagtail_async_hooks.records import Claim, Outcome, State
from wagtail_async_hooks.storage.database import DatabaseStorage, Envelope
from wagtail_async_hooks.storage.resolving import resolve

logger = logging.getLogger(__name__)

UNKNOWN_TASK_DELAYS: Final = (10, 60, 300, 900, 3600)
"""Seconds after which a task that no code here knows is tried again: a rolling deploy takes
minutes, and a task that is still unknown after the last one fails."""

FOLLOWUP_TRIES: Final = 3
"""How often a task is run whose follow-ups (pipelines, chords) could not be recorded."""

_STATES: Final = {
    huey_signals.SIGNAL_COMPLETE: State.SUCCEEDED,
    huey_signals.SIGNAL_CANCELED: State.CANCELLED,
    huey_signals.SIGNAL_REVOKED: State.CANCELLED,
    huey_signals.SIGNAL_EXPIRED: State.EXPIRED,
    huey_signals.SIGNAL_INTERRUPTED: State.WAITING,
}
"""What Huey's signals about a task mean for its row; a task that none of them names has failed."""

_REASONS: Final = {
    huey_signals.SIGNAL_CANCELED: "it was cancelled",
    huey_signals.SIGNAL_REVOKED: "it was revoked",
    huey_signals.SIGNAL_EXPIRED: "it expired before a worker came to it",
}


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
            with self.huey.calling():
                try:
                    args, kwargs = serializer.resolve(args), serializer.resolve(kwargs)
                except TargetGone as gone:
                    raise CancelExecution(str(gone), retry=False) from gone
                return call(*args, **kwargs)

        return run


class Execution:
    """One attempt at a claimed task, while it goes on in this thread."""

    def __init__(self, task: Task, claim: Claim) -> None:
        self.task = task
        self.claim = claim
        self.signal = ""
        self.exception: BaseException | None = None
        self.result: Any = EmptyData
        self.again_at: datetime.datetime | None = None
        self.runs_again = False
        self.repeats = False
        self.has_returned = False
        self.transaction: transaction.Atomic | None = None

    def again(self) -> None:
        """Huey asks to run the task once more, at its ``eta`` or as soon as possible."""
        self.runs_again = True
        self.again_at = self.task.eta

    def broke_off(self, error: BaseException) -> None:
        """Something that Huey does not handle ended the attempt; what followed is undone.

        If the function had returned, and the database then went away, all is done once more.
        """
        self.exception, self.signal, self.runs_again = error, huey_signals.SIGNAL_ERROR, False
        lost = self.has_returned and isinstance(error, DatabaseError | InterfaceError)
        self.repeats = lost and self.claim.attempt < FOLLOWUP_TRIES
        if self.transaction is not None:
            self.transaction.__exit__(type(error), error, error.__traceback__)
            self.transaction = None

    def outcome(self, duration: float) -> Outcome:
        """Return what became of the attempt, from what Huey said of it."""
        outcome = Outcome(self.claim, _STATES.get(self.signal, State.FAILED), duration=duration)
        if outcome.state is not State.SUCCEEDED:
            outcome.error = _REASONS.get(self.signal, "")
        if self.exception is not None:
            describe(self.exception, outcome)
        if self.runs_again:
            outcome.state = State.SCHEDULED if _is_later(self.again_at) else State.WAITING
            outcome.run_at = _aware(self.again_at)
        elif self.repeats:
            outcome.state = State.WAITING
        return outcome


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
        if not self.immediate and _is_later(task.eta):
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
        row = apps.get_model("wagtail_async_hooks", "BackgroundTask")(
            task_id=task.id,
            name=f"{type(task).__module__}.{type(task).__name__}",
            hook=getattr(task, "hook", ""),
            function=task.function,
            message=message,
            priority=task.priority or 0,
            state=State.SCHEDULED if _is_later(task.eta) else State.WAITING,
            run_at=_aware(task.eta),
            enqueued_at=timezone.now(),
            user_id=_user_key(task),
            **_subject(task),
        )
        return Envelope.around(message, row)

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
            claim = self._step(worker, hint, claim=True)
            if claim is None and hint is None:
                return None
            if claim is not None and (task := self._open(claim)) is not None:
                return task

    def settle(self) -> None:
        """Record how this thread's last task ended, if that is not done yet."""
        if self._thread.pending is not None:
            self._step(None, None, claim=False)

    def _step(self, worker: int | None, hint: int | None, *, claim: bool) -> Claim | None:
        outcome = self._thread.pending
        kept: bool
        claimed: Claim | None
        kept, claimed = self.storage.ledger.step(outcome, worker, hint, claim=claim)
        self._thread.pending = None
        if outcome is not None:
            _announce(outcome, kept)
        return claimed

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
        try:
            self._conclude(execution, time.monotonic() - begun)
        except Exception as error:  # ours: let it fail the task, and not leave it running for ever
            logger.exception("What became of %s cannot be recorded.", execution.claim)
            self._thread.pending = describe(error, Outcome(execution.claim, State.FAILED))
        return value

    def calling(self) -> _Calling:
        """Return the context in which a task's function is called."""
        return _Calling(self._thread.execution)

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
            with _entered(followups):
                kept, _ = self.storage.ledger.step(outcome, None, claim=False)
                if not kept:  # somebody else runs it meanwhile, and will see to what follows
                    transaction.set_rollback(True, using=self.storage.ledger.database())
        except Exception as error:
            logger.exception("What follows from %s could not be recorded.", outcome.claim)
            describe(error, outcome)
            again = outcome.claim.attempt < FOLLOWUP_TRIES
            outcome.state = State.WAITING if again else State.FAILED
            return
        self._thread.pending = None
        _announce(outcome, kept)

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
        if execution is not None and task is execution.task and signal in _STATES:
            execution.signal = signal

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


class _Calling:
    """While a task's function runs; afterwards, what Huey does belongs to the task's outcome."""

    def __init__(self, execution: Execution | None) -> None:
        self._execution = execution
        self._alias = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
        self._savepoint: transaction.Atomic | None = None

    def __enter__(self) -> None:
        if self._execution is None and transaction.get_connection(self._alias).in_atomic_block:
            # Immediate mode, within an editor's transaction: an error must not break that.
            self._savepoint = transaction.atomic(using=self._alias)
            self._savepoint.__enter__()

    def __exit__(self, kind: Any, exception: BaseException | None, trace: Any) -> None:
        if self._savepoint is not None:
            self._savepoint.__exit__(kind, exception, trace)
        execution = self._execution
        if execution is None:
            return
        execution.exception = exception
        execution.has_returned = True
        task = execution.task
        if task.on_complete or task.on_error or task.chord_config:
            execution.transaction = transaction.atomic(using=self._alias)
            execution.transaction.__enter__()


@contextlib.contextmanager
def _entered(block: transaction.Atomic) -> Iterator[None]:
    """Leave an atomic block that was entered elsewhere, as ``with`` would."""
    try:
        yield
    except BaseException as error:
        block.__exit__(type(error), error, error.__traceback__)
        raise
    block.__exit__(None, None, None)


def describe(error: BaseException, outcome: Outcome) -> Outcome:
    """Write into an outcome what went wrong: in one line, by type, and with the traceback."""
    outcome.error = " ".join(str(error).split()) or type(error).__name__
    outcome.error_type = f"{type(error).__module__}.{type(error).__qualname__}"
    outcome.traceback = "".join(traceback.format_exception(error))
    return outcome


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


def _is_later(moment: datetime.datetime | None) -> bool:
    """Tell whether one of Huey's times is still to come."""
    return moment is not None and moment > utcnow()


def _aware(moment: datetime.datetime | None) -> datetime.datetime | None:
    """Huey's times are naive and in UTC; Django's follow ``USE_TZ``."""
    if moment is None:
        return None
    aware = moment.replace(tzinfo=datetime.UTC)
    return aware if settings.USE_TZ else timezone.make_naive(aware)


def _arguments(task: Task) -> tuple[Any, ...]:
    """Return all arguments; Huey notices only when the task runs that they are no tuple."""
    return (*task.args, *task.kwargs.values()) if isinstance(task.args, tuple) else ()


def _subject(task: Task) -> dict[str, Any]:
    """Return the columns that say which object a task is about: its first model argument."""
    for value in _arguments(task):
        found = value[0] if isinstance(value, list | tuple) and value else value
        if not isinstance(found, Model):
            found = getattr(found, "instance", None)  # a snapshot of a deleted object
        if isinstance(found, Model):
            return {"subject_type": _content_type(found), "subject_id": str(found.pk or "")}
    return {}


def _content_type(instance: Model) -> Model:
    """Return the content type; of a page that was loaded as a plain one, that of its own class."""
    known: Model | None = getattr(instance, "cached_content_type", None)
    types: Any = apps.get_model("contenttypes", "ContentType")._default_manager
    return known or types.get_for_model(instance)


def _user_key(task: Task) -> Any:
    """Return the key of who triggered a task: the request's user, else Wagtail's log context's."""
    for value in _arguments(task):
        if isinstance(value, HttpRequest):
            return getattr(getattr(value, "user", None), "pk", None)
    return getattr(get_active_log_context().user, "pk", None)


background: Final = TaskQueue()
"""The task queue of the site."""
