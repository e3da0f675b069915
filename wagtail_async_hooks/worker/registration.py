"""This process among the workers: its row, its heartbeat, and what it still may run.

Others give a worker up for dead whose heartbeat is too old, and take over what it held. So a worker
that has not been heard of for a while knows, by its own clock, that this is about to happen.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger import workers
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.types import Claim

logger = logging.getLogger("wagtail_async_hooks.worker")

MARGIN: Final = 0.75
"""After this part of the time after which others give it up, a worker begins nothing any more, and
interrupts what nobody else may run beside it."""


class Registration:
    """The row of a worker.

    :param worker: as it was recorded; it may get another number, see :meth:`beat`.
    :param queue: whose tasks it runs.
    """

    def __init__(self, worker: Worker, queue: TaskQueue) -> None:
        self._worker = worker
        self._queue = queue
        self._heard_at = time.monotonic()
        self._astray: list[Claim] = []

    @property
    def pk(self) -> int:
        """The worker's number."""
        return int(self._worker.pk)

    @property
    def silence(self) -> float:
        """For how many seconds nobody has heard of it, at least as others count them."""
        return time.monotonic() - self._heard_at

    def is_overdue(self) -> bool:
        """Return whether others may be about to take over what it holds."""
        return self.silence > workers.HEARTBEAT_TIMEOUT * MARGIN

    def beat(self, clock_ahead: int = 0) -> ledger.Beat:
        """Say that the process is alive; see to it that its row is there, and what it holds its.

        :param clock_ahead: by how many seconds its clock is ahead of the database's.
        """
        asked_at, held = time.monotonic(), self._queue.holding.all()
        beat = ledger.beat(self._worker, clock_ahead)
        if beat in (ledger.Beat.GONE, ledger.Beat.TAKEN):
            self._register_anew(held)
        elif beat is ledger.Beat.RETURNED:
            logger.warning(
                "This worker had been given up for dead after %.0f s without a heartbeat, and is "
                "back.",
                asked_at - self._heard_at,
            )
        self._heard_at = asked_at
        self._look_after(held, at_once=beat is not ledger.Beat.ALIVE)
        return beat

    def _register_anew(self, held: list[Claim]) -> None:
        former = self.pk
        ledger.register_anew(self._worker)
        logger.warning(
            "The row of this worker is gone from the database, as after a restore; it is recorded "
            "anew, as worker %d.",
            self.pk,
        )
        if self.pk != former:
            ledger.adopt(former, self.pk, held)

    def _look_after(self, held: list[Claim], *, at_once: bool) -> None:
        """Go on with what runs here, but not by the ledger, if nobody else does.

        Only what two looks in succession find, as the end of a task may be recorded just now;
        unless there is a reason to look at once.
        """
        known = set(ledger.held_by(self.pk))
        keeps = self._queue.holding.keeps
        astray = [c for c in held if (c.pk, c.attempt) not in known and keeps(c)]
        found = astray if at_once else [c for c in astray if c in self._astray]
        self._astray = astray
        if not found:
            return
        for claim in ledger.take_back(self.pk, found):
            if keeps(claim):
                logger.debug("%s is another worker's by now, and goes on here.", str(claim))
        for claim in found:
            if not keeps(claim):  # it ended at that very moment
                ledger.hand_back(claim.pk, claim.attempt)
