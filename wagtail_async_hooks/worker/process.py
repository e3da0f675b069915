"""The worker: Huey's consumer, with the ledger's claim, a heartbeat, rescue, drain and a calm stop.

A worker process runs some threads that claim and run tasks, and one that keeps the ledger tidy:
it says every few seconds that the process is alive, lets what is due wait, and takes back what
dead workers held.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections
from huey.api import Task
from huey.consumer import Consumer
from huey.consumer import Scheduler as HueyScheduler
from huey.consumer import Worker as HueyWorker

from wagtail_async_hooks import ledger, signals
from wagtail_async_hooks._version import __version__
from wagtail_async_hooks.exceptions import OutageLasts
from wagtail_async_hooks.ledger import workers
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.queue import connection_guard
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.storage.files import leave_replaced
from wagtail_async_hooks.storage.waiter import Waiter
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.database import pools
from wagtail_async_hooks.utils.database.errors import in_one_line, is_contention
from wagtail_async_hooks.utils.database.outages import OUTAGE_INTERVAL, Outage, persist
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.worker import log
from wagtail_async_hooks.worker.bounds import Serving, told_of
from wagtail_async_hooks.worker.last_beats import LastBeats
from wagtail_async_hooks.worker.pruning import Pruner
from wagtail_async_hooks.worker.registration import Registration
from wagtail_async_hooks.worker.rescuing import Rescuer
from wagtail_async_hooks.worker.scheduler import Scheduler
from wagtail_async_hooks.worker.supervisor import STOP_SIGNALS
from wagtail_async_hooks.worker.timekeeping import Timekeeper

logger = logging.getLogger(__name__)

HEARTBEAT_INTERVAL: Final = 5.0
"""Seconds between two heartbeats of a worker, and between two looks for dead ones."""

MAX_DEATHS: Final = 3
"""So many workers may die while they run the same task; then the task fails."""

DUE_INTERVAL: Final = 1
"""Seconds between two looks for scheduled tasks that are due, and for what recurs."""

IDLE_INTERVAL: Final = 1.0
"""Seconds after which an idle thread looks into the ledger even if nothing has woken it."""

FILE_INTERVAL: Final = 0.1
"""Seconds between two looks of a thread whether the file of an SQLite database was replaced."""

STOP_INTERVAL: Final = 0.05
"""Seconds between two looks whether the process should end."""


class Activity:
    """Counts the threads that claim or run a task, so that a drain knows when all is done."""

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._busy = threads

    @contextmanager
    def idle(self) -> Any:
        """While a thread has nothing to do."""
        with self._lock:
            self._busy -= 1
        try:
            yield
        finally:
            with self._lock:
                self._busy += 1

    def is_over(self) -> bool:
        """Tell whether no thread claims or runs anything at this moment."""
        with self._lock:
            return self._busy == 0


class TaskThread(HueyWorker):  # type: ignore[misc]  # Huey has no types
    """A thread that claims and runs tasks, one after the other."""

    huey: TaskQueue

    def __init__(
        self,
        *,
        worker: Registration | None,
        waiter: Waiter,
        activity: Activity,
        outage: Outage,
        ready: threading.Event,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._ready = ready
        self._worker = worker
        self._waiter = waiter
        self._activity = activity
        self._outage = outage
        self._looks_at = float("-inf")

    def initialize(self) -> None:
        """Let signals through again, so that they reach what a task starts."""
        self._since = forks.generation()
        self._ready.wait()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        super().initialize()

    def loop(self, now: Any = None) -> None:
        """Record how the last task ended, claim the next one and run it, or wait for one."""
        self._end_if_forked()
        worker = self._worker
        if worker is not None and worker.is_overdue():
            self._wait_for_heartbeat()
            return
        mark = self._waiter.mark()
        try:
            self._leave_replaced()
            task = self.huey.next(None if worker is None else worker.pk)
        except Exception as error:
            connection_guard.restore_handler()
            self.stop_flag.wait(self._outage.begin(error))
            return
        self._outage.end()
        if task is None:
            with self._activity.idle():
                self._waiter.wait(mark, IDLE_INTERVAL)
        else:
            self._waiter.found()
            self._run(task)

    def _leave_replaced(self) -> None:
        """Look now and then whether SQLite's file was replaced, rather than before each task."""
        now = time.monotonic()
        if now >= self._looks_at:
            leave_replaced(ledger.database())
            self._looks_at = now + FILE_INTERVAL

    def _wait_for_heartbeat(self) -> None:
        """Neither begin nor record anything before it is known what is still this worker's."""
        with self._activity.idle():
            self.stop_flag.wait(STOP_INTERVAL)

    def _run(self, task: Task) -> None:
        """Run a task as a request would be: with connections that are neither old nor broken."""
        self._end_if_forked()
        connection_guard.tidy()
        try:
            self.huey.attempt(task)
        finally:
            connection_guard.tidy()

    def _end_if_forked(self) -> None:
        """End a copy of this process that something called around a task has forked."""
        forks.end_if_forked(self._since, lambda: "what is called around a task")

    def shutdown(self) -> None:
        """Record how the last task ended, even if the database is away for a while."""
        self._end_if_forked()
        super().shutdown()
        try:
            persist(self.huey.settle, self._outage, workers.HEARTBEAT_TIMEOUT)
        except (DatabaseError, InterfaceError) as error:
            logger.error(
                "How the last task of a thread ended could not be recorded: %s", one_line(error)
            )
        self._outage.leave()
        connections.close_all()


