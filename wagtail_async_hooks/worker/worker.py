"""A worker inside of a process: threads that run tasks, maintenance, and its row.

It handles no signals and changes nothing that is the process's, such as logging or connections:
:mod:`~wagtail_async_hooks.worker.process` does so for a process that is nothing but a worker.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from django.db import DatabaseError, InterfaceError
from huey.consumer import Consumer

from wagtail_async_hooks import ledger, signals
from wagtail_async_hooks.models import Worker as WorkerRow
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.storage.waiter import NobodyWaits
from wagtail_async_hooks.utils.database.outages import OUTAGE_INTERVAL, Outage, persist
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.worker import identity, maintenance
from wagtail_async_hooks.worker.activity import Activity
from wagtail_async_hooks.worker.bounds import ClaimBounds, describe_queues
from wagtail_async_hooks.worker.coroutines import Coroutines
from wagtail_async_hooks.worker.final_heartbeats import FinalHeartbeats
from wagtail_async_hooks.worker.identity import Registration
from wagtail_async_hooks.worker.maintenance import DUE_INTERVAL, Maintenance
from wagtail_async_hooks.worker.outage import Patience
from wagtail_async_hooks.worker.reminding import Reminder
from wagtail_async_hooks.worker.rescuing import Rescuer
from wagtail_async_hooks.worker.scheduler import Scheduler
from wagtail_async_hooks.worker.statistics import Statistics
from wagtail_async_hooks.worker.threads import TaskThread
from wagtail_async_hooks.worker.timekeeping import Timekeeper

logger = logging.getLogger("wagtail_async_hooks.worker")

CLAIM_PATIENCE: Final = 5.0
"""Seconds to wait for claims that are under way when a worker stops: what they have claimed is put
back before all that the worker holds is."""

WIND_DOWN_INTERVAL: Final = 0.05
"""Seconds between two looks whether the last task has ended."""


class Worker(Consumer):  # type: ignore[misc]  # Huey has no types
    """A worker; its row is inserted as it is made.

    :param queue: the queue whose tasks it runs.
    :param threads: how many tasks it runs at once.
    :param coroutines: how many coroutine functions it runs beside them, in one event loop; beyond
        that, they wait for their turn. With 0, threads run them.
    :param shutdown_timeout: seconds that running tasks get to finish when it stops; what has not
        finished by then is handed back.
    :param schedule: whether it enqueues what recurs.
    :param queues: the queues that it serves; empty for all.
    :param exclude_queues: queues that it does not serve.
    :param patience: seconds to wait for a database that does not work, before it has started.
    :param is_called: whether it has no threads of its own for tasks: somebody else's threads call
        it to run one, as many as ``threads`` says.
    :raises OutageLasts: if the database does not work for that long.
    """

    huey: TaskQueue
    shutdown_timeout: float

    def __init__(
        self,
        queue: TaskQueue,
        *,
        threads: int,
        coroutines: int = 0,
        shutdown_timeout: float = 30.0,
        schedule: bool = True,
        queues: Sequence[str] = (),
        exclude_queues: Sequence[str] = (),
        patience: float = float("inf"),
        is_called: bool = False,
    ) -> None:
        self._timekeeper = Timekeeper()
        self.outage = Outage()
        self.patience = Patience(self.outage, patience)
        self.row: WorkerRow = self.patience.insist(
            lambda: identity.register(
                threads, describe_queues(queues, exclude_queues), self._timekeeper.measure()
            )
        )
        self.registration = Registration(self.row, queue)
        self._statistics = Statistics(queue, self.registration)
        self.claim_bounds = ClaimBounds(queue, queues, exclude_queues)
        self.activity = Activity(threads)
        self._coroutines = Coroutines(
            queue,
            limit=coroutines,
            threads=threads,
            activity=self.activity,
            worker=self.registration,
            outage=self.outage,
        )
        self._waiter = NobodyWaits() if is_called else self.claim_bounds.waiter()
        self._scheduler = Scheduler() if schedule else None
        self._checked_at = float("-inf")
        # Huey's consumer makes its threads with these, see Consumer.worker_class.
        self.worker_class = self._task_thread_class()
        self.scheduler_class = self._maintenance_class(self._reminder(queue))
        super().__init__(
            queue,
            workers=0 if is_called else threads,
            periodic=False,
            scheduler_interval=DUE_INTERVAL,
            shutdown_timeout=shutdown_timeout,
        )

    def _task_thread_class(self) -> Callable[..., TaskThread]:
        return partial(
            TaskThread,
            worker=self.registration,
            waiter=self._waiter,
            activity=self.activity,
            coroutines=self._coroutines,
            outage=self.outage,
        )

    def _maintenance_class(self, reminder: Reminder | None) -> Callable[..., Maintenance]:
        return partial(
            Maintenance,
            worker=self.registration,
            outage=self.outage,
            claim_bounds=self.claim_bounds,
            recurring=self._scheduler,
            timekeeper=self._timekeeper,
            statistics=self._statistics,
            reminder=reminder,
        )

    def _reminder(self, queue: TaskQueue) -> Reminder | None:
        if not queue.storage.needs_reminders:
            return None
        return Reminder(queue, self.registration, self.row.queues)

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

    def retire(self) -> None:
        """Claim nothing more; what runs goes on, and so do heartbeats and maintenance."""
        self.activity.close()
        self._waiter.close()  # a notification that it took now would be lost on it

    @property
    def problem(self) -> str:
        """Why it cannot run tasks at this moment, in words; blank if it can."""
        if self.registration.is_overdue():
            return "its heartbeats are not recorded: the database does not work, or is stuck."
        return ""

    def _give_up_if_overdue(self) -> None:
        if self.registration.is_overdue():
            self.huey.claims.give_up(self.registration.silence)

    def stop(self, graceful: bool = True) -> None:
        """Stop the threads, and hand back what has not finished.

        :param graceful: whether to wait for running tasks, for ``shutdown_timeout`` at most.
        """
        self.stop_threads(graceful)
        self.hand_back()

    def claim_no_more(self) -> None:
        """Let no thread claim another task, nor go on when the one that it runs has ended."""
        if not self.stop_flag.is_set():
            self.stop_flag.set()
            logger.info("Worker %d is stopping.", os.getpid())
            self._waiter.close()
            self._coroutines.close()
            self.activity.close(CLAIM_PATIENCE)

    def stop_threads(self, graceful: bool = True) -> None:
        """Stop the threads; those that still run a task afterwards are left to themselves."""
        self.claim_no_more()
        beats = FinalHeartbeats(
            self.registration,
            self._timekeeper,
            self.outage,
            maintenance.HEARTBEAT_INTERVAL,
            self._give_up_if_overdue,
        )
        with beats:
            if graceful:
                self._join_coroutines()
            super().stop(graceful=graceful)

    def _join_coroutines(self) -> None:
        """Wait for coroutine functions; the threads get what is left of the time."""
        deadline = time.monotonic() + self.shutdown_timeout
        self._coroutines.join(self.shutdown_timeout)
        self.shutdown_timeout = max(0.0, deadline - time.monotonic())

    def wind_down(self, timeout: float, hurried: threading.Event) -> None:
        """Stop, and let running tasks finish for some seconds, without a new thread.

        For a process whose interpreter is ending, which starts no more of them: heartbeats are
        sent by the maintenance until nothing runs any more.

        :param timeout: seconds.
        :param hurried: set once nobody wants to wait.
        """
        self.retire()
        if not self.activity.is_over():
            logger.info("Worker %d waits for what runs, %g s at most.", os.getpid(), timeout)
        deadline = time.monotonic() + timeout
        while not self.activity.is_over() and time.monotonic() < deadline:
            self._give_up_if_overdue()
            if hurried.wait(WIND_DOWN_INTERVAL):
                break
        nothing_runs = self.activity.is_over()
        self.claim_no_more()
        if nothing_runs:
            self._join_coroutines()
        super().stop(graceful=nothing_runs)
        self.hand_back()

    def hand_back(self) -> None:
        """Let what has not finished wait for other workers; record that this one has stopped."""
        try:
            handed_back = persist(self._hand_back, self.outage, OUTAGE_INTERVAL * 3)
        except (DatabaseError, InterfaceError) as error:
            logger.warning(
                "Nothing could be handed back, heartbeats will tell: %s", one_line(error)
            )
            handed_back = 0
        else:
            self._statistics.end()
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
        return self._coroutines.is_alive() or any(
            self.environment.is_alive(thread) for _, thread in self.worker_threads
        )
