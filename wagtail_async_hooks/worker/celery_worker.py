"""The worker in a process of Celery's: its row and its maintenance; Celery's threads call it.

Celery says when a task may run, and how many at once; which one it is, the ledger says.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Final

from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, connections

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.hooks import discovery, takeover
from wagtail_async_hooks.ledger import workers
from wagtail_async_hooks.queue import connection_guard, huey_log
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.storage.files import leave_replaced
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.database.outages import persist
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.worker import log
from wagtail_async_hooks.worker.worker import Worker

logger = logging.getLogger("wagtail_async_hooks.worker")

CHECK_INTERVAL: Final = 0.25
"""Seconds between two checks of the worker's heartbeats and maintenance."""

PATIENCE: Final = 5.0
"""Seconds that a call waits for the worker to start, and for a database that does not work. Then
Celery may use its process for something else; the ledger has the task, and reminds of it."""

SETTLE_PATIENCE: Final = workers.HEARTBEAT_TIMEOUT
"""Seconds for which the end of a task is tried to be recorded, before the process serves Celery
again: until others would take over the task of a dead worker."""

END_TIMEOUT: Final = 5.0
"""Seconds to wait for the maintenance to end with the process."""


class CeleryWorker:
    """A worker in a process that is Celery's.

    :param queue: the queue whose tasks it runs.
    :param threads: how many tasks Celery runs here at once.
    """

    def __init__(self, queue: TaskQueue, threads: int) -> None:
        self._queue = queue
        self._threads = threads
        self._worker: Worker | None = None
        self._has_begun = threading.Event()
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._calls = 0
        self._stops = False
        self._thread = threading.Thread(target=self._serve, name="wagtail", daemon=True)

    def start(self) -> None:
        """Start what is done beside the tasks; that may wait for the database, this does not."""
        log.connect()
        forks.begin_worker()
        self._thread.start()

    def run(self, *, rest: bool = False) -> bool:
        """Claim the next task of the ledger and run it; return whether there was one.

        :param rest: whether the call stands for all that waits: then others are called as well.
        """
        with self._changed:
            if self._stops:
                return False
            self._calls += 1
        try:
            self._has_begun.wait(PATIENCE)
            worker = self._worker
            return worker is not None and self._run_next(worker, rest)
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def stop(self) -> None:
        """Wait for what runs, as Celery does, and record that this worker has stopped."""
        with self._changed:
            self._stops = True
            self._changed.wait_for(lambda: self._calls == 0)
        self._over.set()
        self._thread.join(END_TIMEOUT)
        if self._worker is not None:
            self._settle(self._worker)
            self._worker.stop()
        forks.end_worker()
        log.disconnect()
        connections.close_all()

    # Run ----------------------------------------------------------------------------------

    def _run_next(self, worker: Worker, rest: bool) -> bool:
        if worker.registration.is_overdue():
            return False  # nobody knows which tasks are still ours
        leave_replaced(ledger.database())
        claim = partial(self._queue.next, worker.registration.pk)
        try:
            task = persist(claim, worker.outage, PATIENCE)
        except (DatabaseError, InterfaceError):
            connection_guard.restore_handler()
            return False
        if task is None:
            return False
        if rest:
            self._queue.storage.announce_rest()
        worker.activity.begin()
        connection_guard.tidy()
        try:
            self._queue.attempt(task)
        finally:
            connection_guard.tidy()
            self._settle(worker)
        return True

    def _settle(self, worker: Worker) -> None:
        """Record how the last task ended; what cannot be recorded now is with the next claim."""
        try:
            persist(self._queue.settle, worker.outage, SETTLE_PATIENCE)
        except (DatabaseError, InterfaceError) as error:
            logger.error(
                "How a task ended could not be recorded so far; it is tried again before the next "
                "one, or when this process ends: %s",
                one_line(error),
            )

    # Beside the tasks ---------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            worker = self._begin()
            self._has_begun.set()
            while not self._over.wait(CHECK_INTERVAL):
                worker.check()
        except CommandError as error:
            logger.error("This Celery worker runs no background tasks: %s", error)
        except Exception:
            logger.exception("The worker in this process of Celery's broke off.")
        finally:
            connections.close_all()

    def _begin(self) -> Worker:
        load_tasks()
        options = conf.current().worker
        worker = Worker(
            self._queue,
            threads=self._threads,
            queues=options.queues,
            exclude_queues=options.exclude_queues,
            is_called=True,
        )
        worker.prepare()
        worker.start()
        self._worker = worker
        return worker


def load_tasks() -> None:
    """Import what has background functions; quick, if that is done already.

    What Huey says at its start, and of each task, is in our own lines as well.

    :raises CommandError: if hooks cannot be imported: the site does not work without them.
    """
    for name in huey_log.LOGGERS:
        theirs = logging.getLogger(name)
        if theirs.level == logging.NOTSET:
            theirs.setLevel(logging.WARNING)
    discovery.import_all()
    takeover.take_over()
    takeover.provide_tasks()
