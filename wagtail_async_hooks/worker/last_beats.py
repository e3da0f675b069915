"""Heartbeats of a worker that is stopping: while its last tasks run, they are nobody else's.

Huey ends the thread that sends heartbeats together with all others, and then waits for the tasks.
If that takes longer than others wait for a heartbeat, they would rescue what still runs here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from django.db import connections

from wagtail_async_hooks.utils.database.outages import Outage
from wagtail_async_hooks.worker.registration import Registration
from wagtail_async_hooks.worker.timekeeping import Timekeeper

LOOK_INTERVAL: Final = 0.25
"""Seconds between two looks whether others may be about to take over what still runs."""

PATIENCE: Final = 3.0
"""Seconds that a heartbeat which is under way may take when the last task has ended."""


class LastBeats:
    """While a worker waits for its tasks to end; no heartbeat follows.

    :param registration: the worker's.
    :param timekeeper: measures the clock for each heartbeat, as before.
    :param outage: is told of heartbeats that cannot be recorded.
    :param interval: seconds between two heartbeats.
    :param look: called all the time, by a thread that never waits for the database.
    """

    def __init__(
        self,
        registration: Registration,
        timekeeper: Timekeeper,
        outage: Outage,
        interval: float,
        look: Callable[[], None],
    ) -> None:
        self._registration = registration
        self._timekeeper = timekeeper
        self._outage = outage
        self._interval = interval
        self._look = look
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        for target in (self._beat, self._watch):
            threading.Thread(target=target, name="last-beats", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        # A heartbeat after the row says that the worker has stopped would revive it.
        if self._lock.acquire(timeout=PATIENCE):
            self._lock.release()

    def _beat(self) -> None:
        while not self._over.wait(self._interval):
            with self._lock:
                if self._over.is_set():
                    break
                try:
                    self._registration.beat(self._timekeeper.look())
                except Exception as error:
                    self._outage.begin(error)
        self._outage.leave()
        connections.close_all()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_INTERVAL):
            self._look()
