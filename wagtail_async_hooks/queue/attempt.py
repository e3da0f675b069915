"""One attempt at a claimed task: from Huey's signals about it to the outcome for the ledger."""

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.apps import apps
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connections,
    router,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from huey import signals as huey_signals
from huey.constants import EmptyData
from huey.exceptions import CancelExecution
from huey.utils import utcnow

from wagtail_async_hooks import current_task
from wagtail_async_hooks.current_task import Running
from wagtail_async_hooks.exceptions import GivenUp, TransactionLeftOpen
from wagtail_async_hooks.queue import connection_guard, retries, titles
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.serialization.context import Context, apart
from wagtail_async_hooks.types import Claim, Outcome, State
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.catching import as_exception, is_exception, original, stops
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.database.opened import (
    is_any_in_atomic_block,
    is_any_lost,
    tells_of_loss,
)
from wagtail_async_hooks.utils.errors import class_of, place_of, text_of, traceback_of
from wagtail_async_hooks.utils.redaction import without_secrets
from wagtail_async_hooks.utils.text import one_line, storable, visible

OUTAGE_TRIES: Final = 3
"""How often a task is run that an outage of the database cut off, or whose follow-ups (pipelines,
chords) could not be enqueued."""

_STATES: Final = {
    huey_signals.SIGNAL_COMPLETE: State.SUCCEEDED,
    huey_signals.SIGNAL_CANCELED: State.CANCELLED,
    huey_signals.SIGNAL_REVOKED: State.CANCELLED,
    huey_signals.SIGNAL_EXPIRED: State.EXPIRED,
    huey_signals.SIGNAL_INTERRUPTED: State.WAITING,
}
"""What Huey's signals about a task mean for its row; a task that none of them names has failed."""

NOTED: Final = (*_STATES, huey_signals.SIGNAL_ERROR, huey_signals.SIGNAL_RETRYING)
"""The signals of Huey's that say how an attempt ended."""

_REASONS: Final = {
    huey_signals.SIGNAL_CANCELED: "it was cancelled",
    huey_signals.SIGNAL_REVOKED: "it was revoked",
    huey_signals.SIGNAL_EXPIRED: "it expired before a worker came to it",
}


