"""Several worker processes under one parent, which replaces those that die.

``multiprocessing.Pool`` and ``ProcessPoolExecutor`` distribute calls rather than keep processes,
and the latter breaks when one dies; gunicorn's arbiter serves sockets; honcho ends all processes
when one ends, and circus and supervisord are services with a configuration of their own.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Final, NoReturn

from wagtail_async_hooks.worker.health import Health, judge
from wagtail_async_hooks.worker.monitor import Monitor
from wagtail_async_hooks.worker.reporting import Channel, Phase, Report

logger = logging.getLogger("wagtail_async_hooks.worker")

POLL_INTERVAL: Final = 0.1
"""Seconds between two checks whether a child has ended."""

QUICK_DEATH: Final = 5.0
"""Lifetime in seconds below which a child is replaced only after as many seconds."""

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that ask a worker, or all of them, to stop."""

GRACE: Final = 10.0
"""Seconds beyond ``shutdown_timeout`` after which a child that does not end is killed."""


GAVE_UP: Final = 75
"""Exit code of a child that gave up, and is not replaced (that of BSD's ``EX_TEMPFAIL``)."""


@dataclass
class Child:
    """A process that was forked."""

    pid: int
    born: float
    channel: Channel
    retires: bool = False
    """Whether it was told to end, as another process works in its place."""

    @property
    def report(self) -> Report:
        """What it has said of itself last."""
        return self.channel.last


@dataclass
class Relief:
    """A child that is to retire, and the one that takes its place."""

    child: Child
    successor: Child


class Supervisor:
    """The parent of several worker processes. It opens no connections, so that forking is safe.

    A child that reports that it should be replaced goes on until another one works in its place,
    and then finishes what it runs, for as long as that takes. One is relieved at a time, and there
    are never more than twice as many children as are wanted.

    :param processes: how many children to have.
    :param work: called in a child, with its channel; returns its exit code. A child that ends with
        0 has come to its end (a drain, a time limit, its retirement) and is not replaced, nor is
        one that gave up.
    :param shutdown_timeout: seconds that children take at most to end.
    :param monitor: makes what tells of their health, of a function that returns it.
    """

    def __init__(
        self,
        processes: int,
        work: Callable[[Channel], int],
        shutdown_timeout: float,
        monitor: Callable[[Callable[[], Health]], Monitor] | None = None,
    ) -> None:
        self._work = work
        self._wanted = processes
        self._shutdown_timeout = shutdown_timeout
        self._children: list[Child] = []
        self._signals = 0
        self._gave_up = 0
        self._relief: Relief | None = None
        self._relieves_from = float("-inf")
        self._monitor = Monitor(self._health) if monitor is None else monitor(self._health)

    def run(self) -> bool:
        """Keep the children alive, until all have come to their end or a signal asks to stop.

        :returns: whether none of them gave up.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        while len(self._children) < self._wanted:
            self._fork()
        while self._children and not self._signals:
            self._wait()
            for child, code in self._reap():
                self._relieve()
                if code == GAVE_UP:
                    self._gave_up += 1
                elif code != 0 and not self._signals:
                    self._replace(child, code)
            self._relieve()
            self._ask_who_is_due()
        self._stop()
        self._monitor.close()
        return not self._gave_up

    def _wait(self) -> None:
        """Wait for a moment, answer who asks, and hear what the children say."""
        self._monitor.wait(POLL_INTERVAL)
        for child in self._children:
            child.channel.read()

    def _health(self) -> Health:
        reports = {child.pid: child.report for child in self._children}
        return judge(reports, is_ending=self._signals > 0)

    # Relieve ------------------------------------------------------------------------------

    def _ask_who_is_due(self) -> None:
        """Begin to relieve a child that asks for it, unless another one is being relieved."""
        if self._relief is not None or self._signals:
            return
        if len(self._children) >= 2 * self._wanted or time.monotonic() < self._relieves_from:
            return
        for child in self._children:
            if child.report.excess and not child.retires:
                logger.info("Worker process %d is replaced, as %s.", child.pid, child.report.excess)
                self._begin_relief(child)
                return

    def _begin_relief(self, child: Child) -> None:
        """Start a successor; where the system has no room for one, the child goes on for a while.

        Too little memory may be both why a child is to be replaced and why it cannot be.
        """
        try:
            self._relief = Relief(child, self._fork())
        except OSError as error:
            logger.error("Another worker process cannot be started: %s", error)
            self._relieves_from = time.monotonic() + QUICK_DEATH

    def _relieve(self) -> None:
        """Let a child retire whose successor works, or has worked."""
        if self._relief is None:
            return
        child, successor = self._relief.child, self._relief.successor
        if successor.report.phase is not Phase.STARTING:
            child.retires = True
            child.channel.retire()
            self._relief = None
        elif child not in self._children or successor not in self._children:
            self._relief = None

    # Fork and reap ------------------------------------------------------------------------

    def _fork(self) -> Child:
        channel = Channel()
        # The child gets signals only once it has handlers of its own; until then they are kept.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            channel.close()
            raise
        if pid == 0:
            self._be_a_child(channel)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        child = Child(pid, time.monotonic(), channel)
        self._children.append(child)
        return child

    def _be_a_child(self, channel: Channel) -> NoReturn:
        code = 1
        try:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            # Ctrl-C reaches the whole group: the parent passes it on, once.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for sibling in self._children:
                sibling.channel.close()
            code = self._work(channel)
        except BaseException:
            logger.exception("Worker process %d broke off.", os.getpid())
        finally:
            logging.shutdown()
            os._exit(code)

    def _reap(self) -> list[tuple[Child, int]]:
        """Return the children that have ended since the last call, with their exit codes."""
        ended = []
        for child in list(self._children):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._children.remove(child)
                child.channel.read()  # what it has said at last
                child.channel.close()
                ended.append((child, os.waitstatus_to_exitcode(status)))
        return ended

    def _replace(self, child: Child, code: int) -> None:
        if sum(not each.retires for each in self._children) >= self._wanted:
            logger.error("Worker process %d died (%s).", child.pid, _cause(code))
            self._relieves_from = time.monotonic() + QUICK_DEATH  # it may have been a successor
            return
        logger.error("Worker process %d died (%s), starting another one.", child.pid, _cause(code))
        if time.monotonic() - child.born < QUICK_DEATH:
            self._pause(QUICK_DEATH)
        if not self._signals:
            self._fork()

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._signals:
            self._wait()

    def _stop(self) -> None:
        """Ask the children to end, and not to wait for what runs if we are asked a second time.

        That one is repeated until they have ended: of two signals that reach a child before it
        gets to run, the system keeps one.
        """
        self._send(signal.SIGTERM)
        deadline = time.monotonic() + self._shutdown_timeout + GRACE
        while self._children:
            if time.monotonic() > deadline:
                self._send(signal.SIGKILL)
            elif self._signals > 1:
                self._send(signal.SIGTERM)
            self._wait()
            self._reap()

    def _send(self, number: signal.Signals) -> None:
        for child in self._children:
            os.kill(child.pid, number)  # not reaped yet, so the number is still its

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1


def _cause(code: int) -> str:
    return f"exit code {code}" if code > 0 else signal.Signals(-code).name