class Keeper(HueyScheduler):  # type: ignore[misc]  # Huey has no types
    """The thread that keeps the ledger tidy."""

    huey: TaskQueue

    def __init__(
        self,
        *,
        worker: Registration,
        outage: Outage,
        serving: Serving,
        recurring: Scheduler | None,
        timekeeper: Timekeeper,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._worker = worker
        self._serving = serving
        self._recurring = recurring
        self._outage = outage
        self._rescuer = Rescuer(self.huey, MAX_DEATHS)
        self._pruner = Pruner(worker.pk)
        self._timekeeper = timekeeper
        self._last_beat = float("-inf")
        self._judges_from = float("-inf")

    def loop(self, now: Any = None) -> None:
        """Say that we are alive, rescue what dead workers held, heed pauses, wake, prune.

        Each by itself: what is in the way of one is not in that of the others.
        """
        begun = time.monotonic()
        tasks: list[Callable[[], Any]] = [
            partial(leave_replaced, ledger.database()),
            self._serving.look,
            self.huey.read_schedule,
        ]
        if begun - self._last_beat >= HEARTBEAT_INTERVAL:
            tasks.insert(1, partial(self._beat, begun))
        if self._recurring is not None:
            tasks.append(self._recurring.look)
        tasks += [self._pruner.look, self.huey.record_set_aside]
        self._do(tasks)
        self.sleep_for_interval(begun, self.interval)

    def _do(self, tasks: list[Callable[[], Any]]) -> None:
        in_the_way = None
        for task in tasks:
            try:
                task()
            except Exception as error:
                if not is_contention(error):
                    self._outage.begin(error)
                    return
                in_the_way = error
        if in_the_way is None:
            self._outage.end()
        else:
            self._outage.begin(in_the_way)

    def _beat(self, now: float) -> None:
        """Say that the process is alive, and look for those that are not.

        After an outage, or where the database was restored, nobody has said so for a while. Then
        all get the time to do it.
        """
        worker = self._worker.pk
        if worker in ledger.silent_workers(workers.HEARTBEAT_TIMEOUT / 2):
            self._judges_from = now + workers.HEARTBEAT_TIMEOUT
        beat = self._worker.beat(self._timekeeper.look())
        if beat in (ledger.Beat.GONE, ledger.Beat.TAKEN):
            self._judges_from = now + workers.HEARTBEAT_TIMEOUT
        self._last_beat = now
        self._pruner.worker = self._worker.pk
        self._serving.limit_notifications()
        self._rescuer.hand_back_unheard(self._worker.pk)
        if now >= self._judges_from:
            self._rescuer.rescue(ledger.silent_workers())
            self._rescuer.rescue_orphans(workers.HEARTBEAT_TIMEOUT - HEARTBEAT_INTERVAL)

    def shutdown(self) -> None:
        """Close this thread's connections."""
        self._outage.leave()
        connections.close_all()


class WorkerProcess(Consumer):  # type: ignore[misc]  # Huey has no types
    """A worker process.

    :param queue: whose tasks it runs.
    :param threads: how many tasks it runs at once.
    :param drain: run what is due and end, rather than run until stopped.
    :param max_seconds: end, calmly, after so many seconds.
    :param shutdown_timeout: seconds that running tasks get to finish when the worker ends; what
        has not finished by then is handed back.
    :param schedule: whether it looks after what recurs.
    :param queues: the queues that it serves; empty for all.
    :param exclude_queues: queues that it does not serve.
    :param parent: number of the parent process, if there is one: the worker ends when that one
        does, and leaves Ctrl-C to it.
    """

    huey: TaskQueue

    def __init__(
        self,
        queue: TaskQueue,
        *,
        threads: int,
        drain: bool = False,
        max_seconds: float | None = None,
        shutdown_timeout: float = 30.0,
        schedule: bool = True,
        queues: Sequence[str] = (),
        exclude_queues: Sequence[str] = (),
        parent: int | None = None,
    ) -> None:
        self.parent = parent
        self._timekeeper = timekeeper = Timekeeper()
        self.drain = drain
        self.max_seconds = max_seconds
        self._outage = outage = Outage()
        register = partial(_register, threads, told_of(queues, exclude_queues), timekeeper)
        self.row: Worker = self._insist(register)
        self.registration = Registration(self.row, queue)
        self.activity = Activity(threads)
        self.serving = Serving(queue, queues, exclude_queues)
        self.waiter = self.serving.waiter()
        self._signals = 0
        self._ready = threading.Event()
        # Huey's consumer makes its threads with these, see Consumer.worker_class.
        self.worker_class: Callable[..., TaskThread] = partial(
            TaskThread,
            worker=self.registration,
            waiter=self.waiter,
            activity=self.activity,
            outage=outage,
            ready=self._ready,
        )
        self.recurring = Scheduler() if schedule else None
        self.scheduler_class: Callable[..., Keeper] = partial(
            Keeper,
            worker=self.registration,
            outage=outage,
            serving=self.serving,
            recurring=self.recurring,
            timekeeper=timekeeper,
        )
        super().__init__(
            queue,
            workers=threads,
            periodic=False,
            scheduler_interval=DUE_INTERVAL,
            shutdown_timeout=shutdown_timeout,
        )

    def run(self) -> None:
        """Work until asked to stop, until nothing is left to drain, or until time is up.

        :raises OutageLasts: if the database does not work while there is something to drain.
        """
        _keep_connections_open()
        log.connect()
        forks.begin_worker()
        self._insist(self._look_around)
        # Held back until Huey's signal handlers, which start() sets, are replaced by ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        self.start()
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        if self.parent is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        self._ready.set()
        signals.announce(signals.worker_started, self.row.host, worker=self.row)
        try:
            self._work()
        except KeyboardInterrupt:
            logger.info("Not waiting for what runs.")
            self.stop_flag.set()
        finally:
            self._end()

    def _look_around(self) -> None:
        """Do what a worker does before its threads start."""
        Rescuer(self.huey, MAX_DEATHS).rescue(dead_neighbours(self.row))
        self.serving.look()
        if self.drain:
            self.huey.read_schedule()
            if self.recurring is not None:
                self.recurring.look()

    def _insist(self, action: Callable[[], Any]) -> Any:
        """Do something in the database, however long it is away, unless the worker's time is up.

        :raises OutageLasts: if it is.
        """
        patience = workers.HEARTBEAT_TIMEOUT if self.drain else self.max_seconds or float("inf")
        try:
            return persist(action, self._outage, patience)
        except (DatabaseError, InterfaceError) as error:
            raise OutageLasts(f"{self._outage.newest or in_one_line(error)}.") from error

    def is_alive(self) -> bool:
        """Tell whether a thread is still running a task, after :meth:`run` has returned."""
        return any(self.environment.is_alive(thread) for _, thread in self.worker_threads)

    def _work(self) -> None:
        deadline = None if self.max_seconds is None else time.monotonic() + self.max_seconds
        checked = time.monotonic()
        while not self._signals:
            time.sleep(STOP_INTERVAL)
            now = time.monotonic()
            self._give_up_if_overdue()
            if self.parent is not None and os.getppid() != self.parent:
                logger.warning("The parent process is gone, stopping.")
                return
            if deadline is not None and now >= deadline:
                logger.info("%g seconds are over.", self.max_seconds)
                return
            if self.drain and self._outage.seconds > workers.HEARTBEAT_TIMEOUT:
                raise OutageLasts(f"{self._outage.newest}.")
            if self.drain and self.activity.is_over() and not self._anything_due():
                self._tell_what_is_held_back()
                return
            if now - checked >= HEARTBEAT_INTERVAL:
                self.check_worker_health()
                checked = now

    def _give_up_if_overdue(self) -> None:
        if self.registration.is_overdue():
            self.huey.give_up(self.registration.silence)

    def _anything_due(self) -> bool:
        """Tell whether threads that found nothing have to look again."""
        due = self._insist(ledger.promote_due)
        self.huey.storage.announce(due)
        if due:
            return True
        # What two of them looked at in the same moment, neither has: each looks once a second.
        bounds = self.huey.bounds
        waits = partial(ledger.waits, bounds)
        return not bounds.all_paused and bool(self._insist(waits))

    def _tell_what_is_held_back(self) -> None:
        if number := self._insist(self.serving.held_back):
            told = "task waits" if number == 1 else "tasks wait"
            logger.warning("%d %s because of a pause.", number, told)

    def _end(self) -> None:
        beats = LastBeats(
            self.registration,
            self._timekeeper,
            self._outage,
            HEARTBEAT_INTERVAL,
            self._give_up_if_overdue,
        )
        try:
            self.stop_flag.set()  # from here on, no thread claims another task
            logger.info("Worker %d is stopping.", os.getpid())
            self.waiter.close()
            with beats:
                self.stop(graceful=True)
        except KeyboardInterrupt:
            logger.info("Not waiting for what runs.")
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            handed_back = persist(self._hand_back, self._outage, OUTAGE_INTERVAL * 3)
        except (DatabaseError, InterfaceError) as error:
            logger.warning(
                "Nothing could be handed back, heartbeats will tell: %s", one_line(error)
            )
            handed_back = 0
        if handed_back:
            told = "task was" if handed_back == 1 else "tasks were"
            logger.warning("%d unfinished %s handed back.", handed_back, told)
        self.serving.end()
        signals.announce(signals.worker_stopped, self.row.host, worker=self.row)
        forks.end_worker()
        log.disconnect()

    def _hand_back(self) -> int:
        self.huey.record_set_aside(all_of_them=True)
        return ledger.stop_worker(self.row.pk)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # No locks in here (logging and threading.Event have some): the handler runs in the middle
        # of whatever the main thread does, which may hold them.
        self._signals += 1
        if self._signals == 2:
            raise KeyboardInterrupt  # do not wait for what runs


def _register(threads: int, queues: str, timekeeper: Timekeeper) -> Worker:
    """Record this process as a worker."""
    return ledger.register_worker(
        Worker(
            host=socket.gethostname(),
            process_space=process_space(),
            pid=os.getpid(),
            threads=threads,
            release=__version__,
            queues=queues,
            clock_ahead=timekeeper.look(),
        )
    )


def process_space() -> str:
    """Return where process numbers mean something: the boot of a machine, or a container on it.

    Blank where the system does not say; then only heartbeats tell who is dead.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def dead_neighbours(worker: Worker) -> list[int]:
    """Return the workers of this host whose processes are gone; no need to wait for those."""
    if not worker.process_space:
        return []
    beside = ledger.workers_beside(worker.host, worker.process_space)
    return [pk for pk, pid in beside.items() if pk != worker.pk and not _is_running(pid)]


def _is_running(pid: int) -> bool:
    if pid == os.getpid():
        return False  # the number was given to us: the one who had it before is gone
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _keep_connections_open() -> None:
    """Keep each thread's connection to the ledger, as long as it works.

    Every task begins with a claim over that connection, so that one which is broken is noticed
    there, and replaced, before the task. A pool keeps its connections itself, and Django allows it
    no others.
    """
    alias = ledger.database()
    if not pools.has_pool(alias):
        connections.settings[alias]["CONN_MAX_AGE"] = None
