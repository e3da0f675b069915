"""The host of an embedded worker: it runs one while this process holds the lock.

It touches neither signals nor logging nor the connections of requests. Whatever goes wrong is one
sentence in the log, and is tried again; requests notice nothing.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Final

from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, connections

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.exceptions import ConfigurationError, OutageLasts
from wagtail_async_hooks.hooks import discovery, takeover
from wagtail_async_hooks.ledger import migrated
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.database import pools
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.worker import log
from wagtail_async_hooks.worker.embedded import lock
from wagtail_async_hooks.worker.embedded.limits import END_TIMEOUT, shutdown_timeout, threads
from wagtail_async_hooks.worker.embedded.lock import HostLock, LockRefused
from wagtail_async_hooks.worker.worker import Worker

logger = logging.getLogger("wagtail_async_hooks.worker")

STANDBY_INTERVAL: Final = 0.5
"""Seconds between two tries to take the lock."""

CHECK_INTERVAL: Final = 0.2
"""Seconds between two looks after the worker."""

RETRY_INTERVAL: Final = 10.0
"""Seconds before it is tried again to run one where that was not possible."""


class CannotRun(Exception):
    """No worker can run in this process at this moment; the text says why, and what to do."""


class Host:
    """Runs a worker when it is this process's turn.

    :param stopping: set once the process ends.
    :param hurried: set once nobody wants to wait for running tasks any more.
    """

    def __init__(self, stopping: threading.Event, hurried: threading.Event) -> None:
        self._lock: HostLock | None = None
        self._stopping = stopping
        self._hurried = hurried
        self._said = ""

    def run(self) -> None:
        """Take turns with other processes, until this one ends."""
        try:
            while not self._stopping.is_set():
                self._stopping.wait(self._take_turn())
        finally:
            connections.close_all()

    def forget(self) -> None:
        """Leave the lock to the parent, after a fork."""
        if self._lock is not None:
            self._lock.forget()

    def _take_turn(self) -> float:
        """Stand by, or work as long as that is possible; return seconds until the next turn."""
        try:
            _require_settings()
            if self._lock is None:
                self._lock = HostLock(lock.path_for(ledger.database()))
            if not self._lock.acquire():
                return STANDBY_INTERVAL
            try:
                return self._hold(self._lock)
            finally:
                self._lock.release()
        except (CannotRun, LockRefused) as why:
            self._say(str(why))
        except BaseException as error:  # also a SystemExit of the site's modules
            self._say_of(error)
        return RETRY_INTERVAL

    def _hold(self, held: HostLock) -> float:
        """Work, and try again while that is not possible: others would find it as it is."""
        while not self._stopping.is_set():
            try:
                self._work(held)
                return STANDBY_INTERVAL
            except CannotRun as why:
                self._say(str(why))
            except BaseException as error:
                self._say_of(error)
            self._stopping.wait(RETRY_INTERVAL)
        return 0

    def _work(self, held: HostLock) -> None:
        """Run a worker until the process ends, or the lock is lost.

        :raises CannotRun: if none can run.
        """
        _require_tables()
        import_tasks()
        worker = _make()
        log.connect()
        forks.begin_worker(alone=False)
        try:
            self._start(worker)
            self._look_after(worker, held)
        finally:
            forks.end_worker()
            log.disconnect()

    def _start(self, worker: Worker) -> None:
        try:
            worker.start()
        except RuntimeError as error:  # at the end of the process, or of what the system allows
            worker.claim_no_more()
            worker.hand_back()
            if self._stopping.is_set():
                return
            raise CannotRun(f"its threads cannot be started ({one_line(error)}).") from error
        self._said = ""
        logger.info(
            "Process %d runs the embedded worker, with %d threads.", os.getpid(), worker.row.threads
        )

    def _look_after(self, worker: Worker, held: HostLock) -> None:
        is_kept = True
        try:
            while not self._stopping.wait(CHECK_INTERVAL):
                worker.check()
                if is_kept and not held.is_kept():
                    is_kept = False
                    logger.warning(
                        "The lock file %s is gone, or another one; who works is found out anew.",
                        held.path,
                    )
                    worker.retire()
                if not is_kept and worker.activity.is_over():
                    return  # not before: this process goes on, and so does what runs in it
        finally:
            worker.wind_down(shutdown_timeout(), self._hurried)

    def _say(self, why: str) -> None:
        """Log why no worker runs here, once until it is for another reason."""
        if why != self._said and not self._stopping.is_set():
            self._said = why
            logger.warning(
                "No embedded worker runs in process %d, and requests go on without it: %s",
                os.getpid(),
                why,
            )

    def _say_of(self, error: BaseException) -> None:
        """Log an error that nobody has foreseen, with its traceback."""
        told = f"{type(error).__name__}: {one_line(error)}"
        if told != self._said and not self._stopping.is_set():
            self._said = told
            logger.exception(
                "The embedded worker of process %d broke off; it is tried again in %g s.",
                os.getpid(),
                RETRY_INTERVAL,
            )


def _require_settings() -> None:
    """Make sure that a worker could run here at all.

    :raises CannotRun: if none could.
    """
    if not lock.is_possible():
        raise CannotRun(
            "this platform has no locks of files (fcntl); run manage.py wagtail_worker instead."
        )
    if name := _patched_by():
        raise CannotRun(
            f"{name} has replaced Python's threads, in which a worker would block the requests; "
            "use gunicorn's sync or gthread workers, or run manage.py wagtail_worker instead."
        )
    try:
        settings = conf.require()
    except ConfigurationError as error:
        raise CannotRun(str(error)) from error
    if not settings.backend:
        raise CannotRun(
            'WAGTAIL_TASKS["BACKEND"] is blank, so that hooks run in the request and there is '
            'nothing for a worker to do; set it to "database" or "redis".'
        )
    if problem := pools.why_too_small(ledger.database(), threads()):
        raise CannotRun(f"{problem}.")


def _patched_by() -> str:
    """Return which package has replaced threads by its own; blank if none has."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return ""


def _require_tables() -> None:
    alias = ledger.database()
    try:
        standing, problem = migrated.examine(connections[alias])
    except (DatabaseError, InterfaceError) as error:
        raise CannotRun(
            f"the database {alias!r} of DATABASES does not answer: {one_line(error)}"
        ) from error
    if problem:
        raise CannotRun(problem)
    if standing.newer:
        logger.warning("%s", migrated.told_of_newer(alias, standing.newer))


def import_tasks() -> None:
    """Import all that has tasks; nothing new once that is done.

    :raises CannotRun: if the site's hooks cannot be imported.
    """
    try:
        discovery.import_all()
    except CommandError as error:
        raise CannotRun(str(error)) from error
    takeover.take_over()
    takeover.provide_tasks()


def _make() -> Worker:
    """Make a worker, and rescue what the last one of this host has left."""
    settings = conf.current().worker
    try:
        worker = Worker(
            background,
            threads=threads(),
            coroutines=_coroutines(),
            shutdown_timeout=END_TIMEOUT,
            queues=settings.queues,
            exclude_queues=settings.exclude_queues,
            patience=RETRY_INTERVAL,
        )
        worker.prepare()
    except OutageLasts as error:
        raise CannotRun(str(error)) from error
    return worker


def _coroutines() -> int:
    """Return how many coroutine functions it runs at once: none where a pool has no room."""
    has_room = pools.has_room_for_coroutines(ledger.database(), threads())
    return conf.current().worker.coroutines if has_room else 0
