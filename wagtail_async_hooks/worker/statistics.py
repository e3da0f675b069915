"""The statistics of a worker: how its attempts ended, and now and then, how many tasks wait."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from wagtail_async_hooks import ledger
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.types import Counted, Tally
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.database.errors import in_one_line
from wagtail_async_hooks.worker.identity import Registration

logger = logging.getLogger("wagtail_async_hooks.worker")

SAMPLE_INTERVAL: Final = 60.0
"""Seconds between two counts of the waiting tasks, by the oldest worker."""


class Statistics:
    """Writes down what a worker process has counted since it did so last.

    No error of the database harms the worker: what could not be written is written next time.

    :param queue: whose attempts are counted.
    :param worker: the worker's row; its primary key may change.
    """

    def __init__(self, queue: TaskQueue, worker: Registration) -> None:
        self._counts = queue.claims.counts
        self._worker = worker
        self._lock = threading.Lock()
        self._begin(worker.pk, ledger.start_of(clock.database_now()))
        self._sampled_at = float("-inf")
        self._fails = False
        self._counts.begin()

    def flush(self) -> None:
        """Write down what was counted since the last time."""
        with self._lock:
            self._try(self._flush)

    def sample(self) -> None:
        """Record how many tasks wait, if it is time and this is the oldest worker."""
        now = time.monotonic()
        if now - self._sampled_at >= SAMPLE_INTERVAL:
            self._sampled_at = now
            self._try(self._sample)

    def end(self) -> None:
        """Write down the rest, and count no more."""
        self._counts.end()
        self.flush()

    def _begin(self, worker: int, start: datetime.datetime) -> None:
        self._pk = worker
        self._start = start
        self._totals: dict[Counted, Tally] = {}
        self._unwritten: set[Counted] = set()
        self._rows: dict[Counted, int] | None = None

    def _flush(self) -> None:
        now = worker, start = self._worker.pk, ledger.start_of(clock.database_now())
        if now != (self._pk, self._start):
            self._write()
            self._begin(worker, start)
        for counted, tally in self._counts.take().items():
            self._totals[counted] = tally.and_also(self._totals.get(counted, Tally()))
            self._unwritten.add(counted)
        self._write()

    def _write(self) -> None:
        if not self._unwritten:
            return
        changed = {counted: self._totals[counted] for counted in self._unwritten}
        known, self._rows = self._rows, None  # if this fails, nobody knows what is there
        self._rows = ledger.record_statistics(self._pk, self._start, changed, known)
        self._unwritten.clear()

    def _sample(self) -> None:
        if ledger.oldest_alive() == self._worker.pk:
            ledger.sample_queues()

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            if not self._fails:
                logger.warning(
                    "Statistics could not be recorded, trying again: %s", in_one_line(error)
                )
            self._fails = True
        else:
            self._fails = False
