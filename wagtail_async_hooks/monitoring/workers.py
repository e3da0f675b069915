"""The workers as people see them: which live, what each does, and which are gone.

At most four queries, however many workers and tasks there are.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from django.db.models import Q, Subquery

from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger.workers import CUT_OFF, DIED
from wagtail_async_hooks.models import BackgroundTask, TaskAttempt, Worker
from wagtail_async_hooks.monitoring.moment import WORKERS, Moment
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import clock

MOST_TASKS: Final = 500
"""So many running tasks are shown, of all workers together."""

RECENT_ATTEMPTS: Final = 10_000
"""Among so many attempts, the newest, those are looked for that a worker died of."""

GONE_FOR: Final = datetime.timedelta(days=1)
"""For so long a worker is shown that is gone."""

ALL_BUT: Final = "all but "
"""How a worker's row begins to tell which queues it serves if it leaves some out."""


@dataclass
class Line:
    """One worker.

    :param is_alive: whether its heartbeat is recent.
    :param has_died: whether it ended without saying so.
    :param is_other_release: whether its release is not that of the worker started last.
    :param tasks: what it is doing, or held when it died.
    """

    row: Worker
    now: datetime.datetime
    is_alive: bool
    has_died: bool = False
    is_other_release: bool = False
    tasks: list[BackgroundTask] = field(default_factory=list)

    @property
    def age(self) -> datetime.timedelta:
        """For how long it has run."""
        until = self.now if self.is_alive else self.row.stopped_at or self.row.heartbeat_at
        elapsed: datetime.timedelta = until - self.row.started_at
        return elapsed

    @property
    def silence(self) -> datetime.timedelta:
        """How long ago its last heartbeat was."""
        elapsed: datetime.timedelta = self.now - self.row.heartbeat_at
        return max(elapsed, datetime.timedelta())

    @property
    def is_clock_wrong(self) -> bool:
        """Whether its host's clock differs too much from the database's."""
        return abs(self.row.clock_ahead) > clock.TOLERANCE


@dataclass(frozen=True)
class Overview:
    """All workers.

    :param has_more: whether there are more than are listed.
    :param releases: of the living ones.
    """

    living: list[Line]
    gone: list[Line]
    has_more: bool
    releases: list[str]

    @property
    def threads(self) -> int:
        """How many tasks run at once at most."""
        return sum(line.row.threads for line in self.living)


def overview(moment: Moment) -> Overview:
    """Return the workers: those that live by their start, and those of the last day."""
    living = [Line(row, moment.time, is_alive=True) for row in moment.living]
    recent = [row for row in moment.workers if moment.time - row.heartbeat_at < GONE_FOR]
    gone = [
        Line(row, moment.time, is_alive=False, has_died=has_died(row, moment))
        for row in recent
        if not moment.is_alive(row)
    ]
    _add_tasks({line.row.pk: line for line in [*living, *gone]})
    if living:
        newest = max(living, key=lambda line: line.row.started_at).row.release
        for line in living:
            line.is_other_release = line.row.release != newest
    releases = sorted({line.row.release for line in living})
    return Overview(living, gone, len(recent) == WORKERS, releases)


def serves(queues: str, queue: str) -> bool:
    """Return whether a worker serves a queue.

    :param queues: as its row tells.
    """
    if not queues:
        return True
    if queues.startswith(ALL_BUT):
        return queue not in queues.removeprefix(ALL_BUT).split(", ")
    return queue in queues.split(", ")


def has_died(row: Worker, moment: Moment) -> bool:
    """Return whether a worker ended without saying so: then it was given up, or will be.

    One that stops says when by the clock; one that is given up has its last heartbeat there.
    """
    if row.stopped_at is None:
        return not moment.is_alive(row)
    return bool(row.stopped_at == row.heartbeat_at)


def _add_tasks(lines: Mapping[int, Line]) -> None:
    """Tell of each worker what it runs by the ledger, or held when it died."""
    if not lines:
        return
    tasks = BackgroundTask.objects.using(ledger.database()).defer(*ledger.LARGE)
    tasks = tasks.select_related("subject_type")
    held = tasks.filter(state=State.RUNNING, worker__in=list(lines))
    for row in held.order_by("started_at")[:MOST_TASKS]:
        if row.worker_id is not None:
            lines[row.worker_id].tasks.append(row)
    dead = [key for key, line in lines.items() if line.has_died]
    lost = _lost(dead)
    rows = tasks.in_bulk({task for _, task in lost}) if lost else {}
    for worker, task in lost:
        if task in rows and rows[task] not in lines[worker].tasks:
            lines[worker].tasks.append(rows[task])


def _lost(dead: Collection[int]) -> list[tuple[int, int]]:
    """Return workers with the tasks that they held when they died, the newest first."""
    if not dead:
        return []
    attempts = TaskAttempt.objects.using(ledger.database())
    newest = attempts.order_by("-pk").values("pk")[:1]
    was_lost = Q(error__startswith=DIED) | Q(error=CUT_OFF)
    found: Iterable[tuple[int, int]] = (
        attempts.filter(was_lost, pk__gt=Subquery(newest) - RECENT_ATTEMPTS, worker__in=dead)
        .order_by("-pk")
        .values_list("worker_id", "task_id")[:MOST_TASKS]
    )
    return list(found)
