"""Heartbeats of a worker that is stopping, so that others do not rescue its last tasks.

Huey ends the maintenance thread, which sends heartbeats, together with all others, and then waits
for the running tasks, which may take longer than the heartbeat timeout.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from django.db import connections

from wagtail_async_hooks.utils.database.outages import Outage
from wagtail_async_hooks.worker.identity import Registration
from wagtail_async_hooks.worker.timekeeping import Timekeeper

WATCH_INTERVAL: Final = 0.25
"""Seconds between two calls of ``watch``."""

PATIENCE: Final = 3.0
"""Seconds to wait for a heartbeat that is under way when the last task has ended."""


class FinalHeartbeats:
    """Context manager that sends heartbeats while a worker waits for its tasks to end.

    :param registration: the worker's.
    :param timekeeper: measures the clock for each heartbeat.
    :param outage: notified of heartbeats that cannot be recorded.
    :param interval: seconds between two heartbeats.
    :param watch: called repeatedly, by a thread that never waits for the database.
    """

    def __init__(
        self,
        registration: Registration,
        timekeeper: Timekeeper,
        outage: Outage,
        interval: float,
        watch: Callable[[], None],
    ) -> None:
        self._registration = registration
        self._timekeeper = timekeeper
        self._outage = outage
        self._interval = interval
        self._on_watch = watch
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        for target in (self._beat, self._watch):
            threading.Thread(target=target, name="final-heartbeats", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        # A heartbeat after the row says that the worker has stopped would mark it alive again.
        if self._lock.acquire(timeout=PATIENCE):
            self._lock.release()

    def _beat(self) -> None:
        while not self._over.wait(self._interval):
            with self._lock:
                if self._over.is_set():
                    break
                try:
                    self._registration.beat(self._timekeeper.measure())
                except Exception as error:
                    self._outage.begin(error)
        self._outage.leave()
        connections.close_all()

    def _watch(self) -> None:
        while not self._over.wait(WATCH_INTERVAL):
            self._on_watch()
