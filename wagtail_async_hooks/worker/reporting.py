"""What a worker process says of itself to those who watch it, and how that is passed on.

With several processes, the parent watches: each child has a channel to it. A process alone keeps
its report for a thread of its own.
"""

from __future__ import annotations

import enum
import json
import socket
import time
from typing import Final, NamedTuple, Protocol

REPORT_INTERVAL: Final = 1.0
"""Seconds between two reports that say the same."""

_MAX_SIZE: Final = 4096
"""Bytes of a message that are read; ours have some hundred."""

_RETIRE: Final = b"retire"


class Phase(enum.StrEnum):
    """Where a process is in its life."""

    STARTING = "starting"
    WORKING = "working"
    RETIRING = "retiring"
    """It claims nothing more, and ends when what runs has ended."""
    STOPPING = "stopping"


class Report(NamedTuple):
    """What a process says of itself.

    :param problem: why it cannot run tasks at this moment, in words; blank if it can.
    :param excess: why it should be replaced, such as "it has run 9 tasks"; blank if it should not.
    :param at: when its main thread has said so, by the monotonic clock, which all processes share.
    """

    phase: Phase
    problem: str = ""
    excess: str = ""
    at: float = 0.0


class Reporter(Protocol):
    """Where a worker process reports, and learns whether to retire."""

    def report(self, report: Report) -> None:
        """Pass a report on."""

    def is_to_retire(self) -> bool:
        """Return whether somebody else has begun to work in its place."""


class Own:
    """The report of a process that nobody else watches."""

    def __init__(self) -> None:
        self.last = Report(Phase.STARTING, at=time.monotonic())

    def report(self, report: Report) -> None:
        """See :meth:`Reporter.report`."""
        self.last = report

    def is_to_retire(self) -> bool:
        """See :meth:`Reporter.is_to_retire`."""
        return False


class Channel:
    """The channel between a parent and one child; made before the fork, used on both sides.

    A message that finds no room is left out: the parent is stuck then, and nobody may wait for it.
    """

    def __init__(self) -> None:
        self._parents, self._childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self._parents, self._childs):
            end.setblocking(False)
        self.last = Report(Phase.STARTING, at=time.monotonic())
        """The child's last report, in the parent."""

    def report(self, report: Report) -> None:
        """See :meth:`Reporter.report`; for the child."""
        _send(self._childs, json.dumps(report).encode())

    def is_to_retire(self) -> bool:
        """See :meth:`Reporter.is_to_retire`; for the child."""
        return _receive(self._childs) == _RETIRE

    def retire(self) -> None:
        """Let the child retire; for the parent."""
        _send(self._parents, _RETIRE)

    def read(self) -> None:
        """Read the child's reports; for the parent."""
        while message := _receive(self._parents):
            phase, *others = json.loads(message)
            self.last = Report(Phase(phase), *others)

    def close(self) -> None:
        """Close both ends, in the process that calls this."""
        self._parents.close()
        self._childs.close()


def _send(end: socket.socket, message: bytes) -> None:
    try:
        end.send(message)
    except OSError:  # no room, or the other one is gone, which is noticed otherwise
        return


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(_MAX_SIZE)
    except OSError:
        return b""
