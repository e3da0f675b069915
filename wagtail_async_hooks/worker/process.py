"""A process that is a worker: its signals, its end after a drain or a time, and its connections."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Final

from django.db import connections

from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger import workers
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.database import pools
from wagtail_async_hooks.worker import log
from wagtail_async_hooks.worker.recycling import Limits, Wear
from wagtail_async_hooks.worker.reporting import REPORT_INTERVAL, Own, Phase, Report, Reporter
from wagtail_async_hooks.worker.supervisor import STOP_SIGNALS
from wagtail_async_hooks.worker.worker import Worker

logger = logging.getLogger("wagtail_async_hooks.worker")

STOP_INTERVAL: Final = 0.05
"""Seconds between two checks whether the process should end."""


class WorkerProcess:
    """A worker process.

    :param queue: the queue whose tasks it runs.
    :param threads: how many tasks it runs at once.
    :param coroutines: how many coroutine functions it runs beside them.
    :param drain: run what is due and end, rather than run until stopped.
    :param max_seconds: end, calmly, after so many seconds.
    :param begun: since when they are counted, by the monotonic clock; from now on, if not given.
    :param limits: after what this process should be replaced, which it reports.
    :param reporter: where it reports how it is, and learns whether to retire.
    :param shutdown_timeout: seconds that running tasks get to finish when the worker ends; what
        has not finished by then is handed back.
    :param schedule: whether it enqueues what recurs.
    :param queues: the queues that it serves; empty for all.
    :param exclude_queues: queues that it does not serve.
    :param parent: id of the parent process, if there is one: the worker ends when that one does,
        and leaves Ctrl-C to it.
    :raises OutageLasts: if the database does not work for longer than the worker may wait.
    """

    def __init__(
        self,
        queue: TaskQueue,
        *,
        threads: int,
        coroutines: int = 0,
        drain: bool = False,
        max_seconds: float | None = None,
        begun: float | None = None,
        limits: Limits = Limits(),  # noqa: B008  # a tuple
        reporter: Reporter | None = None,
        shutdown_timeout: float = 30.0,
        schedule: bool = True,
        queues: Sequence[str] = (),
        exclude_queues: Sequence[str] = (),
        parent: int | None = None,
    ) -> None:
        self._queue = queue
        self._drain = drain
        self._max_seconds = max_seconds
        self._begun = time.monotonic() if begun is None else begun
        self._wear = Wear(limits)
        self._reporter = Own() if reporter is None else reporter
        self._reported = Report(Phase.STARTING)
        self._parent = parent
        self._signals = 0
        self._can_interrupt = False
        self._is_over = False
        self._has_started = False
        self._attended = threading.Event()
        self._worker = Worker(
            queue,
            threads=threads,
            coroutines=coroutines,
            shutdown_timeout=shutdown_timeout,
            schedule=schedule,
            queues=queues,
            exclude_queues=exclude_queues,
            patience=workers.HEARTBEAT_TIMEOUT if drain else max_seconds or float("inf"),
        )

    def run(self) -> None:
        """Work until asked to stop, until nothing is left to drain, or until time is up.

        :raises OutageLasts: if the database does not work while there is something to drain.
        """
        self.prepare()
        self._handle_signals()
        self.start()
        try:
            self._unless_hurried(self._work)
        finally:
            self._end()

    def prepare(self) -> None:
        """Do what comes before the first claim; may wait for the database."""
        _keep_connections_open()
        log.connect()
        forks.begin_worker()
        self._worker.prepare(due=self._drain)

    def start(self) -> None:
        """Start the threads; :meth:`prepare` comes first."""
        self._worker.start()
        self._report(Phase.WORKING)

    def attend(self) -> None:
        """Start the threads, and do in this one what otherwise the main thread does; then SIGTERM.

        For a process whose main thread has something else to do, which a signal ends.
        """
        try:
            if not self._is_over:
                self._has_started = True
                self.start()
            self._work()
        finally:
            connections.close_all()
            self._attended.set()
            if not self._is_over:
                os.kill(os.getpid(), signal.SIGTERM)

    def end_attended(self, code: int) -> int:
        """End after :meth:`attend`, in the main thread, where a second signal can interrupt.

        :param code: the exit code so far; 0 if this is because of a signal.
        :returns: the exit code.
        """
        self._signals = 0 if code else 1
        self._is_over = True
        self._handle_signals()
        self._attended.wait(STOP_INTERVAL * 100)
        if self._has_started:
            self._end()
        else:
            self._worker.hand_back()
        return 0 if self._signals else code

    def is_alive(self) -> bool:
        """Return whether a thread still runs a task, after :meth:`run` has returned."""
        return self._worker.is_alive()

    def _work(self) -> None:
        deadline = None if self._max_seconds is None else self._begun + self._max_seconds
        while not self._signals and not self._is_over:
            time.sleep(STOP_INTERVAL)
            self._worker.check()
            if self._parent is not None and os.getppid() != self._parent:
                logger.warning("The parent process is gone, stopping.")
                return
            if deadline is not None and time.monotonic() >= deadline:
                logger.info("%g seconds are over.", self._max_seconds)
                return
            if self._drain and self._is_drained():
                self._log_held_back()
                return
            if self._has_retired():
                return
            self._report(self._reported.phase)

    def _has_retired(self) -> bool:
        """Retire if another process works in this one's place; return whether nothing runs now."""
        if self._reported.phase is not Phase.RETIRING and self._reporter.is_to_retire():
            logger.info("Worker %d claims nothing more, and ends after what runs.", os.getpid())
            self._worker.retire()
            self._report(Phase.RETIRING)
        return self._reported.phase is Phase.RETIRING and self._worker.activity.is_over()

    def _report(self, phase: Phase) -> None:
        """Report how this process is, if that has changed or was said long enough ago."""
        excess = self._wear.excess(self._worker.activity.begun)
        report = Report(phase, self._worker.problem, excess, time.monotonic())
        is_old = report.at - self._reported.at >= REPORT_INTERVAL
        if is_old or report[:-1] != self._reported[:-1]:
            self._reporter.report(report)
            self._reported = report

    def _end(self) -> None:
        self._report(Phase.STOPPING)
        self._worker.claim_no_more()
        self._unless_hurried(self._worker.stop_threads)
        if self._signals > 1:
            logger.info("Not waiting for what runs.")
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._worker.hand_back()
        forks.end_worker()
        log.disconnect()

    # Drain --------------------------------------------------------------------------------

    def _is_drained(self) -> bool:
        """Return whether no task runs, and none is due.

        :raises OutageLasts: if the database does not work for too long.
        """
        self._worker.patience.check()
        return self._worker.activity.is_over() and not self._anything_due()

    def _anything_due(self) -> bool:
        """Return whether threads that found no task have to try again."""
        due = self._worker.patience.insist(ledger.promote_due)
        self._queue.storage.announce(due)
        if due:
            return True
        # A task that two threads tried to claim at the same moment may have gone to neither: each
        # tries again once a second.
        bounds = self._queue.bounds
        waits = partial(ledger.waits, bounds)
        return not bounds.all_paused and bool(self._worker.patience.insist(waits))

    def _log_held_back(self) -> None:
        if number := self._worker.patience.insist(self._worker.claim_bounds.held_back):
            tasks = "task waits" if number == 1 else "tasks wait"
            logger.warning("%d %s because of a pause.", number, tasks)

    # Signals ------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        """Set the handlers; the supervisor's children have these signals blocked until then."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        if self._parent is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # No locks in here (logging and threading.Event have some): the handler runs in the middle
        # of whatever the main thread does, which may hold them.
        self._signals += 1
        if self._signals == 2 and self._can_interrupt:
            raise KeyboardInterrupt  # do not wait for what runs

    def _unless_hurried(self, act: Callable[[], None]) -> None:
        """Call a function that a second signal interrupts, or keeps from being called.

        Only in here can it interrupt: what comes between two such calls, or after them, hands back
        what has not finished, and is to be done whenever that signal comes.
        """
        try:
            self._can_interrupt = True
            if self._signals < 2:
                act()
        except KeyboardInterrupt:
            return
        finally:
            self._can_interrupt = False


def _keep_connections_open() -> None:
    """Keep each thread's connection to the ledger, as long as it works.

    Every task begins with a claim over that connection, so that one which is broken is noticed
    there, and replaced, before the task. A pool keeps its connections itself, and Django allows it
    no others.
    """
    alias = ledger.database()
    if not pools.has_pool(alias):
        connections.settings[alias]["CONN_MAX_AGE"] = None
