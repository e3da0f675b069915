"""Maintenance of the ledger by a worker, such as heartbeats, rescue, due tasks and statistics."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.db import connections
from huey.consumer import Scheduler as HueyScheduler

from wagtail_async_hooks import chores, ledger
from wagtail_async_hooks.ledger import workers
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.storage.files import leave_replaced
from wagtail_async_hooks.utils.database.errors import is_contention
from wagtail_async_hooks.utils.database.outages import Outage
from wagtail_async_hooks.worker.bounds import ClaimBounds
from wagtail_async_hooks.worker.identity import Registration
from wagtail_async_hooks.worker.pruning import Pruner
from wagtail_async_hooks.worker.reminding import Reminder
from wagtail_async_hooks.worker.rescuing import Rescuer
from wagtail_async_hooks.worker.scheduler import Scheduler
from wagtail_async_hooks.worker.statistics import Statistics
from wagtail_async_hooks.worker.timekeeping import Timekeeper

HEARTBEAT_INTERVAL: Final = 5.0
"""Seconds between two heartbeats of a worker, and between two searches for dead workers."""

DUE_INTERVAL: Final = 1
"""Seconds between two rounds for scheduled tasks that are due, and for what recurs."""


class Maintenance(HueyScheduler):  # type: ignore[misc]  # Huey has no types
    """The thread of a worker that maintains the ledger, in rounds."""

    huey: TaskQueue

    def __init__(
        self,
        *,
        worker: Registration,
        outage: Outage,
        claim_bounds: ClaimBounds,
        recurring: Scheduler | None,
        timekeeper: Timekeeper,
        statistics: Statistics,
        reminder: Reminder | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._worker = worker
        self._claim_bounds = claim_bounds
        self._recurring = recurring
        self._outage = outage
        self._rescuer = Rescuer(self.huey)
        self._pruner = Pruner(worker.pk)
        self._timekeeper = timekeeper
        self._statistics = statistics
        self._chores = chores.of_worker(worker)
        self._reminder = reminder
        self._last_beat = float("-inf")
        self._rescues_from = float("-inf")

    def loop(self, now: Any = None) -> None:
        """Do a round: heartbeat and rescue, pauses, due tasks, the schedule, pruning, statistics.

        After a heartbeat, chores are done as well.

        An error of one does not keep the others from being done, except in an outage.
        """
        begun = time.monotonic()
        tasks: list[Callable[[], Any]] = [
            partial(leave_replaced, ledger.database()),
            self._claim_bounds.refresh,
            self.huey.read_schedule,
            self._block,
        ]
        beats = begun - self._last_beat >= HEARTBEAT_INTERVAL
        if beats:
            tasks.insert(1, partial(self._beat, begun))
        if self._recurring is not None:
            tasks.append(self._recurring.enqueue_due)
        tasks += [self._pruner.take_step, self.huey.claims.record_set_aside]
        if self._reminder is not None:
            tasks.append(self._reminder.look)
        if beats:
            tasks += [ledger.unblock, self._statistics.flush, self._statistics.sample]
            tasks += [chore.do for chore in self._chores]
        self._do_each(tasks)
        self.sleep_for_interval(begun, self.interval)

    def _do_each(self, tasks: list[Callable[[], Any]]) -> None:
        contention = None
        for task in tasks:
            try:
                task()
            except Exception as error:
                if not is_contention(error):
                    self._outage.begin(error)
                    return
                contention = error
        if contention is None:
            self._outage.end()
        else:
            self._outage.begin(contention)

    def _block(self) -> None:
        """Have claims pass over what waits behind the tasks of this worker."""
        ledger.block_behind(self.huey.claims.holding.all())

    def _beat(self, now: float) -> None:
        """Record a heartbeat, and rescue the tasks of workers without one.

        After an outage, or where the database was restored, no worker has had a heartbeat for a
        while. Then all of them get the time for one.
        """
        worker = self._worker.pk
        if worker in ledger.silent_workers(workers.HEARTBEAT_TIMEOUT / 2):
            self._rescues_from = now + workers.HEARTBEAT_TIMEOUT
        beat = self._worker.beat(self._timekeeper.measure())
        if beat in (ledger.Beat.GONE, ledger.Beat.TAKEN):
            self._rescues_from = now + workers.HEARTBEAT_TIMEOUT
        self._last_beat = now
        self._pruner.worker = self._worker.pk
        self._claim_bounds.limit_notifications()
        self._rescuer.hand_back_unanswered(self._worker.pk)
        if now >= self._rescues_from:
            self._rescuer.rescue(ledger.silent_workers())
            self._rescuer.rescue_orphans(workers.HEARTBEAT_TIMEOUT - HEARTBEAT_INTERVAL)

    def shutdown(self) -> None:
        """End the chores, and close this thread's connections."""
        for chore in self._chores:
            chore.end()
        self._outage.leave()
        connections.close_all()
