"""How things stand now: how many tasks, which workers, what waits longest, and what is paused.

At most six queries, whose cost does not depend on how many tasks there are.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import overview, statistics
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.types import State


@dataclass(frozen=True)
class Summary:
    """How things stand.

    :param counts: of tasks by state, each as far as it was counted.
    :param oldest: the task that has waited longest; ``None`` also where too many wait to tell.
    :param waited: for how long it has; of so many, what a worker has found in the last minutes.
    """

    counts: dict[State, overview.BoundedCount]
    moment: Moment
    oldest: BackgroundTask | None
    waited: datetime.timedelta | None

    @property
    def threads(self) -> int:
        """How many tasks can run at once."""
        return sum(worker.threads for worker in self.moment.living)


def summary(moment: Moment) -> Summary:
    """Return how things stand now; what the moment knows already is not asked for again."""
    counts = overview.bounded_counts()
    oldest, waited = _oldest(counts[State.WAITING], moment.time)
    return Summary(counts, moment, oldest, waited)


def _oldest(
    waiting: overview.BoundedCount, now: datetime.datetime
) -> tuple[BackgroundTask | None, datetime.timedelta | None]:
    """Return the task that has waited longest, and for how long; of very many, only the latter."""
    if not waiting.is_all:
        return None, statistics.latest_oldest(now)
    row = overview.first_enqueued() if waiting.number else None
    if row is None:
        return None, None
    return row, max(now - overview.waits_since(row), datetime.timedelta())
