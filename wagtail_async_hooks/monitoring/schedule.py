"""The schedule as people see it: when entries run, how late they are, and how the last runs ended.

At most five queries, however many entries and tasks there are.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final, NamedTuple

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Pause, Schedule
from wagtail_async_hooks.monitoring import crontab_words, pauses
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.monitoring.overview import RECENT
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker import schedule
from wagtail_async_hooks.worker.schedule import Status

RUNS: Final = 20
"""So many of the last runs of each entry are shown."""

LATE: Final = datetime.timedelta(seconds=90)
"""By how much an entry may be overdue before that is told: workers look every few seconds."""

MOST: Final = 100
"""So many entries are shown that the settings do not have any more."""

_TABLE: Final = BackgroundTask._meta.db_table


class Run(NamedTuple):
    """One of the last runs of an entry's function.

    :param seconds: how long it took; ``None`` if it has not ended.
    """

    pk: int
    state: State
    at: datetime.datetime
    seconds: float | None


@dataclass(frozen=True)
class Line:
    """One entry of the schedule.

    :param words: when it runs, in words; the crontab itself where that is not simply said.
    :param function: as tasks' rows have it; pauses go by it.
    :param late: for how long it is overdue; ``None`` if it is not.
    :param pause: what keeps it from being run.
    :param runs: of its function, the oldest first.
    :param is_planned: whether a worker has seen it.
    """

    status: Status
    words: str
    function: str
    late: datetime.timedelta | None
    pause: Pause | None
    runs: list[Run]
    is_planned: bool

    @property
    def name(self) -> str:
        """What it is called in the settings."""
        return self.status.name

    @property
    def was_left_out(self) -> bool:
        """Whether its last time was not kept."""
        skipped, kept = self.status.last_skipped_at, self.status.last_due_at
        return skipped is not None and (kept is None or skipped > kept)


class Overview(NamedTuple):
    """The whole schedule.

    :param lines: the entries of the settings and of the code, by name.
    :param gone: rows of entries that are in neither any more.
    :param is_served: whether a worker looks whether something is due.
    """

    lines: list[Line]
    gone: list[Schedule]
    is_served: bool


def overview(moment: Moment) -> Overview:
    """Return the schedule."""
    statuses, known = schedule.entries(), schedule.known()
    keys = {name: entry.key for name, entry in known.items()}
    planned, gone = _rows(set(keys.values()))
    functions = {name: entry.find() for name, entry in known.items()}
    runs = last_runs({function for function in functions.values() if function})
    paused = pauses.by_name(moment.pauses)
    lines = []
    for status in statuses:
        function = functions.get(status.name, "")
        is_planned = keys.get(status.name) in planned
        lines.append(
            Line(
                status,
                crontab_words.in_words(status.crontab) or status.crontab,
                function,
                _lateness(status, moment.time) if is_planned else None,
                pauses.of_task(paused, queue="", function=function),
                runs.get(function, []),
                is_planned,
            )
        )
    return Overview(lines, gone, bool(moment.living))


def last_runs(functions: set[str]) -> dict[str, list[Run]]:
    """Return the last runs of functions among the newest tasks, the oldest first."""
    if not functions:
        return {}
    names = sorted(functions)
    columns = "id, function, state, enqueued_at, started_at, finished_at"
    numbered = (
        f"SELECT {columns}, ROW_NUMBER() OVER (PARTITION BY function ORDER BY id DESC) AS place "
        f"FROM (SELECT {columns} FROM {_TABLE} ORDER BY id DESC LIMIT {RECENT}) recent "
        f"WHERE function IN ({', '.join(['%s'] * len(names))})"
    )
    rows = BackgroundTask.objects.using(ledger.database()).raw(
        f"SELECT {columns} FROM ({numbered}) numbered WHERE place <= {RUNS} ORDER BY id", names
    )
    found: dict[str, list[Run]] = {}
    for row in rows:
        found.setdefault(row.function, []).append(_run(row))
    return found


def _run(row: BackgroundTask) -> Run:
    took = None
    if row.started_at is not None and row.finished_at is not None:
        took = max(0.0, (row.finished_at - row.started_at).total_seconds())
    return Run(row.pk, State(row.state), row.started_at or row.enqueued_at, took)


def _rows(keys: set[str]) -> tuple[set[str], list[Schedule]]:
    """Return which entries have a row, and the rows of others."""
    rows = Schedule.objects.using(ledger.database()).order_by("name")
    found = list(rows[: len(keys) + MOST])
    return {row.name for row in found} & keys, [row for row in found if row.name not in keys]


def _lateness(status: Status, now: datetime.datetime) -> datetime.timedelta | None:
    due = status.next_due_at
    return now - due if due is not None and now - due > LATE else None
