"""How many tasks are in each queue and state, for how long the oldest is, and who serves them.

For tools that ask every few seconds: a few queries, each bounded.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from django.db.models import Count, Min

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.monitoring import overview, registered, workers
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database.instants import DatabaseNow

MOST: Final = 100_000
"""Number of tasks in a state beyond which they are not counted; of waiting ones, in each queue."""

STATES: Final = (State.WAITING, State.SCHEDULED, State.RUNNING, State.FAILED)
"""Those that are counted: what is still to be done, and what somebody has to look at."""


class Depth(NamedTuple):
    """What is in a queue in one state.

    :param oldest: seconds for which the oldest has waited for a worker, is overdue, or runs; of
        failed tasks, ``None``.
    """

    queue: str
    state: State
    number: int
    oldest: float | None


@dataclass
class Depths:
    """What the ledger holds now.

    :param tasks: by queue and state; also what is empty, of queues that the site knows.
    :param workers: those that are alive.
    """

    tasks: list[Depth] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    def threads(self, queue: str) -> int:
        """Return how many threads serve a queue, if they have nothing else to do."""
        serving = (row for row in self.workers if workers.serves(row.queues, queue))
        return sum(row.threads for row in serving)

    @property
    def queues(self) -> list[str]:
        """The queues that the site knows or that are in use, by name."""
        return sorted({depth.queue for depth in self.tasks})


def depths() -> Depths:
    """Return how many tasks are in each queue and state, and which workers live."""
    now = ledger.clock()
    found: dict[tuple[str, State], tuple[int, float]] = {}
    for queue, waiting in ledger.waiting_by_queue(MOST).items():
        found[queue, State.WAITING] = waiting.number, _since(now, waiting.since)
    for queue, number in _counted(State.SCHEDULED):
        found[queue, State.SCHEDULED] = number, 0.0
    for queue, _, due in _oldest("run_at", state=State.SCHEDULED, run_at__lte=DatabaseNow()):
        number, _ = found.get((queue, State.SCHEDULED), (1, 0.0))
        found[queue, State.SCHEDULED] = number, _since(now, due)
    for queue, number, started in _oldest("started_at", state=State.RUNNING):
        found[queue, State.RUNNING] = number, _since(now, started)
    for queue, number in _counted(State.FAILED):
        found[queue, State.FAILED] = number, 0.0
    names = registered.queues() | {queue for queue, _ in found}
    tasks = []
    for queue in sorted(names):
        for state in STATES:
            number, oldest = found.get((queue, state), (0, 0.0))
            tasks.append(Depth(queue, state, number, None if state is State.FAILED else oldest))
    return Depths(tasks, overview.workers_alive())


def waited(task: int) -> float | None:
    """Return for how many seconds a task that has been started had waited for a worker.

    One query, or two for a task that is begun once more.

    :param task: primary key.
    :returns: ``None`` if nobody knows: the task is gone, or it waits once more since its worker
        died or somebody had it run again, and from when on is not recorded.
    """
    rows = BackgroundTask.objects.using(ledger.database()).filter(pk=task)
    row = rows.values_list("attempt", "enqueued_at", "run_at", "started_at").first()
    if row is None:
        return None
    attempt, enqueued_at, run_at, started_at = row
    if started_at is None:
        return None
    if attempt > 1 and run_at is None and ledger.attempts(task).exists():
        return None
    return _since(started_at, max(enqueued_at, run_at or enqueued_at))


def _since(now: datetime.datetime, moment: datetime.datetime) -> float:
    return max(0.0, (now - moment).total_seconds())


def _counted(state: State) -> list[tuple[str, int]]:
    """Return how many tasks are in a state, by queue."""
    some = overview.of_state(state, "queue", MOST)
    statement = f"SELECT queue, COUNT(*) FROM ({some}) found GROUP BY queue"
    return [(queue, number) for queue, number in overview.fetch(statement)]


def _oldest(column: str, **given: object) -> Iterable[tuple[str, int, datetime.datetime]]:
    """Return how many tasks there are and the earliest time in a column, by queue."""
    rows = BackgroundTask.objects.using(ledger.database()).filter(**given).order_by()
    return rows.values_list("queue").annotate(Count("pk"), Min(column))
