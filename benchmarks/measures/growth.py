"""Whether anything grows on PostgreSQL while tasks come, are done and are deleted for long."""

from __future__ import annotations

import datetime
import os
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from benchmarks import apps, contenders, proc, work
from benchmarks.cases import Case
from benchmarks.measures import Metric
from benchmarks.results import Results
from benchmarks.workers import working

TITLE: Final = "Ten minutes at full load"
EXPLAINED: Final = (
    "On PostgreSQL, as its package configures it, two threads run tasks that do nothing, which are "
    "enqueued as publishes do it, twelve in a transaction, whenever fewer than 500 wait. Of "
    "540,000 tasks that had ended before, the worker meanwhile deletes the 240,000 that did so "
    "long ago. Claims are timed in the worker. *Dead rows* is the most at any time; sizes are "
    "those at the end of each third, of the table of tasks alone; the log (WAL) has everything, "
    "also what is deleted and vacuumed."
)
THIRDS: Final = ("first third", "middle third", "last third")

_ROWS: Final = {
    "rate": Metric("tasks per second", digits=0, less_is_better=False),
    "p50": Metric("claim, p50, ms", digits=2),
    "p99": Metric("claim, p99, ms", digits=2),
    "deleted": Metric("old tasks deleted per second", digits=0, may_be_zero=True),
    "live": Metric("rows", digits=0),
    "table": Metric("table, MB"),
    "indexes": Metric("its indexes, MB"),
    "of_a_row": Metric("indexes, bytes for each of the most rows until then", digits=0),
    "dead": Metric("dead rows, at most", digits=0, may_be_zero=True),
    "wal": Metric("log (WAL), bytes for each task", digits=0),
    "vacuums": Metric("rounds of autovacuum", digits=0, may_be_zero=True),
    "vacuuming": Metric("autovacuum, % of a core", may_be_zero=True),
}
METRICS: Final = {
    "knee": Metric("claim, p99, last third / first third", digits=2),
    **{
        f"{name}_{number}": metric._replace(title=f"{metric.title}, {third}")
        for number, third in enumerate(THIRDS, 1)
        for name, metric in _ROWS.items()
    },
}
SMALL: Final = {"seconds": 3.0, "old": 1_000, "kept": 1_000}
WORKERS: Final = 2

_PUBLISH: Final = 12
"""Tasks of a publish: nine, and three of the draft that was saved before."""

_BACKLOG: Final = 500
_AGE: Final = datetime.timedelta(days=1_000)
_APART: Final = 0.5
"""Seconds between two looks at the server, at most."""

_STATE: Final = """
SELECT pg_table_size(relid), pg_indexes_size(relid), n_tup_ins - n_tup_del, n_tup_del, n_dead_tup,
    autovacuum_count, pg_current_wal_lsn() - '0/0'::pg_lsn
FROM pg_stat_user_tables WHERE relid = %s::regclass
"""
_VACUUMING: Final = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"


class _Server(NamedTuple):
    """What PostgreSQL says of the table of tasks, and of its log."""

    table: int
    indexes: int
    live: int
    deleted: int
    dead: int
    vacuums: int
    log: int


class _Sample(NamedTuple):
    """Everything at one moment."""

    at: float
    done: int
    server: _Server
    vacuuming: float


def cases(*, quick: bool) -> list[Case]:
    """Return the one case, on PostgreSQL."""
    seconds = 30.0 if quick else 600.0
    options = {"seconds": seconds, "old": int(400 * seconds), "kept": int(500 * seconds)}
    return [Case("growth", "ours", f"{seconds:g} seconds", "postgres", options=options)]


def rounds(*, quick: bool) -> int:
    """Return how often it is run; once, as it takes minutes."""
    return 1


def baseline(case: Case, cases: Sequence[Case]) -> None:
    """Return nothing: it is compared with itself."""


def table(results: Results) -> str:
    """Return a table with a column for each third."""
    [case] = results.cases("growth")
    lines = [f"| {case.title} | {' | '.join(THIRDS)} |", f"| --- |{' ---: |' * len(THIRDS)}"]
    for name, metric in _ROWS.items():
        figures = [results.figure(case, f"{name}_{number}").median for number in (1, 2, 3)]
        cells = " | ".join(f"{figure:,.{metric.digits}f}" for figure in figures)
        lines.append(f"| {metric.title} | {cells} |")
    return "\n".join(lines)


