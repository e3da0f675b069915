"""What a worker tells systemd, as its service of ``Type=notify``: that it is ready, and lives.

See ``sd_notify(3)``: a datagram to a socket. The packages for it need libsystemd to be compiled, or
are not maintained.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

from wagtail_async_hooks.worker.health import Health

logger = logging.getLogger("wagtail_async_hooks.worker")

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"

SEND_TIMEOUT: Final = 1.0
"""Seconds to wait while systemd's socket is full."""


class Systemd:
    """The service manager.

    :param address: of its socket; the first character of an abstract one is ``@``.
    :param watchdog: seconds after which it ends a service that says nothing; ``None`` for never.
    """

    def __init__(self, address: str, watchdog: float | None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._interval = None if watchdog is None else watchdog / 2
        self._pinged_at = float("-inf")
        self._is_ready = False
        self._is_ending = False
        self._summary = ""
        self._has_failed = False

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Systemd | None:
        """Return the one that has started a process; ``None`` if it was not one, or asks nothing.

        :param environment: the variables that it has set.
        :param pid: of this process.
        """
        address = environment.get(SOCKET, "")
        if not address.startswith(("/", "@")):
            return None
        period = environment.get(WATCHDOG, "")
        is_ours = environment.get(WATCHDOG_PID) in (None, "", str(pid))
        watchdog = int(period) / 1e6 if period.isdigit() and int(period) and is_ours else None
        return cls(address, watchdog)

    def tell(self, health: Health) -> None:
        """Tell what is new, and that the processes live, if they do and it is time to."""
        lines = []
        if health.is_ready and not self._is_ready:
            lines.append("READY=1")
        if health.is_ending and not self._is_ending:
            lines.append("STOPPING=1")
        if health.summary != self._summary:
            lines.append(f"STATUS={health.summary}")
        if health.is_live and self._is_time_to_ping():
            lines.append("WATCHDOG=1")
        if lines and self._is_sent("\n".join(lines)):
            self._is_ready = self._is_ready or health.is_ready
            self._is_ending = self._is_ending or health.is_ending
            self._summary = health.summary

    def _is_time_to_ping(self) -> bool:
        now = time.monotonic()
        if self._interval is None or now - self._pinged_at < self._interval:
            return False
        self._pinged_at = now
        return True

    def _is_sent(self, message: str) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_TIMEOUT)
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._has_failed:
                logger.warning("systemd cannot be notified by %s: %s", SOCKET, error)
            self._has_failed = True
            return False
        return True


def from_environment() -> Systemd | None:
    """Return the systemd that has started this process, and take its variables away.

    What a task starts would otherwise speak for the service.
    """
    found = Systemd.of(os.environ, os.getpid())
    for name in (SOCKET, WATCHDOG, WATCHDOG_PID):
        os.environ.pop(name, None)
    return found
