"""Tells of the health of worker processes whoever asks: probes by HTTP, and systemd."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from wagtail_async_hooks.worker.health import Health, judge
from wagtail_async_hooks.worker.health_server import Address, HealthServer
from wagtail_async_hooks.worker.reporting import Own
from wagtail_async_hooks.worker.systemd import Systemd

POLL_INTERVAL: Final = 0.2
"""Seconds between two looks of a thread whether systemd is to be told something."""

END_TIMEOUT: Final = 5.0
"""Seconds to wait for that thread when the process ends."""


class Monitor:
    """Tells of the health of some processes.

    :param ask: returns how they are.
    :param address: where probes ask by HTTP; ``None`` for nowhere.
    :param systemd: what is told; ``None`` for nothing.
    :raises OSError: if it cannot listen there.
    """

    def __init__(
        self,
        ask: Callable[[], Health],
        address: Address | None = None,
        systemd: Systemd | None = None,
    ) -> None:
        self._ask = ask
        self._systemd = systemd
        self._server = None if address is None else HealthServer(address, ask)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody may ask, or is told."""
        return self._server is not None or self._systemd is not None

    @property
    def address(self) -> Address | None:
        """Where it listens."""
        return None if self._server is None else self._server.address

    def wait(self, seconds: float) -> None:
        """Wait, and answer meanwhile; afterwards systemd hears what is new."""
        if self._server is None:
            time.sleep(seconds)
        else:
            self._server.poll(seconds)
        self.tell()

    def tell(self) -> None:
        """Tell systemd what is new."""
        if self._systemd is not None:
            self._systemd.tell(self._ask())

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()


@contextmanager
def watching(monitor: Monitor) -> Iterator[None]:
    """Let a thread answer, within the context; for a process that forks no others."""
    if not monitor.has_listeners:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            monitor.wait(POLL_INTERVAL)
        monitor.tell()

    thread = threading.Thread(target=watch, name="monitor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(END_TIMEOUT)
        monitor.close()


def of_one(own: Own, pid: int) -> Callable[[], Health]:
    """Return what says how a process is, by its own report."""
    return lambda: judge({pid: own.last})
