"""Every fault and every storage: the rows and the columns of the table in *Reliability*."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.faults import killing, locking, outages, publishing, refusing, restoring
from tests.faults.harness import Fault, Size
from tests.faults.servers import DatabaseServer, MariaDB, PostgreSQL


@dataclass(frozen=True)
class Column:
    """A storage.

    :param server: of the database; SQLite has none.
    :param redis: whether Redis rings.
    """

    title: str
    server: type[DatabaseServer] | None = None
    redis: bool = False


@dataclass(frozen=True)
class Row:
    """A fault, and where it can happen.

    :param title: for the table; may name the harness's sizes in braces.
    """

    title: str
    fault: Fault
    fits: Callable[[Column], bool] = lambda column: True

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return self.fault.__name__

    def title_for(self, size: Size) -> str:
        """Return the title with its numbers."""
        return self.title.format(size=size)


def _has_server(column: Column) -> bool:
    return column.server is not None


def _has_redis(column: Column) -> bool:
    return column.redis


COLUMNS: Final = (
    Column("SQLite"),
    Column("PostgreSQL", PostgreSQL),
    Column("MariaDB", MariaDB),
    Column("Redis over SQLite", redis=True),
    Column("Redis over PostgreSQL", PostgreSQL, redis=True),
)

ROWS: Final = (
    Row(
        "A worker killed (`kill -9`) in the middle of {size.tasks} tasks, {size.kills} times",
        killing.worker_killed,
    ),
    Row("One of two workers killed; the other takes over", killing.worker_killed_beside_another),
    Row(
        "A web process killed between its INSERT and its commit, {size.editors} times: "
        "only the one task submitted later runs",
        killing.web_killed_before_commit,
    ),
    Row(
        "A web process killed right after its commit, {size.editors} times",
        killing.web_killed_after_commit,
    ),
    Row("A task that kills its worker, among {size.tasks} others (counted here)", killing.poison),
    Row("Tasks that fork, and whose children come back, among {size.tasks} others", killing.fork),
    Row("A worker frozen beyond its heartbeat, then thawed", killing.worker_frozen),
    Row("Tasks and workers restored from a dump under a running worker", restoring.ledger_restored),
    Row(
        "The database stopped for {size.outage:g} s in the middle of tasks",
        outages.database_stopped_while_busy,
        _has_server,
    ),
    Row(
        "The database stopped for {size.outage:g} s during the long tasks of two workers",
        outages.database_stopped_while_idle,
        _has_server,
    ),
    Row(
        "The database killed (`kill -9`) under two workers, and started again",
        outages.database_crashed,
        _has_server,
    ),
    Row(
        "The database read-only for {size.outage:g} s, as after a failover, in the middle of tasks",
        outages.read_only_failover,
        _has_server,
    ),
    Row(
        "Outcomes that the database refuses, before {size.tasks} others (counted here)",
        refusing.outcome_refused,
    ),
    Row(
        "Outcomes that it refuses altogether, before {size.tasks} others (counted here)",
        refusing.outcome_refused_altogether,
    ),
    Row(
        "Redis stopped for {size.outage:g} s in the middle of tasks, and pages published",
        outages.redis_stopped,
        _has_redis,
    ),
    Row(
        "Redis frozen for {size.outage:g} s: it accepts connections and never answers",
        outages.redis_frozen,
        _has_redis,
    ),
    Row("Redis full (`maxmemory`, `noeviction`)", outages.redis_full, _has_redis),
    Row("Redis emptied (`FLUSHALL`)", outages.redis_flushed, _has_redis),
    Row("Redis unreachable when a page is published", outages.redis_unreachable, _has_redis),
    Row(
        "Something holds a lock on the ledger while editors publish (counted: what is published "
        "before and after; the hooks of the others run in the request)",
        locking.ledger_locked,
        _has_server,
    ),
    Row(
        "{size.publishers} processes publish pages for {size.publishing:g} s while a worker drains",
        publishing.many_editors,
        lambda column: column.server is None,
    ),
)
