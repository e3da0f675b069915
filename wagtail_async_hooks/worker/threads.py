"""Threads of a worker that claim and run tasks."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections
from huey.api import Task
from huey.consumer import Worker as HueyWorker

from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger import workers
from wagtail_async_hooks.queue import connection_guard
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.storage.files import leave_replaced
from wagtail_async_hooks.storage.waiter import Waiter
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.database.outages import Outage, persist
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.worker.activity import Activity
from wagtail_async_hooks.worker.coroutines import Coroutines
from wagtail_async_hooks.worker.identity import HEARTBEAT_WAIT, Registration

logger = logging.getLogger("wagtail_async_hooks.worker")

IDLE_INTERVAL: Final = 1.0
"""Seconds after which an idle thread queries the ledger even if nothing has woken it; where several
are idle, they take turns."""

FILE_INTERVAL: Final = 0.1
"""Seconds between two checks of a thread whether the file of an SQLite database was replaced."""


class TaskThread(HueyWorker):  # type: ignore[misc]  # Huey has no types
    """A thread that claims and runs tasks, one after the other."""

    huey: TaskQueue

    def __init__(
        self,
        *,
        worker: Registration | None,
        waiter: Waiter,
        activity: Activity,
        coroutines: Coroutines | None,
        outage: Outage,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._worker = worker
        self._waiter = waiter
        self._activity = activity
        self._coroutines = coroutines
        self._outage = outage
        self._checks_file_at = float("-inf")

    def initialize(self) -> None:
        """Note which process this is, and call Huey's startup hooks."""
        self._since = forks.generation()
        forks.begin_thread()
        super().initialize()

    def loop(self, now: Any = None) -> None:
        """Record how the last task ended, claim the next one and run it, or wait for one."""
        forks.end_if_forked(self._since, _name_of_caller)
        worker = self._worker
        if worker is not None and worker.is_overdue():
            self._wait_for_heartbeat()
            return
        if not self._activity.begin_claim():
            self._rest()
            return
        mark = self._waiter.mark()
        try:
            task = self._claim(None if worker is None else worker.pk)
        except Exception as error:
            connection_guard.restore_handler()
            self.stop_flag.wait(self._outage.begin(error))
            return
        finally:
            self._activity.end_claim()
        self._outage.end()
        if task is None:
            with self._activity.idle():
                self._waiter.wait(mark, IDLE_INTERVAL)
        else:
            self._waiter.found()
            self._activity.begin()
            self._execute(task)

    def _execute(self, task: QueuedTask) -> None:
        """Leave a coroutine function to the event loop, which may mean to wait; run any other."""
        if self._coroutines is not None and self._coroutines.take(task):
            return
        if self.stop_flag.is_set():
            self.huey.claims.pass_back(task)
        else:
            self._run(task)

    def _claim(self, worker: int | None) -> QueuedTask | None:
        """Record how the last task ended, and claim the next one; none if the worker stops.

        It may have handed back all that it holds by then, and this one would be left with it.
        """
        self._leave_replaced()
        task = self.huey.next(worker)
        if task is not None and self.stop_flag.is_set():
            self.huey.claims.put_back(task)
            return None
        return task

    def _leave_replaced(self) -> None:
        """Leave an SQLite file that was replaced; checked at intervals, not before each task."""
        now = time.monotonic()
        if now >= self._checks_file_at:
            leave_replaced(ledger.database())
            self._checks_file_at = now + FILE_INTERVAL

    def _wait_for_heartbeat(self) -> None:
        """Neither begin nor record anything before it is known which tasks are still ours."""
        with self._activity.idle():
            self.stop_flag.wait(HEARTBEAT_WAIT)

    def _rest(self) -> None:
        """Record how the last task ended, and claim no other."""
        try:
            self.huey.settle()
        except Exception as error:
            self.stop_flag.wait(self._outage.begin(error))
            return
        self._outage.end()
        with self._activity.idle():
            self.stop_flag.wait(IDLE_INTERVAL)

    def _run(self, task: Task) -> None:
        """Run a task as Django serves a request: with connections neither old nor broken."""
        forks.end_if_forked(self._since, _name_of_caller)
        connection_guard.tidy()
        try:
            self.huey.attempt(task)
        finally:
            connection_guard.tidy()

    def shutdown(self) -> None:
        """Record how the last task ended, even if the database does not work for a while."""
        forks.end_if_forked(self._since, _name_of_caller)
        super().shutdown()
        try:
            persist(self.huey.settle, self._outage, workers.HEARTBEAT_TIMEOUT)
        except (DatabaseError, InterfaceError) as error:
            logger.error(
                "How the last task of a thread ended could not be recorded: %s", one_line(error)
            )
        self._outage.leave()
        connections.close_all()


def _name_of_caller() -> str:
    """Return who has forked this process, if a thread's loop goes on in the copy."""
    return "what is called around a task"
