"""Rescue: the tasks of dead workers are taken from them, and wait for others."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final

from wagtail_async_hooks import ledger, signals
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.types import State, TaskInfo

logger = logging.getLogger("wagtail_async_hooks.worker")

MAX_DEATHS: Final = 3
"""Number of workers that may die while they run the same task; then the task fails."""

Rescued = list[tuple[TaskInfo, bool]]
Attempt = tuple[int, int]


class Rescuer:
    """The rescue of tasks by one worker, at each of its heartbeats.

    :param queue: the queue of the tasks.
    :param max_deaths: number of deaths that fail a task.
    """

    def __init__(self, queue: TaskQueue, max_deaths: int = MAX_DEATHS) -> None:
        self._queue = queue
        self._max_deaths = max_deaths
        self._orphans: dict[Attempt, float] = {}
        self._unanswered: set[Attempt] = set()
        self._logged: set[Attempt] = set()

    def rescue(self, dead: Sequence[int]) -> None:
        """Let the tasks of dead workers wait again, and log it."""
        if not dead:
            return
        self._tell(ledger.rescue(dead, self._max_deaths))
        stranded = ledger.stranded(dead)
        for task in stranded:
            if (task.pk, task.attempt) not in self._logged:
                logger.warning(
                    "%s cannot be taken from its worker, which is gone, since its row is locked by "
                    "a transaction that has not ended; it is tried again until the database ends "
                    "that. Keepalives let it do so sooner, see the page on reliability.",
                    str(task),
                )
        self._logged = {(task.pk, task.attempt) for task in stranded}

    def rescue_orphans(self, patience: float) -> None:
        """Let tasks wait again that run in no known worker, once that has been so for a while.

        A worker whose row is gone needs some time to insert it again.

        :param patience: seconds.
        """
        now = time.monotonic()
        found = ledger.orphans()
        self._orphans = {orphan: self._orphans.get(orphan, now) for orphan in found}
        due = [orphan for orphan, since in self._orphans.items() if now - since >= patience]
        if due:
            self._tell(ledger.rescue_orphans(due, self._max_deaths))

    def hand_back_unanswered(self, worker: int) -> None:
        """Hand back tasks that were claimed by a statement whose answer never arrived.

        Only those that two heartbeats in succession find: between them, every claim was answered.
        """
        held = ledger.held_by(worker)
        unanswered = {attempt for attempt in held if not self._queue.claims.holds(*attempt)}
        for pk, attempt in unanswered & self._unanswered:
            logger.warning("Task %d was claimed without our hearing of it, handing it back.", pk)
            ledger.hand_back(pk, attempt)
        self._unanswered = unanswered

    def _tell(self, rescued: Rescued) -> None:
        self._queue.storage.announce((task.pk, task.priority) for task, waits in rescued if waits)
        for task, waits in rescued:
            self._queue.claims.counts.add(task, State.WAITING if waits else State.FAILED)
            signals.announce(signals.rescued, task.sender, task=task, waits=waits)
            if not waits:
                error = ledger.killed(self._max_deaths)
                told = {"task": task, "duration": 0.0, "error": error, "error_type": ""}
                signals.announce(signals.failed, task.sender, **told)
