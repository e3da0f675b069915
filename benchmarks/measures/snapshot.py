"""How fast tasks get done on PostgreSQL while another transaction stays open."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Final

from benchmarks import contenders
from benchmarks.cases import Case
from benchmarks.draining import get_done, rate
from benchmarks.measures import Metric

TITLE: Final = "Getting tasks done beside an open transaction"
EXPLAINED: Final = (
    "A long report or a backup keeps a snapshot open, so that nothing changed since can be "
    "vacuumed, and claims pass over more and more rows. Two threads run tasks that do nothing, "
    "with and without another transaction that holds a snapshot (REPEATABLE READ)."
)
METRICS: Final = {
    "rate": Metric("tasks per second", digits=0, less_is_better=False),
    "end": Metric("the last tenth", digits=0, less_is_better=False),
}
SMALL: Final = {"tasks": 50}
WORKERS: Final = 2

_CONTENDERS: Final = ("ours", "huey_itself")


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured, with and without an open transaction."""
    tasks = 600 if quick else 20_000
    return [
        replace(case, title=f"{case.title}{told}", options={"tasks": tasks, "held": held})
        for held, told in ((False, ""), (True, ", beside an open transaction"))
        for case in contenders.cases("snapshot", {})
        if case.contender in _CONTENDERS and case.database == "postgres" and not case.redis
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run; once, as it takes minutes."""
    return 1


def baseline(case: Case, cases: Sequence[Case]) -> Case | None:
    """Return the same contender without another transaction."""
    for other in cases:
        if other.contender == case.contender and not other.options["held"]:
            return other
    return None


def run(case: Case) -> dict[str, list[float]]:
    """Return the tasks per second of all, and of the last tenth."""
    module = contenders.module_of(case)
    module.set_up()
    module.enqueue_many(case.options["tasks"], 0.0)
    with _transaction_open() if case.options["held"] else nullcontext():
        get_done(module.workers(WORKERS), case.options["tasks"])
    return {"rate": [rate(0.0, 1.0)], "end": [rate(0.9, 1.0)]}


@contextmanager
def _transaction_open() -> Iterator[None]:
    """Have another transaction see the database as it is now."""
    import psycopg

    names = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "NAME"}
    # A variable that is not set is left to psycopg, as Django leaves it.
    given = {name: os.environ.get(f"SITE_DATABASE_{v}") or None for name, v in names.items()}
    password = os.environ.get("SITE_DATABASE_PASSWORD") or None
    with psycopg.connect(**given, password=password) as connection:  # type: ignore[arg-type]
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT txid_current()")  # as a transaction that has written has one
        connection.execute("SELECT count(*) FROM pg_class")
        yield
