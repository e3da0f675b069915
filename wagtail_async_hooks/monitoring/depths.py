"""How many tasks are in each queue and state, for how long the oldest is, and who serves them.

For tools that ask every few seconds: a few queries, each bounded.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from django.db.models import Count, Min, QuerySet

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.monitoring import overview, registered, workers
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database.instants import DatabaseNow

STATES: Final = (State.WAITING, State.SCHEDULED, State.RUNNING, State.FAILED)
"""Those that are counted: what is still to be done, and what somebody has to look at."""


class Depth(NamedTuple):
    """What is in a queue in one state.

    :param number: as far as they were counted.
    :param oldest: seconds for which the oldest has waited for a worker, is overdue, or runs; of
        failed tasks, ``None``.
    :param is_all: whether there are no more than that.
    """

    queue: str
    state: State
    number: int
    oldest: float | None
    is_all: bool = True


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
    found: dict[tuple[str, State], Depth] = {}

    def add(
        queue: str, state: State, number: int, oldest: float | None = 0.0, *, is_all: bool = True
    ) -> None:
        found[queue, state] = Depth(queue, state, number, oldest, is_all)

    for queue, waiting in ledger.waiting_by_queue().items():
        since = _since(now, waiting.since)
        add(queue, State.WAITING, waiting.number, since, is_all=waiting.is_all)
    counted = overview.counts_by_queue((State.SCHEDULED, State.FAILED))
    due = _due()
    for queue, numbers in counted.numbers.items():
        for state in (State.SCHEDULED, State.FAILED):
            oldest = None if state is State.FAILED else _since(now, due.get(queue, now))
            number, is_all = numbers.get(state, 0), state not in counted.at_least
            add(queue, state, number, oldest, is_all=is_all)
    for queue, number, started in _running():
        add(queue, State.RUNNING, number, _since(now, started))
    for queue in registered.queues() | {queue for queue, _ in found}:
        for state in STATES:
            if (queue, state) not in found:
                oldest = None if state is State.FAILED else 0.0
                add(queue, state, 0, oldest, is_all=state not in counted.at_least)
    order = sorted(found, key=lambda key: (key[0], STATES.index(key[1])))
    return Depths([found[key] for key in order], overview.workers_alive())


def waited(task: int) -> float | None:
    """Return for how many seconds a task that has been started had waited for a worker.

    One query, or two for a task that is begun once more.

    :param task: primary key.
    :returns: ``None`` if nobody knows: the task is gone, or it waits once more since its worker
        died or somebody had it run again, and from when on is not recorded.
    """
    rows = _tasks().filter(pk=task)
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


def _due() -> dict[str, datetime.datetime]:
    """Return by queue since when a scheduled task is due that no worker has noticed."""
    rows = _tasks().filter(state=State.SCHEDULED, run_at__lte=DatabaseNow()).order_by("run_at")
    found: dict[str, datetime.datetime] = {}
    for queue, run_at in rows.values_list("queue", "run_at")[: overview.MANY]:
        if run_at is not None:  # as the condition says
            found.setdefault(queue, run_at)
    return found


def _running() -> Iterable[tuple[str, int, datetime.datetime]]:
    """Return by queue how many tasks run, and since when the first of them."""
    rows = _tasks().filter(state=State.RUNNING).order_by()
    return rows.values_list("queue").annotate(Count("pk"), Min("started_at"))


def _tasks() -> QuerySet[BackgroundTask]:
    return BackgroundTask.objects.using(ledger.database())
