"""The conclusion of an attempt: what the ledger is to record of it, and who is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from django.db import transaction

from wagtail_async_hooks import signals
from wagtail_async_hooks.queue.attempt import OUTAGE_TRIES, Attempt, describe, entered
from wagtail_async_hooks.types import Outcome, State
from wagtail_async_hooks.utils import catching
from wagtail_async_hooks.utils.errors import report

if TYPE_CHECKING:
    from wagtail_async_hooks.queue.claims import Claims
    from wagtail_async_hooks.queue.task_messages import TaskMessages

logger = logging.getLogger(__name__)


class Conclusion:
    """Makes of attempts that have ended what their thread is to record.

    :param claims: where that is recorded from.
    :param messages: of the same queue.
    """

    def __init__(self, claims: Claims, messages: TaskMessages) -> None:
        self._claims = claims
        self._messages = messages

    def conclude(self, attempt: Attempt, duration: float) -> None:
        """Conclude an attempt; an error of ours fails the task, and does not leave it running.

        :param duration: in seconds.
        """
        try:
            self._conclude(attempt, duration)
        except BaseException as error:
            report(logger, error, "What became of %s cannot be recorded.", str(attempt.claim))
            self._claims.pending = describe(error, Outcome(attempt.claim, State.FAILED))
            if catching.stops(error):
                raise

    def hand_back(self, attempt: Attempt, stopped_by: BaseException) -> NoReturn:
        """Let a task wait for another worker, since this process is being stopped."""
        attempt.broke_off(stopped_by)
        self._claims.pending = Outcome(attempt.claim, State.WAITING)
        try:
            self._claims.settle()
        finally:
            raise stopped_by

    def _conclude(self, attempt: Attempt, duration: float) -> None:
        outcome = attempt.outcome(duration)
        if outcome.state.is_final:
            outcome.result = self._messages.pack_result(attempt)
            if outcome.state is State.SUCCEEDED and attempt.task.definition.forgets_arguments:
                outcome.message = self._messages.without_arguments(attempt.task)
        elif attempt.runs_again:
            outcome.message = self._messages.pack(attempt.task)
        self._claims.pending = outcome
        if attempt.transaction is not None:
            self._commit_with(outcome, attempt.transaction)

    def _commit_with(self, outcome: Outcome, followups: transaction.Atomic) -> None:
        """Record the outcome in the transaction that holds what follows from it."""
        ledger = self._claims.ledger
        try:
            with entered(followups):
                kept, _ = ledger.step(outcome, None, claim=False)
                if not kept:  # somebody else runs it meanwhile, and will see to what follows
                    transaction.set_rollback(True, using=ledger.database())
        except BaseException as error:
            if catching.stops(error):
                raise
            told = str(outcome.claim)
            report(logger, error, "What follows from %s could not be recorded.", told)
            describe(error, outcome)
            again = outcome.claim.counted < OUTAGE_TRIES
            outcome.state = State.WAITING if again else State.FAILED
            return
        self._claims.recorded(outcome, kept)


def announce(outcome: Outcome, kept: bool) -> None:
    """Tell receivers how an attempt ended, once that is recorded.

    :param kept: whether it counted; otherwise another worker has the task.
    """
    claim = outcome.claim
    if not kept:
        logger.warning("%s was given to another worker while it ran here.", str(claim))
        return
    arguments: dict[str, Any] = {"task": claim.info, "duration": outcome.duration}
    if outcome.state is State.SUCCEEDED:
        signals.announce(signals.succeeded, claim.sender, **arguments)
        return
    if outcome.is_snoozed:
        signals.announce(signals.snoozed, claim.sender, **arguments, run_at=outcome.run_at)
        return
    signal = {
        State.FAILED: signals.failed,
        State.CANCELLED: signals.cancelled,
        State.EXPIRED: signals.expired,
    }.get(outcome.state, signals.retrying)
    arguments |= {"error": outcome.error, "error_type": outcome.error_type}
    if signal is signals.retrying:
        arguments["delay"] = outcome.run_in or 0.0
    signals.announce(signal, claim.sender, **arguments)
