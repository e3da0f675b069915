"""Pruning: deletion of tasks that ended long ago, so that the ledger does not grow for ever.

With them go old statistics, and old samples of how long functions of hooks took.

One of the workers does it, a bounded number of rows at a time.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Mapping
from typing import Final

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.types import State

logger = logging.getLogger(__name__)

INTERVAL: Final = 600.0
"""Seconds from the end of one round to the beginning of the next."""


class Pruner:
    """The pruning by one worker, in steps.

    :param worker: primary key of the worker's row, which may change.
    """

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self._after = 0
        self._rests_until = float("-inf")

    def take_step(self) -> None:
        """Delete one batch, if it is time and this is the oldest worker, which does it for all."""
        now = time.monotonic()
        if now < self._rests_until:
            return
        if ledger.oldest_alive() != self.worker:
            self._rest(now)
            return
        ages = ages_of(conf.current().history)
        gone, last = ledger.prune(ages, self._after)
        if gone:
            logger.debug("%d tasks have left the ledger.", gone)
        if last is None:
            ledger.prune_hook_samples()
            ledger.prune_statistics()
            ledger.merge_statistics()
            if ages:
                ledger.prune_workers(max(ages.values()))
            self._rest(now)
        else:
            self._after = last

    def _rest(self, now: float) -> None:
        self._after = 0
        self._rests_until = now + INTERVAL


def prune(history: conf.HistoryOptions) -> int:
    """Delete all tasks that ended long enough ago; return how many."""
    ages = ages_of(history)
    number, last = ledger.prune(ages)
    while last is not None:
        gone, last = ledger.prune(ages, last)
        number += gone
    return number


def ages_of(history: conf.HistoryOptions) -> Mapping[State, datetime.timedelta]:
    """Return how long ended tasks are kept, by state; those of other states are never deleted."""
    well, badly = history.succeeded, history.failed
    days = {
        State.SUCCEEDED: well,
        State.MERGED: well,
        State.FAILED: badly,
        State.CANCELLED: badly,
        State.EXPIRED: badly,
    }
    return {state: datetime.timedelta(days=age) for state, age in days.items() if age is not None}