def run(case: Case) -> dict[str, list[float]]:
    """Return the figures of each third."""
    module, options = contenders.module_of(case), case.options
    os.environ[apps.ASKED] = "1"
    module.set_up()
    _fill(options["old"], options["kept"])
    with working(module.workers(WORKERS)) as workers, _publishing():
        workers.wait_for(_BACKLOG, pause=0.05)  # now everything is warm
        samples = list(_sampled(options["seconds"]))
    return _told(samples)


def _fill(old: int, kept: int) -> None:
    """Have tasks in the ledger that ended long ago, and behind them some that ended just now."""
    from benchmarks.filling import fill, tidy
    from benchmarks.measures.claim import _ended

    fill(old, **_ended(_AGE))
    fill(kept, **_ended(datetime.timedelta()))
    tidy()


# What is done meanwhile ---------------------------------------------------------------------


@contextmanager
def _publishing() -> Iterator[None]:
    """Have a thread enqueue tasks whenever few wait."""
    over = threading.Event()
    failed: list[BaseException] = []

    def publish() -> None:
        try:
            _publish_until(over)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


def _publish_until(over: threading.Event) -> None:
    from django.db import connections, transaction

    from benchmarks import tasks

    enqueued = 0
    while not over.is_set():
        if enqueued - work.count() >= _BACKLOG:
            over.wait(0.002)
            continue
        with transaction.atomic():
            for _ in range(_PUBLISH):
                tasks.ours(0.0, 0.0)
        enqueued += _PUBLISH
    connections.close_all()


def _sampled(seconds: float) -> Iterator[_Sample]:
    """Yield what it is like at the begin, and several times until so many seconds are over."""
    vacuuming = _Vacuuming()
    begun = time.monotonic()
    while True:
        now = time.monotonic()
        yield _Sample(now, work.count(), _server(), vacuuming.look())
        if now >= begun + seconds:
            return
        time.sleep(min(_APART, seconds / 30))


def _server() -> _Server:
    from django.db import connection

    from wagtail_async_hooks.models import BackgroundTask

    with connection.cursor() as cursor:
        cursor.execute(_STATE, [BackgroundTask._meta.db_table])
        return _Server(*map(int, cursor.fetchone()))


class _Vacuuming:
    """For how many seconds the server's processes have vacuumed, as far as they were seen."""

    def __init__(self) -> None:
        self._computed: dict[int, float] = {}

    def look(self) -> float:
        """Return the seconds until now."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(_VACUUMING)
            for (process,) in cursor.fetchall():
                known = self._computed.get(process, 0.0)
                self._computed[process] = max(known, proc.computed([process]))
        return sum(self._computed.values())


# What came out ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Third:
    """A third of all samples, from one to another, and the claims between them.

    :param most: how many rows there were at any time until its end: an index keeps its size when
        rows are deleted, and has room for others.
    """

    samples: Sequence[_Sample]
    claims: Sequence[float]
    most: int

    def figures(self) -> dict[str, float]:
        """Return the figures of a column."""
        first, last = self.samples[0], self.samples[-1]
        seconds, tasks = last.at - first.at, last.done - first.done
        begun, ended = first.server, last.server
        quantiles = statistics.quantiles(self.claims, n=100, method="inclusive")
        return {
            "rate": tasks / seconds,
            "p50": 1e3 * quantiles[49],
            "p99": 1e3 * quantiles[98],
            "deleted": (ended.deleted - begun.deleted) / seconds,
            "live": float(ended.live),
            "table": ended.table / 1e6,
            "indexes": ended.indexes / 1e6,
            "of_a_row": ended.indexes / self.most,
            "dead": float(max(sample.server.dead for sample in self.samples)),
            "wal": (ended.log - begun.log) / max(1, tasks),
            "vacuums": float(ended.vacuums - begun.vacuums),
            "vacuuming": 100 * (last.vacuuming - first.vacuuming) / seconds,
        }


def _told(samples: Sequence[_Sample]) -> dict[str, list[float]]:
    claims = apps.claims()
    bounds = [round(number * (len(samples) - 1) / 3) for number in range(4)]
    told: dict[str, float] = {}
    for number in (1, 2, 3):
        part = samples[bounds[number - 1] : bounds[number] + 1]
        taken = [c.seconds for c in claims if part[0].at <= c.at < part[-1].at]
        most = max(sample.server.live for sample in samples[: bounds[number] + 1])
        for name, figure in _Third(part, taken, most).figures().items():
            told[f"{name}_{number}"] = figure
    told["knee"] = told["p99_3"] / told["p99_1"]
    return {name: [told[name]] for name in METRICS}
