"""A worker inside of a process: threads that run tasks, maintenance, and its row.

It handles no signals and changes nothing that is the process's, such as logging or connections:
:mod:`~wagtail_async_hooks.worker.process` does so for a process that is nothing but a worker.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial

from django.db import DatabaseError, InterfaceError
from huey.consumer import Consumer

from wagtail_async_hooks import ledger, signals
from wagtail_async_hooks.models import Worker as WorkerRow
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.utils.database.outages import OUTAGE_INTERVAL, Outage, persist
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.worker import identity, maintenance
from wagtail_async_hooks.worker.bounds import ClaimBounds, describe_queues
from wagtail_async_hooks.worker.final_heartbeats import FinalHeartbeats
from wagtail_async_hooks.worker.identity import Registration
from wagtail_async_hooks.worker.maintenance import DUE_INTERVAL, Maintenance
from wagtail_async_hooks.worker.outage import Patience
from wagtail_async_hooks.worker.rescuing import Rescuer
from wagtail_async_hooks.worker.scheduler import Scheduler
from wagtail_async_hooks.worker.threads import Activity, TaskThread
from wagtail_async_hooks.worker.timekeeping import Timekeeper

logger = logging.getLogger("wagtail_async_hooks.worker")


class Worker(Consumer):  # type: ignore[misc]  # Huey has no types
    """A worker; its row is inserted as it is made.

    :param queue: the queue whose tasks it runs.
    :param threads: how many tasks it runs at once.
    :param shutdown_timeout: seconds that running tasks get to finish when it stops; what has not
        finished by then is handed back.
    :param schedule: whether it enqueues what recurs.
    :param queues: the queues that it serves; empty for all.
    :param exclude_queues: queues that it does not serve.
    :param patience: seconds to wait for a database that does not work, before it has started.
    :raises OutageLasts: if the database does not work for that long.
    """

    huey: TaskQueue

    def __init__(
        self,
        queue: TaskQueue,
        *,
        threads: int,
        shutdown_timeout: float = 30.0,
        schedule: bool = True,
        queues: Sequence[str] = (),
        exclude_queues: Sequence[str] = (),
        patience: float = float("inf"),
    ) -> None:
        self._timekeeper = Timekeeper()
        self._outage = Outage()
        self.patience = Patience(self._outage, patience)
        self.row: WorkerRow = self.patience.insist(
            lambda: identity.register(
                threads, describe_queues(queues, exclude_queues), self._timekeeper.measure()
            )
        )
        self._registration = Registration(self.row, queue)
        self.claim_bounds = ClaimBounds(queue, queues, exclude_queues)
        self.activity = Activity(threads)
        self._waiter = self.claim_bounds.waiter()
        self._scheduler = Scheduler() if schedule else None
        self._checked_at = float("-inf")
        # Huey's consumer makes its threads with these, see Consumer.worker_class.
        self.worker_class: Callable[..., TaskThread] = partial(
            TaskThread,
            worker=self._registration,
            waiter=self._waiter,
            activity=self.activity,
            outage=self._outage,
        )
        self.scheduler_class: Callable[..., Maintenance] = partial(
            Maintenance,
            worker=self._registration,
            outage=self._outage,
            claim_bounds=self.claim_bounds,
            recurring=self._scheduler,
            timekeeper=self._timekeeper,
        )
        super().__init__(
            queue,
            workers=threads,
            periodic=False,
            scheduler_interval=DUE_INTERVAL,
            shutdown_timeout=shutdown_timeout,
        )

    def prepare(self, *, due: bool = False) -> None:
        """Rescue what dead workers of this host held, and read the pauses, before it starts.

        :param due: whether to enqueue what is due as well, rather than leave it to the maintenance.
        :raises OutageLasts: if the database does not work for too long.
        """
        self.patience.insist(partial(self._prepare, due=due))

    def _prepare(self, *, due: bool) -> None:
        Rescuer(self.huey).rescue(identity.dead_neighbours(self.row))
        self.claim_bounds.refresh()
        if due:
            self.huey.read_schedule()
            if self._scheduler is not None:
                self._scheduler.enqueue_due()

    def start(self) -> None:
        """Start the threads; :meth:`prepare` comes first."""
        super().start()
        self._checked_at = time.monotonic()
        signals.announce(signals.worker_started, self.row.host, worker=self.row)

    def _set_signal_handlers(self) -> None:
        """Set none: Huey would set its own as it starts, but they are up to the process."""

    def check(self) -> None:
        """Give up tasks in time if heartbeats fail, and replace threads that have died.

        To be called several times a second while the worker runs.
        """
        self._give_up_if_overdue()
        now = time.monotonic()
        if now - self._checked_at >= maintenance.HEARTBEAT_INTERVAL:
            self._checked_at = now
            self.check_worker_health()

    def _give_up_if_overdue(self) -> None:
        if self._registration.is_overdue():
            self.huey.claims.give_up(self._registration.silence)

    def stop(self, graceful: bool = True) -> None:
        """Stop the threads, and hand back what has not finished.

        :param graceful: whether to wait for running tasks, for ``shutdown_timeout`` at most.
        """
        self.stop_threads(graceful)
        self.hand_back()

    def stop_threads(self, graceful: bool = True) -> None:
        """Stop the threads; those that still run a task afterwards are left to themselves."""
        self.stop_flag.set()  # from here on, no thread claims another task
        logger.info("Worker %d is stopping.", os.getpid())
        self._waiter.close()
        beats = FinalHeartbeats(
            self._registration,
            self._timekeeper,
            self._outage,
            maintenance.HEARTBEAT_INTERVAL,
            self._give_up_if_overdue,
        )
        with beats:
            super().stop(graceful=graceful)

    def hand_back(self) -> None:
        """Let what has not finished wait for other workers; record that this one has stopped."""
        try:
            handed_back = persist(self._hand_back, self._outage, OUTAGE_INTERVAL * 3)
        except (DatabaseError, InterfaceError) as error:
            logger.warning(
                "Nothing could be handed back, heartbeats will tell: %s", one_line(error)
            )
            handed_back = 0
        if handed_back:
            tasks = "task was" if handed_back == 1 else "tasks were"
            logger.warning("%d unfinished %s handed back.", handed_back, tasks)
        self.claim_bounds.reset()
        signals.announce(signals.worker_stopped, self.row.host, worker=self.row)

    def _hand_back(self) -> int:
        self.huey.claims.record_set_aside(all_of_them=True)
        return ledger.stop_worker(self.row.pk)

    def is_alive(self) -> bool:
        """Return whether a thread still runs a task, after :meth:`stop` has returned."""
        return any(self.environment.is_alive(thread) for _, thread in self.worker_threads)
