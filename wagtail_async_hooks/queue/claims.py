"""The claims of a process: which task a thread runs next, and how its last one ended.

Both are one statement, or one transaction, of the ledger. What cannot be run, such as a message
that cannot be read, is concluded here without an attempt.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Final

from django.db import DatabaseError, InterfaceError

from wagtail_async_hooks import signals
from wagtail_async_hooks.exceptions import UnknownTask
from wagtail_async_hooks.queue import refusals
from wagtail_async_hooks.queue.attempt import describe
from wagtail_async_hooks.queue.attempt_counts import AttemptCounts
from wagtail_async_hooks.queue.conclusion import announce
from wagtail_async_hooks.queue.holding import Holding
from wagtail_async_hooks.types import Claim, Outcome, State
from wagtail_async_hooks.utils import catching, timeouts
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.text import one_line

if TYPE_CHECKING:
    from wagtail_async_hooks.queue.submission import QueuedTask
    from wagtail_async_hooks.queue.task_messages import TaskMessages
    from wagtail_async_hooks.queue.task_queue import TaskQueue

logger = logging.getLogger(__name__)

UNKNOWN_TASK_DELAYS: Final = (10, 60, 300, 900, 3600)
"""Seconds after which a task that no code here knows is tried again: a rolling deploy takes
minutes, and a task that is still unknown after the last one fails."""

CANCELLED: Final = "it was cancelled"
"""Why a task ended that was cancelled while it ran."""


class _ThreadState(threading.local):
    """The outcome of this thread's last attempt, until it is recorded."""

    pending: Outcome | None = None


class Claims:
    """The claims of this process, each until its outcome is recorded.

    :param queue: whose storage and bounds they keep to.
    :param messages: of the same queue.
    """

    def __init__(self, queue: TaskQueue, messages: TaskMessages) -> None:
        self._queue = queue
        self._messages = messages
        self._thread = _ThreadState()
        self._suspect = threading.Lock()
        self._set_aside = refusals.SetAside()
        self._has_given_up = False
        self.holding = Holding()
        self.counts = AttemptCounts()

    @property
    def pending(self) -> Outcome | None:
        """The outcome of this thread's last attempt, until it is recorded."""
        return self._thread.pending

    @pending.setter
    def pending(self, outcome: Outcome | None) -> None:
        self._thread.pending = outcome

    @property
    def ledger(self) -> ModuleType:
        """The module that changes tasks' states."""
        return self._queue.storage.ledger

    def next(self, worker: int | None) -> QueuedTask | None:
        """Record how this thread's last task ended and claim the next one, in one transaction.

        :param worker: primary key of the worker's row.
        :returns: the task, or ``None`` if nothing waits.
        """
        while not self._queue.bounds.all_paused:
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
        """Return whether this process makes an attempt, or has yet to record its outcome."""
        return self.holding.has(pk, attempt)

    def _claim(self, worker: int | None) -> Claim | None:
        """Claim the next task; one that a worker has died of only if no such one runs here.

        Otherwise those that happened to run beside a task that kills its workers would run beside
        it again, and again, and would be treated as poison tasks as well.
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

    def let_go(self, claim: Claim) -> None:
        """Allow the next suspect, once the attempt at one has ended: workers have died of it."""
        if claim.deaths and self._suspect.locked():
            self._suspect.release()

    def put_back(self, task: QueuedTask) -> None:
        """Let a task wait again that this thread has claimed, and not begun."""
        self.pass_back(task)
        self.settle()

    def pass_back(self, task: QueuedTask) -> None:
        """Let a task wait again, once :meth:`settle` is called, that was claimed and not begun."""
        assert task.claim is not None
        self._pass_over(Outcome(task.claim, State.WAITING, was_called=False))

    def confirm(self, task: QueuedTask) -> bool:
        """Return whether a task that was claimed a while ago, and has not begun, is still to run.

        If not, :meth:`settle` records so, unless another worker has it.
        """
        assert task.claim is not None
        try:
            goes_on = self.ledger.goes_on(task.claim)
        except (DatabaseError, InterfaceError) as error:
            logger.debug("%s begins without being asked for: %s", str(task.claim), one_line(error))
            return True
        if not goes_on:
            self._pass_over(Outcome(task.claim, State.CANCELLED, error=CANCELLED, was_called=False))
        return bool(goes_on)

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
            outcome, error, self._queue.storage.ledger.database()
        )

    def record_set_aside(self, *, all_of_them: bool = False) -> None:
        """Try again to record outcomes that the database has refused altogether.

        :param all_of_them: also those for which it is not time yet, as the process ends.
        """
        if self._set_aside:
            self._set_aside.retry(self._record, all_of_them=all_of_them)

    def _record(self, outcome: Outcome) -> None:
        kept, _ = self._queue.storage.ledger.step(outcome, None, claim=False)
        self.recorded(outcome, kept)

    def _step(self, worker: int | None, *, claim: bool, suspects: bool = True) -> Claim | None:
        outcome = self._thread.pending
        kept: bool
        claimed: Claim | None
        kept, claimed = self._queue.storage.ledger.step(
            outcome, worker, claim=claim, suspects=suspects, bounds=self._queue.bounds
        )
        if claimed is not None and not claimed.is_deferred:
            claimed = self._hold(claimed, outcome)
        if outcome is not None:
            self.recorded(outcome, kept)
        if claimed is not None:
            if claimed.is_deferred and claimed.exclusive_key:
                self._notify_next(self._queue.storage.announce_next, claimed.exclusive_key)
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
        self._queue.storage.ledger.go_on(claimed, earlier)
        return replace(claimed, goes_on=True)

    def recorded(self, outcome: Outcome, kept: bool) -> None:
        """Note that an outcome is recorded, and tell others.

        :param kept: whether it counted; otherwise another worker has the task.
        """
        self._thread.pending = None
        self.holding.discard(outcome.claim)
        if outcome.claim.exclusive_key:
            self._notify_next(self._queue.storage.announce_next, outcome.claim.exclusive_key)
        if outcome.claim.slot is not None:
            self._notify_next(self._queue.storage.announce_room, outcome.claim.queue)
        if kept:
            self.counts.add(outcome.claim, outcome.state, outcome.duration)
        announce(outcome, kept)

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
        if claim.is_deferred:
            return None
        if claim.cancel_requested:
            self._pass_over(Outcome(claim, State.CANCELLED, error=CANCELLED, was_called=False))
            return None
        try:
            task = self._messages.unpack(claim.message)
        except BaseException as error:
            if catching.stops(error):
                self._pass_over(Outcome(claim, State.WAITING, was_called=False))
                raise
            self._pass_over(_not_opened(claim, error))
            return None
        task.claim = claim
        return task

    def _pass_over(self, outcome: Outcome) -> None:
        """Have the outcome of a claimed task recorded that is not run."""
        self._thread.pending = outcome
        self.let_go(outcome.claim)


def _not_opened(claim: Claim, error: BaseException) -> Outcome:
    """Return what becomes of a task whose message cannot be read; an unknown one is tried again."""
    outcome = describe(error, Outcome(claim, State.FAILED, was_called=False))
    tries = claim.counted - 1
    if isinstance(error, UnknownTask) and tries < len(UNKNOWN_TASK_DELAYS):
        outcome.state = State.SCHEDULED
        outcome.run_in = float(UNKNOWN_TASK_DELAYS[tries])
        outcome.run_at = clock.database_now() + datetime.timedelta(seconds=outcome.run_in)
    return outcome
