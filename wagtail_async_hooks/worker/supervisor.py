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


class Supervisor:
    """The parent of several worker processes. It opens no connections, so that forking is safe.

    :param processes: how many children to have.
    :param work: called in a child; returns its exit code. A child that ends with 0 has
        come to its end (a drain, a time limit) and is not replaced, nor is one that gave up.
    :param shutdown_timeout: seconds that children take at most to end.
    """

    def __init__(self, processes: int, work: Callable[[], int], shutdown_timeout: float) -> None:
        self._work = work
        self._wanted = processes
        self._shutdown_timeout = shutdown_timeout
        self._children: list[Child] = []
        self._signals = 0
        self._gave_up = 0

    def run(self) -> bool:
        """Keep the children alive, until all have come to their end or a signal asks to stop.

        :returns: whether none of them gave up.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        while len(self._children) < self._wanted:
            self._fork()
        while self._children and not self._signals:
            time.sleep(POLL_INTERVAL)
            for child, code in self._reap():
                if code == GAVE_UP:
                    self._gave_up += 1
                elif code != 0 and not self._signals:
                    self._replace(child, code)
        self._stop()
        return not self._gave_up

    def _fork(self) -> None:
        # The child gets signals only once it has handlers of its own; until then they are kept.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._be_a_child()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        self._children.append(Child(pid, time.monotonic()))

    def _be_a_child(self) -> NoReturn:
        code = 1
        try:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            # Ctrl-C reaches the whole group: the parent passes it on, once.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            code = self._work()
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
                ended.append((child, os.waitstatus_to_exitcode(status)))
        return ended

    def _replace(self, child: Child, code: int) -> None:
        logger.error("Worker process %d died (%s), starting another one.", child.pid, _cause(code))
        if time.monotonic() - child.born < QUICK_DEATH:
            self._pause(QUICK_DEATH)
        if not self._signals:
            self._fork()

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._signals:
            time.sleep(POLL_INTERVAL)

    def _stop(self) -> None:
        """Ask the children to end, and a second time if we are asked a second time."""
        passed_on = 0
        deadline = time.monotonic() + self._shutdown_timeout + GRACE
        while self._children:
            if passed_on < self._signals:
                passed_on = self._signals
                self._send(signal.SIGTERM)
            elif time.monotonic() > deadline:
                self._send(signal.SIGKILL)
            time.sleep(POLL_INTERVAL)
            self._reap()

    def _send(self, number: signal.Signals) -> None:
        for child in self._children:
            os.kill(child.pid, number)  # not reaped yet, so the number is still its

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1


def _cause(code: int) -> str:
    return f"exit code {code}" if code > 0 else signal.Signals(-code).name
