"""The queues as people see them: what waits, for how long, who serves it, and what holds it up.

Six queries with those of the moment, however many queues and tasks there are. At most
so many waiting tasks of a queue are counted as the ledger counts.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.db import connections

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.ledger.selection import forced
from wagtail_async_hooks.models import BackgroundTask, Pause, Worker
from wagtail_async_hooks.monitoring import pauses, registered, statistics, workers
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.monitoring.overview import BoundedCount, waits_since

MOST: Final = 200
"""So many queues are shown."""

_TABLE: Final = BackgroundTask._meta.db_table


@dataclass(frozen=True)
class Line:
    """One queue.

    :param waiting: how many of its tasks wait for a worker, as far as they are counted.
    :param oldest: the one of them that was enqueued first.
    :param waited: for how long that has waited.
    :param expected: how long it may take until what waits is done; ``None`` if nobody knows.
    :param limit: how many of its tasks may run at once; ``None`` for any number.
    :param workers: those that serve it.
    :param pause: of the queue.
    """

    name: str
    waiting: BoundedCount
    running: int
    oldest: BackgroundTask | None
    waited: datetime.timedelta | None
    expected: datetime.timedelta | None
    limit: int | None
    workers: list[Worker]
    pause: Pause | None

    @property
    def threads(self) -> int:
        """How many of its tasks can run at once, if the workers have nothing else to do."""
        number = sum(worker.threads for worker in self.workers)
        return number if self.limit is None else min(number, self.limit)


@dataclass(frozen=True)
class Overview:
    """All queues.

    :param paused: the pause of everything, if there is one.
    :param others: pauses of hooks and functions.
    """

    lines: list[Line]
    paused: Pause | None
    others: list[Pause]


def overview(moment: Moment) -> Overview:
    """Return the queues that the settings or the code name, or that are in use, by name."""
    paused = pauses.by_name(moment.pauses)
    of_pauses = {name for kind, name in paused if kind == Pause.Kind.QUEUE}
    waiting = {task.queue for task in moment.waiting}
    names = sorted({*registered.queues(), *waiting, *of_pauses})[:MOST]
    most = ledger.most_of_each(len(names))
    depths = _depths(names, most + 1)
    oldest = _rows(depth.first for depth in depths.values() if depth.first is not None)
    numbers = {name: min(depth.waiting, most) for name, depth in depths.items()}
    expected = statistics.expected_waits(numbers, moment.time)
    limits = conf.current().limits
    lines = []
    for name, depth in depths.items():
        row = oldest.get(depth.first) if depth.first is not None else None
        lines.append(
            Line(
                name,
                BoundedCount(numbers[name], depth.waiting <= most),
                depth.running,
                row,
                moment.time - waits_since(row) if row is not None else None,
                expected[name] if numbers[name] else None,
                limits.get(name),
                [worker for worker in moment.living if workers.serves(worker.queues, name)],
                paused.get((Pause.Kind.QUEUE, name)),
            )
        )
    kinds = (Pause.Kind.HOOK, Pause.Kind.FUNCTION)
    others = [pause for pause in moment.pauses if pause.kind in kinds]
    return Overview(lines, paused.get((Pause.Kind.EVERYTHING, "")), others)


class _Depth(NamedTuple):
    """What is counted of a queue.

    :param first: primary key of the task that was enqueued first, of those counted.
    """

    waiting: int
    first: int | None
    running: int


def _depths(names: Sequence[str], most: int) -> dict[str, _Depth]:
    """Return by queue how many tasks wait, up to so many, and how many run."""
    connection = connections[ledger.database()]
    index = forced(connection, "bgtask_queue")
    each = (
        f"SELECT {number}, COUNT(*), MIN(id), (SELECT COUNT(*) FROM {_TABLE} "
        f"WHERE state = 'running' AND queue = %s) FROM (SELECT id FROM {_TABLE}{index} "
        f"WHERE state = 'waiting' AND queue = %s LIMIT {most}) queue_{number}"
        for number in range(len(names))
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each), [name for name in names for _ in range(2)])
        found = {number: _Depth(*rest) for number, *rest in cursor.fetchall()}
    return {name: found[number] for number, name in enumerate(names)}


def _rows(keys: Iterable[int]) -> dict[int, BackgroundTask]:
    """Return tasks by primary key, without their large columns."""
    wanted = list(keys)
    tasks = BackgroundTask.objects.using(ledger.database()).defer(*ledger.LARGE)
    return tasks.select_related("subject_type").in_bulk(wanted) if wanted else {}
