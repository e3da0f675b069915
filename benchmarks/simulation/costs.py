"""What is taken from measured results: how long databases and workers work for a task."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.measures import statements
from benchmarks.picking import Pick
from benchmarks.results import Results
from benchmarks.simulation.site import Database
from wagtail_async_hooks.storage.watchers.sqlite import TOLD_INTERVAL

SQLITE: Final = "SQLite"
POSTGRES: Final = "PostgreSQL"
REDIS: Final = "Redis over PostgreSQL"


class NotMeasured(Exception):
    """A figure that the simulation needs; says which."""


def databases(results: Results, cores: int | None = None) -> dict[str, Database]:
    """Return what can keep a ledger, by name.

    On PostgreSQL, the server works for as long as the one who asks does not compute, but for the
    disk. On SQLite, all of the time counts, as if the file were locked throughout.

    :param cores: of the database's server; by default, as many as the measured machine has.
    :raises NotMeasured: if the measure ``statements`` is not among the results.
    """
    at_once = cores or int(results.machine["cores"])
    sqlite = Database(
        SQLITE,
        insert=_time(results, "sqlite", statements.INSERT),
        claim=_time(results, "sqlite", statements.CLAIM),
        look=_time(results, "sqlite", statements.LOOK),
        at_once=1,
        watched=TOLD_INTERVAL,
    )
    hurried = _served(results, statements.CLAIM, waits=False)
    postgres = Database(
        POSTGRES,
        insert=_served(results, statements.INSERT, waits=False),
        claim=hurried,
        look=_served(results, statements.LOOK),
        at_once=at_once,
        flush=max(0.0, _served(results, statements.CLAIM) - hurried),
    )
    redis = replace(postgres, name=REDIS, wakes_each_process=False)
    return {database.name: database for database in (sqlite, postgres, redis)}


def _served(results: Results, statement: str, *, waits: bool = True) -> float:
    """Return the seconds of a statement in which PostgreSQL is waited for."""
    time = _time(results, "postgres", statement, waits=waits)
    return time - _time(results, "postgres", statement, "cpu", waits=waits)


def _time(
    results: Results, database: str, statement: str, metric: str = "time", *, waits: bool = True
) -> float:
    """Return the seconds of a statement."""
    options = {"statement": statement, "waits": waits}
    value = _needed(results, Pick("statements", metric, database=database, options=options))
    return value / 1e6


def overhead(results: Results) -> float:
    """Return the seconds that a worker computes for each task, beside the ledger's.

    What two threads on SQLite take for a task that does nothing, as they take turns to compute.

    :raises NotMeasured: if the measures ``drain`` or ``statements`` are not among the results.
    """
    rate = _needed(results, Pick("drain", "rate", database="sqlite", options={"seconds": 0.0}))
    return max(0.0, 1 / rate - _time(results, "sqlite", statements.CLAIM))


def _needed(results: Results, pick: Pick) -> float:
    value = pick(results)
    if value is None:
        raise NotMeasured(f"The results have no {pick.metric} of {pick.measure}: {pick.database}.")
    return value
