"""Simulate: ``python -m benchmarks.simulation --results FILE [--write]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from benchmarks import kept
from benchmarks.lab import REPOSITORY
from benchmarks.results import Results
from benchmarks.simulation import report
from benchmarks.simulation.assumptions import DAY, DEEDS, KINDS, OF_A_LARGE_DAY, PUBLISHES
from benchmarks.simulation.costs import (
    POSTGRES,
    REDIS,
    SQLITE,
    NotMeasured,
    databases,
    overhead,
)
from benchmarks.simulation.site import Crew, Database, Load

PAGE = REPOSITORY / "docs" / "explanation" / "scaling.md"


def main() -> int:
    """Simulate what the arguments ask for; print it, or write it into the page."""
    parser = _parser()
    options = parser.parse_args()
    try:
        results = kept.read(options.results)
        known = databases(results, options.cores)
        computed = overhead(results)
    except (kept.NotComparable, NotMeasured) as error:
        parser.error(str(error))
    load = Load(options.editors, DEEDS, KINDS, DAY, options.hour)
    crew = Crew(options.workers, options.threads, computed)
    lines = []
    for line in chain(
        _lines(results, known, load, crew, options.seed),
        _large_day(results, known[POSTGRES], options.publishes, crew, options.seed),
    ):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        report.put("\n".join(lines), PAGE)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulation",
        description="Simulate a day of a large site, with the figures of a machine.",
    )
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="what `python -m benchmarks --output FILE` has kept of drain and statements",
    )
    parser.add_argument("--editors", type=int, default=10_000)
    parser.add_argument("--publishes", type=int, default=PUBLISHES, help="of a day that is not cut")
    parser.add_argument("--workers", type=int, default=200, help="processes")
    parser.add_argument("--threads", type=int, default=4, help="of each worker")
    parser.add_argument("--cores", type=int, help="of the database's server; default: as measured")
    parser.add_argument("--hour", type=float, default=20.0, help="seconds that stand for an hour")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(REPOSITORY)}")
    return parser


def _lines(
    results: Results, known: dict[str, Database], load: Load, crew: Crew, seed: int
) -> Iterator[str]:
    """Yield what is written, line by line."""
    served = [known[POSTGRES], known[REDIS]]
    fewer = [replace(crew, processes=n) for n in _fractions(crew.processes)]
    one = replace(crew, processes=1)
    sites = [replace(load, editors=max(1, load.editors // part)) for part in (100, 10, 1)]
    yield _header(results, known, crew.overhead)
    yield ""
    yield report.assumed(load)
    yield from _titled(f"{load.editors:,} editors")
    yield from report.days([(db, load, some) for db in served for some in fewer], seed)
    yield from _titled("One worker on SQLite")
    yield from report.days([(known[SQLITE], site, one) for site in sites], seed)
    yield from _titled("Where it saturates")
    crews = [(known[SQLITE], one), *((db, some) for db in served for some in fewer)]
    yield from report.limits(crews, load, seed)
    if checked := report.compared(results, list(known.values()), crew.overhead):
        yield from _titled("Simulated and measured")
        yield from checked


def _large_day(
    results: Results, database: Database, publishes: int, crew: Crew, seed: int
) -> Iterator[str]:
    """Yield what is written of a day that is not cut short."""
    load = Load(round(publishes / sum(DAY)), OF_A_LARGE_DAY, KINDS, DAY, 3600.0)
    tasks = publishes * sum(deed.tasks for deed in OF_A_LARGE_DAY)
    few = replace(crew, processes=_fractions(crew.processes)[0])
    yield from _titled(f"A day of {publishes:,} publishes")
    yield (
        f"{tasks:,} tasks on {database.name}, with {few.processes} × {few.threads} threads; each "
        "publish with one draft before it. No hour is cut short."
    )
    yield ""
    yield from report.large_day(database, load, few, seed)
    if said := report.grown(results, tasks):
        yield from ("", said)


def _titled(title: str) -> Iterator[str]:
    yield from ("", f"### {title}", "")


def _fractions(workers: int) -> list[int]:
    """Return a few numbers of workers up to this one."""
    return sorted({max(1, workers // part) for part in (20, 8, 4, 2, 1)})


def _header(results: Results, known: dict[str, Database], computed: float) -> str:
    """Return which run the figures come from, and what they are."""
    costs = "; ".join(
        f"{name}: {1e6 * db.insert:,.0f}, {1e6 * db.claim:,.0f} and {1e6 * db.look:,.0f} µs, "
        f"{db.at_once} at once, and {1e6 * db.flush:,.0f} µs for the disk"
        for name, db in known.items()
        if name != REDIS
    )
    rough = " (a quick run: rough)" if results.quick else ""
    return (
        f"With the figures of the run of {results.begun_at}{rough}: the database works to record a "
        f"task, to finish one and claim the next, and on a claim that finds nothing, for so long: "
        f"{costs}. A worker computes {1e6 * computed:,.0f} µs for each task."
    )


if __name__ == "__main__":
    sys.exit(main())