class Attempt(Running):
    """One attempt at a claimed task, while it goes on in this thread."""

    claim: Claim

    # On the class: of most attempts they stay as they are here.
    result: Any = EmptyData
    again_at: datetime.datetime | None = None
    again_in: float | None = None
    repeats = False
    was_called = False
    has_returned = False
    transaction: transaction.Atomic | None = None

    def __init__(self, task: QueuedTask, context: Context, claim: Claim) -> None:
        super().__init__(task, context, claim)
        self.due_at: datetime.datetime | None = task.eta

    def name(self) -> str:
        """Return what people call the attempt."""
        return str(self.claim)

    def note(self, signal: str, error: BaseException | None = None) -> None:
        """Remember the last of Huey's signals that says how the attempt ended.

        :param error: what went wrong, also if that was before the function was called.
        """
        if signal in _STATES:
            self.signal = signal
        self.exception = self.exception or error

    def again(self) -> None:
        """Huey asks to run the task once more, at its ``eta`` or as soon as possible."""
        self.runs_again = True
        # It may have been begun before its time, in the place of others that it was merged with:
        # an eta that is still the same is no request for a delay.
        asked = self.task.eta != self.due_at
        if asked and retries.names_time(self.exception):
            self.task.eta -= clock.database_now() - clock.now()  # as our clock will show it
        tries = self.claim.counted
        self.again_in = None
        self.again_at = retries.again_at(self.task, self.exception, tries, asked=asked)
        if self.again_at is not None:
            # Our clock may be wrong: what is recorded is the delay.
            self.again_in = (self.again_at - utcnow()).total_seconds()
            self.task.eta = self.again_at

    def broke_off(self, error: BaseException) -> None:
        """Something that Huey does not handle ended the attempt; what followed is undone.

        If the database went away before the function was called, or after it had returned, all is
        done once more.
        """
        lost = issubclass(type(error), DatabaseError | InterfaceError)
        if self.exception is None or lost or self.transaction is not None:
            self.exception = error  # else the function's own error says more
        self.signal, self.runs_again = huey_signals.SIGNAL_ERROR, False
        self.repeat_if(lost and (self.has_returned or not self.was_called))
        if self.transaction is not None:
            self.transaction.__exit__(type(error), error, error.__traceback__)
            self.transaction = None

    def repeat_if(self, lost: bool) -> None:
        """Have the task run again, a few times at most, if the database was lost meanwhile."""
        self.repeats = lost and self.claim.counted < OUTAGE_TRIES

    def outcome(self, duration: float) -> Outcome:
        """Return what became of the attempt, from what Huey said of it."""
        outcome = Outcome(
            self.claim,
            _STATES.get(self.signal, State.FAILED),
            duration=duration,
            messages=self.messages,
            was_called=self.was_called,
            progress=self.progress,
        )
        if outcome.state is not State.SUCCEEDED:
            outcome.error = _REASONS.get(self.signal, "")
        self._tell(outcome)
        if self.runs_again:
            self._run_again(outcome)
        elif self.repeats or issubclass(type(self.exception), GivenUp):
            outcome.state = State.WAITING
        elif outcome.error_type and outcome.state is not State.SUCCEEDED:
            outcome.explanation = self._explanation()
        return outcome

    def _run_again(self, outcome: Outcome) -> None:
        outcome.state = State.WAITING
        if self.again_in is not None and self.again_in > 0:
            outcome.state = State.SCHEDULED
            outcome.run_in = self.again_in
            outcome.run_at = clock.database_now() + datetime.timedelta(seconds=self.again_in)

    def _explanation(self) -> str:
        """Return what the error means for an editor, if its author has said so."""
        error = retries.discarded_for(self.exception) or self.exception
        if error is None:
            return ""
        error, explain = original(error), self.task.options().explain
        return titles.explanation(explain, error, self.context.language)

    def _tell(self, outcome: Outcome) -> None:
        """Write into an outcome what went wrong, if anything did."""
        error = self.exception
        if error is None:
            return
        kind = type(error)  # isinstance() would ask the object as well
        if retries.is_snooze(error) and self.runs_again:
            outcome.is_snoozed, outcome.error = True, ""
        elif (reason := retries.discarded_for(error)) is not None:
            describe(reason, outcome)
        else:
            describe(error, outcome)
            if issubclass(kind, CancelExecution):
                outcome.traceback = outcome.error_place = ""  # nothing went wrong


