"""What is taken from measured results: how long databases and workers work for a task."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.measures import statements
from benchmarks.picking import Pick
from benchmarks.results import Results
from benchmarks.simulation.site import Database

SQLITE: Final = "SQLite"
POSTGRES: Final = "PostgreSQL"
REDIS: Final = "Redis over PostgreSQL"

_WATCHED: Final = 0.01
"""Seconds between two looks at SQLite's file, as ``storage.waiting.SQLITE_INTERVAL``."""


class NotMeasured(Exception):
    """A figure that the simulation needs; says which."""


def databases(results: Results, cores: int | None = None) -> dict[str, Database]:
    """Return what can keep a ledger, by name.

    On PostgreSQL, the server works for as long as the one who asks does not compute. On SQLite,
    all of the time counts, as if the file were locked throughout.

    :param cores: of the database's server; by default, as many as the measured machine has.
    :raises NotMeasured: if the measure ``statements`` is not among the results.
    """
    at_once = cores or int(results.machine["cores"])
    insert, claim, look = (_of(results, "sqlite", name) for name in _STATEMENTS)
    sqlite = Database(SQLITE, insert, claim, look, at_once=1, watched=_WATCHED)
    insert, claim, look = (_of(results, "postgres", name) for name in _STATEMENTS)
    postgres = Database(POSTGRES, insert, claim, look, at_once)
    redis = replace(postgres, name=REDIS, wakes_all=False)
    return {database.name: database for database in (sqlite, postgres, redis)}


_STATEMENTS: Final = (statements.INSERT, statements.CLAIM, statements.LOOK)


def _of(results: Results, database: str, statement: str) -> float:
    """Return the seconds for which a database works on a statement."""
    options = {"statement": statement}
    time = _needed(results, Pick("statements", "time", database=database, options=options))
    if database == "sqlite":
        return time / 1e6
    cpu = _needed(results, Pick("statements", "cpu", database=database, options=options))
    return (time - cpu) / 1e6


def overhead(results: Results) -> float:
    """Return the seconds that a worker computes for each task, beside the ledger's.

    What two threads on SQLite take for a task that does nothing, as they take turns to compute.

    :raises NotMeasured: if the measures ``drain`` or ``statements`` are not among the results.
    """
    rate = _needed(results, Pick("drain", "rate", database="sqlite", options={"seconds": 0.0}))
    return max(0.0, 1 / rate - _of(results, "sqlite", statements.CLAIM))


def _needed(results: Results, pick: Pick) -> float:
    value = pick(results)
    if value is None:
        raise NotMeasured(f"The results have no {pick.metric} of {pick.measure}: {pick.database}.")
    return value
