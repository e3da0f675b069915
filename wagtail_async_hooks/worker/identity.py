"""The identity of a worker: its row, its heartbeats, and the tasks that it holds.

Other workers consider one dead whose heartbeat is too old, and take over its tasks. So a worker
whose own heartbeats fail for a while knows, by its clock, that this is about to happen.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path
from typing import Final

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks._version import __version__
from wagtail_async_hooks.ledger import workers
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.types import Claim
from wagtail_async_hooks.utils.text import storable
from wagtail_async_hooks.worker import code

logger = logging.getLogger("wagtail_async_hooks.worker")

MARGIN: Final = 0.75
"""Fraction of the heartbeat timeout after which a silent worker begins no task any more, and
interrupts those that must not run twice at once."""

HEARTBEAT_WAIT: Final = 0.05
"""Seconds between two checks of a thread whether the worker's heartbeats work again."""


def release() -> str:
    """Return what the site calls its release, or else that of this package."""
    named = conf.current().release or __version__
    return storable(named)[: Worker._meta.get_field("release").max_length]


def register(threads: int, queues: str, clock_ahead: int) -> Worker:
    """Insert the row of a worker in this process.

    :param threads: how many tasks it runs at once.
    :param queues: description of the queues that it serves.
    :param clock_ahead: by how many seconds its clock is ahead of the database's.
    """
    return ledger.register_worker(
        Worker(
            host=socket.gethostname(),
            process_space=process_space(),
            pid=os.getpid(),
            threads=threads,
            release=release(),
            queues=queues,
            clock_ahead=clock_ahead,
            code=code.hashes(),
        )
    )


class Registration:
    """The row of a worker, kept up to date.

    :param worker: the row as inserted; its primary key may change, see :meth:`beat`.
    :param queue: the queue whose tasks it runs.
    """

    def __init__(self, worker: Worker, queue: TaskQueue) -> None:
        self._worker = worker
        self.pk = int(worker.pk)
        """The worker's primary key."""
        self._queue = queue
        self._beat_at = time.monotonic()
        self._astray: list[Claim] = []

    @property
    def silence(self) -> float:
        """Seconds since the last heartbeat; never less than what others count."""
        return time.monotonic() - self._beat_at

    def is_overdue(self) -> bool:
        """Return whether other workers may be about to take over its tasks."""
        # Not by the property above: this is asked before each task.
        return time.monotonic() - self._beat_at > workers.HEARTBEAT_TIMEOUT * MARGIN

    def beat(self, clock_ahead: int = 0) -> ledger.Beat:
        """Record a heartbeat; restore the row, and the hold on running tasks, where they are lost.

        :param clock_ahead: by how many seconds its clock is ahead of the database's.
        """
        asked_at, held = time.monotonic(), self._queue.claims.holding.all()
        beat = ledger.beat(self._worker, clock_ahead)
        if beat in (ledger.Beat.GONE, ledger.Beat.TAKEN):
            self._register_anew(held)
        elif beat is ledger.Beat.RETURNED:
            logger.warning(
                "This worker had been given up for dead after %.0f s without a heartbeat, and is "
                "back.",
                asked_at - self._beat_at,
            )
        self._beat_at = asked_at
        self._look_after(held, at_once=beat is not ledger.Beat.ALIVE)
        return beat

    def _register_anew(self, held: list[Claim]) -> None:
        former = self.pk
        ledger.register_anew(self._worker)
        self.pk = int(self._worker.pk)
        logger.warning(
            "The row of this worker is gone from the database, as after a restore; it is recorded "
            "anew, as worker %d.",
            self.pk,
        )
        if self.pk != former:
            ledger.adopt(former, self.pk, held)

    def _look_after(self, held: list[Claim], *, at_once: bool) -> None:
        """Take back tasks that run here, but not by the ledger, unless another worker has them.

        Only those that two heartbeats in succession find, as the end of a task may be recorded
        just now; unless there is a reason to do it at once.
        """
        known = set(ledger.held_by(self.pk))
        keeps = self._queue.claims.holding.keeps
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


def process_space() -> str:
    """Return what process ids are unique within: the boot of a machine, or a container on it.

    Blank where the system does not say; then only heartbeats show which workers are dead.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def dead_neighbours(worker: Worker) -> list[int]:
    """Return the workers of this host whose processes are gone; no timeout is needed for those."""
    if not worker.process_space:
        return []
    beside = ledger.workers_beside(worker.host, worker.process_space)
    return [pk for pk, pid in beside.items() if pk != worker.pk and not _is_running(pid)]


def _is_running(pid: int) -> bool:
    if pid == os.getpid():
        return False  # the system gave the number to us: its former process is gone
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended, and its parent has not heard of it yet.

    What it held is free before its number is: of locks, others learn at once.
    """
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        states = {_state(thread) for thread in threads}
    except OSError:
        return False
    return bool(states) and states <= {"Z", "X"}


def _state(thread: Path) -> str:
    # After the name, which is in brackets and may have any of these in it.
    return (thread / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
