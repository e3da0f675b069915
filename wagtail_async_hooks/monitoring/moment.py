"""What several parts of a page need to know of the same moment, read by one query.

Workers, pauses and what waits are asked for together, since the banner on each page needs all of
them, and a page is not to make many queries.
"""

from __future__ import annotations

import datetime
from typing import Any, Final, NamedTuple

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.dateparse import parse_datetime
from django.utils.functional import cached_property

from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger.workers import HEARTBEAT_TIMEOUT
from wagtail_async_hooks.models import BackgroundTask, Pause, Worker
from wagtail_async_hooks.utils.database.instants import FromNow, InstantField

WORKERS: Final = 200
"""So many workers are looked at, those with the latest heartbeats."""

TASKS: Final = 1_000
"""So many waiting tasks are looked at, in the order in which they are claimed."""

_TASK, _DUE, _WORKER, _PAUSE, _CLOCK = range(5)
_INSTANT: Final = InstantField()


class WaitingTask(NamedTuple):
    """What is read of a task that waits, for a worker or for its time."""

    queue: str
    hook: str
    function: str
    run_at: datetime.datetime | None
    enqueued_at: datetime.datetime

    @property
    def since(self) -> datetime.datetime:
        """From when on it could have run."""
        return max(self.enqueued_at, self.run_at or self.enqueued_at)


class _Row(NamedTuple):
    """One row of the query: texts, numbers and times mean what its kind says."""

    kind: int
    key: int
    texts: tuple[str, str, str]
    numbers: tuple[int, int, int]
    times: tuple[Any, Any, Any]


class Moment:
    """The workers, the pauses, what waits, and the time."""

    @cached_property
    def workers(self) -> list[Worker]:
        """The workers with the latest heartbeats, also those that are gone, the latest first."""
        found = [
            Worker(
                pk=row.key,
                **dict(zip(("host", "queues", "release"), row.texts, strict=True)),
                **dict(zip(("pid", "threads", "clock_ahead"), row.numbers, strict=True)),
                **dict(zip(("heartbeat_at", "started_at", "stopped_at"), row.times, strict=True)),
            )
            for row in self._of(_WORKER)
        ]
        return sorted(found, key=lambda row: (row.heartbeat_at, row.pk), reverse=True)

    @cached_property
    def time(self) -> datetime.datetime:
        """What the database's clock says."""
        [row] = self._of(_CLOCK)
        said: datetime.datetime = row.times[0]
        return said

    @cached_property
    def living(self) -> list[Worker]:
        """The workers that live, in the order of their start."""
        return sorted(filter(self.is_alive, self.workers), key=lambda row: row.pk)

    @cached_property
    def pauses(self) -> list[Pause]:
        """What is paused, in the order in which it was; not by whom."""
        found = [
            Pause(
                pk=row.key,
                **dict(zip(("kind", "name", "reason"), row.texts, strict=True)),
                paused_at=row.times[0],
            )
            for row in self._of(_PAUSE)
        ]
        return sorted(found, key=lambda row: row.pk)

    @cached_property
    def waiting(self) -> list[WaitingTask]:
        """The tasks that are claimed next, in no order."""
        return self._tasks(_TASK)

    @cached_property
    def overdue(self) -> list[WaitingTask]:
        """The scheduled tasks whose time has come, which a worker would have noticed."""
        return self._tasks(_DUE)

    def _tasks(self, kind: int) -> list[WaitingTask]:
        return [WaitingTask(*row.texts, row.times[1], row.times[0]) for row in self._of(kind)]

    def is_alive(self, row: Worker) -> bool:
        """Return whether a worker has said so lately, as :func:`.ledger.alive` does."""
        silence = (self.time - row.heartbeat_at).total_seconds()
        return row.stopped_at is None and silence <= HEARTBEAT_TIMEOUT

    def _of(self, kind: int) -> list[_Row]:
        return [row for row in self._rows if row.kind == kind]

    @cached_property
    def _rows(self) -> list[_Row]:
        connection = connections[ledger.database()]
        now, parameters = FromNow().sql(connection)
        with connection.cursor() as cursor:
            cursor.execute(_statement(now), parameters * 2)
            return [_row(found, connection) for found in cursor.fetchall()]


def _statement(now: str) -> str:
    """Return the query; each part has a type of its own in each column, and may be empty."""
    task, worker, pause = (model._meta.db_table for model in (BackgroundTask, Worker, Pause))
    # Named, since the columns of a subquery have to differ in their names; "release" alone is a
    # keyword of MariaDB's.
    columns = (
        "id, queue, hook, function, 0 AS n1, 0 AS n2, 0 AS n3, enqueued_at, run_at, "
        "enqueued_at AS t3"
    )
    return (
        f"SELECT * FROM (SELECT {_TASK}, {columns} FROM {task} WHERE state = 'waiting' "
        f"ORDER BY blocked, priority DESC, id LIMIT {TASKS}) tasks UNION ALL "
        f"SELECT * FROM (SELECT {_DUE}, {columns} FROM {task} "
        f"WHERE state = 'scheduled' AND run_at <= {now} ORDER BY run_at LIMIT {TASKS}) due "
        f"UNION ALL "
        f"SELECT * FROM (SELECT {_WORKER}, id, host, queues, {worker}.release, pid, threads, "
        f"clock_ahead, heartbeat_at, started_at, stopped_at FROM {worker} "
        f"ORDER BY heartbeat_at DESC LIMIT {WORKERS}) workers UNION ALL "
        f"SELECT {_PAUSE}, id, kind, name, reason, 0, 0, 0, paused_at, NULL, NULL FROM {pause} "
        f"UNION ALL SELECT {_CLOCK}, 0, '', '', '', 0, 0, 0, {now}, NULL, NULL"
    )


def _row(found: tuple[Any, ...], connection: BaseDatabaseWrapper) -> _Row:
    kind, key, *rest = found
    first, second, third = (_instant(moment, connection) for moment in rest[6:])
    texts, numbers = (rest[0], rest[1], rest[2]), (rest[3], rest[4], rest[5])
    return _Row(kind, key, texts, numbers, (first, second, third))


def _instant(moment: Any, connection: BaseDatabaseWrapper) -> datetime.datetime | None:
    """Return a time as our columns have it; SQLite gives its text."""
    if isinstance(moment, str):
        moment = parse_datetime(moment)
    return _INSTANT.from_db_value(moment, None, connection)