class FunctionCall:
    """While a task's function runs; afterwards, what Huey does belongs to the task's outcome."""

    def __init__(self, attempt: Attempt | None) -> None:
        self._attempt = attempt
        self._savepoint: transaction.Atomic | None = None
        self._running = current_task.running()
        self._guard: connection_guard.Guard

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function in a context of its own, which ends with it.

        Whatever it raises is an ``Exception`` from here on, unless that stops the process.
        """
        since = forks.generation()
        with self:
            try:
                value = apart(self._surrounded, function)
            except BaseException as error:
                forks.end_if_forked(since, self._name, error)
                if is_exception(error) or stops(error):
                    raise
                raise as_exception(error) from error
            forks.end_if_forked(since, self._name)
            return value

    def _surrounded(self, function: Callable[[], Any]) -> Any:
        if self._running is None:
            return function()
        self._running.context.enter()
        return function()

    def _name(self) -> str:
        if self._attempt is not None:
            return self._attempt.name()
        return "a task" if self._running is None else str(self._running.task.name)

    def __enter__(self) -> FunctionCall:
        if self._running is not None:
            self._running.is_called = True
        if is_any_in_atomic_block() and _connection().in_atomic_block:
            # Immediate mode within an editor's transaction, or a test: an error must not break it.
            self._savepoint = transaction.atomic(using=_alias())
            self._savepoint.__enter__()
        is_for_itself = self._attempt is not None and self._savepoint is None
        self._guard = connection_guard.Guard(sessions=is_for_itself)
        self._guard.begin()
        return self

    def begin(self) -> None:
        """The arguments are there, and the function itself is called."""
        if self._attempt is not None:
            self._attempt.was_called = True

    def __exit__(self, kind: Any, exception: BaseException | None, trace: Any) -> None:
        if self._running is not None:
            self._running.is_called = False
            if exception is not None and stops(exception):
                self._running.stopped_by = exception
        is_of_database = kind is not None and issubclass(kind, OperationalError | InterfaceError)
        is_lost = is_of_database and (tells_of_loss(exception) or is_any_lost())
        left_open = self._put_back(exception)
        failure = exception or left_open
        if self._running is not None:
            self._running.exception = failure
        if self._savepoint is not None:
            self._leave(self._savepoint, kind or (failure and type(failure)), failure, trace)
        if self._attempt is not None:
            if is_of_database:
                self._attempt.repeat_if(not self._attempt.was_called or is_lost)
            self._returned(self._attempt, failure)
        if left_open is not None:
            raise left_open

    def _put_back(self, exception: BaseException | None) -> Exception | None:
        """Put connections back; return the error of a function that returned too early."""
        lost = self._guard.end(self._name)
        if not lost or exception is not None:
            return None
        error: Exception = TransactionLeftOpen(lost)
        if self._running is not None:
            try:
                retries.judge(self._running, error)
            except CancelExecution as verdict:
                return verdict  # type: ignore[no-any-return]  # Huey has no types
        return error

    def _returned(self, attempt: Attempt, failure: BaseException | None) -> None:
        attempt.exception = failure
        attempt.has_returned = True
        task = attempt.task
        if task.on_complete or task.on_error or task.chord_config:
            attempt.transaction = transaction.atomic(using=_alias())
            attempt.transaction.__enter__()

    def _leave(self, savepoint: transaction.Atomic, kind: Any, exception: Any, trace: Any) -> None:
        """Undo what the function has written if it raised an error; in a test, only if need be.

        A worker has no transaction around a task, so that what was written before an error stays.
        """
        if self._attempt is None:
            savepoint.__exit__(kind, exception, trace)
        elif _connection().is_usable():
            savepoint.__exit__(None, None, None)
        else:
            savepoint.__exit__(kind or DatabaseError, exception, trace)


def note(running: Running, signal: str) -> None:
    """Remember of a task in immediate mode what Huey says of how it ended."""
    if signal in _STATES:
        running.signal = signal
    elif signal == huey_signals.SIGNAL_RETRYING:
        running.runs_again = True


def has_failed(running: Running) -> bool:
    """Return whether a task has failed for good, once Huey has executed it."""
    if running.exception is None or running.signal in _STATES or running.runs_again:
        return False
    repeats = isinstance(running, Attempt) and running.repeats
    return not repeats and not issubclass(type(running.exception), GivenUp)


@functools.cache
def _model() -> Any:
    return apps.get_model("wagtail_async_hooks", "BackgroundTask")


def _alias() -> str:
    """Return the alias of the database that holds the ledger."""
    return router.db_for_write(_model())


def _connection() -> BaseDatabaseWrapper:
    return connections[_alias()]


@contextlib.contextmanager
def entered(block: transaction.Atomic) -> Iterator[None]:
    """Leave an atomic block that was entered elsewhere, as ``with`` would."""
    try:
        yield
    except BaseException as error:
        block.__exit__(type(error), error, error.__traceback__)
        raise
    block.__exit__(None, None, None)


def describe(error: BaseException, outcome: Outcome) -> Outcome:
    """Write into an outcome what went wrong: in one line, by type, and with the traceback."""
    path, text = class_of(error), text_of(error)
    told = one_line(text) if text.strip() else path.rpartition(".")[2]
    outcome.error = without_secrets(told)
    outcome.error_type = storable(path)
    outcome.error_place = storable(place_of(error))
    outcome.traceback = visible(without_secrets(traceback_of(error)), lines=True)
    return outcome
