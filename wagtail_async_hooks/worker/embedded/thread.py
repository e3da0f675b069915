"""The thread in which a process stands by, and how it is asked to end.

What a worker needs is loaded there, so that the request in which it begins does not wait for it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from wagtail_async_hooks.worker.embedded.limits import STOP_PATIENCE, shutdown_timeout

if TYPE_CHECKING:
    from wagtail_async_hooks.worker.embedded.host import Host

logger = logging.getLogger("wagtail_async_hooks.worker")


class HostThread:
    """The thread of this process that runs a worker when it is its turn."""

    def __init__(self) -> None:
        self._host: Host | None = None
        self._stopping = threading.Event()
        self._hurried = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="embedded-worker", daemon=True)

    def start(self) -> None:
        """Start it.

        :raises RuntimeError: if the system allows no more threads.
        """
        self._thread.start()

    def stop(self) -> None:
        """Let running tasks finish, for some seconds; hand back what has not finished then.

        What a signal raises meanwhile, such as Ctrl-C, hands it back at once. Only the first call
        waits.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        until = time.monotonic() + shutdown_timeout() + STOP_PATIENCE
        while not self._over.is_set() and time.monotonic() < until:
            try:
                # Not join(): Python 3.11 takes a thread for ended once that was interrupted.
                self._over.wait(until - time.monotonic())
            except BaseException:  # servers raise SystemExit in their handlers
                if not self._hurried.is_set():
                    until = time.monotonic() + STOP_PATIENCE
                self._hurried.set()

    def forget(self) -> None:
        """Leave all to the parent, after a fork."""
        if self._host is not None:
            self._host.forget()

    def _run(self) -> None:
        try:
            from wagtail_async_hooks.worker.embedded.host import Host

            self._host = Host(self._stopping, self._hurried)
            self._host.run()
        except Exception:
            logger.exception("The embedded worker of process %d has ended.", os.getpid())
        finally:
            self._over.set()
