"""What the simulation tells, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.picking import Pick
from benchmarks.results import Results
from benchmarks.simulation.assumptions import KINDS
from benchmarks.simulation.costs import POSTGRES, REDIS, SQLITE
from benchmarks.simulation.site import Crew, Database, Kind, Load, Site, Told

BEGIN: Final = "<!-- simulation: begin -->"
END: Final = "<!-- simulation: end -->"

PATIENCE: Final = 1.0
"""Seconds within which nearly all tasks have to begin, or the site is saturated."""

_HEAD: Final = (
    "Editors",
    "Workers × threads",
    "Ledger",
    "works",
    "looks in vain per s",
    "threads work",
    "tasks per s",
    "editors wait p95, ms",
    "tasks wait p50, ms",
    "p95",
    "p99",
    "left",
)
_LIMIT: Final = 1 << 30
"""Editors; more than there are people who could be."""


def row(database: Database, load: Load, crew: Crew, told: Told) -> str:
    """Return what one day was like."""
    waits = [quantiles(told.recorded)[1], *quantiles(told.waits)]
    cells = [
        f"{load.editors:,}",
        f"{crew.processes} × {crew.threads}",
        database.name,
        f"{100 * min(told.busiest, 1):.0f} %",
        f"{told.looks:,.0f}",
        f"{100 * told.workers:.1f} %",
        f"{told.rate:,.0f}",
        *(f"{1000 * wait:,.1f}" for wait in waits),
        f"{told.left:,}",
    ]
    return f"| {' | '.join(cells)} |"


def quantiles(waits: Sequence[float]) -> list[float]:
    """Return the waits that 50, 95 and 99 per cent do not exceed."""
    ordered = sorted(waits) or [0.0]
    return [ordered[min(len(ordered) - 1, int(part * len(ordered)))] for part in (0.5, 0.95, 0.99)]


def days(rows: Sequence[tuple[Database, Load, Crew]], seed: int) -> Iterator[str]:
    """Yield the lines of a table with a day in each row."""
    yield f"| {' | '.join(_HEAD)} |"
    yield f"| ---: | ---: | --- |{' ---: |' * (len(_HEAD) - 3)}"
    for database, load, crew in rows:
        yield row(database, load, crew, Site(database, load, crew, seed).run())


def large_day(database: Database, load: Load, crew: Crew, seed: int) -> Iterator[str]:
    """Yield the lines of a table with an hour of one day in each row, none of it cut short."""
    load = replace(load, hour=3600.0)
    told = Site(database, load, crew, seed).run()
    yield "| Hour | tasks | ledger works | tasks wait p50, ms | p95 | p99 |"
    yield f"| ---: |{' ---: |' * 5}"
    for number, hour in enumerate(told.hours, 1):
        first, last = hour.begun
        waits = [f"{1000 * wait:,.1f}" for wait in quantiles(told.waits[first:last])]
        cells = [str(number), f"{last - first:,}", f"{100 * hour.ledger:.1f} %", *waits]
        yield f"| {' | '.join(cells)} |"


def grown(results: Results, tasks: int) -> str:
    """Return what so many tasks write and leave, as measured; blank if that was not measured."""
    told = [
        Pick("growth", metric, "ours", "postgres")(results)
        for metric in ("wal_3", "of_a_row_3", "knee")
    ]
    log, index, knee = told
    if log is None or index is None or knee is None:
        return ""
    return (
        f"As measured, {tasks:,} tasks write {log * tasks / 1e9:,.1f} GB to the log (WAL), and "
        f"keep {index * tasks / 1e6:,.0f} MB of indexes until they are deleted. At full load, 99 "
        f"of 100 claims took {knee:.2f} times as long at the end as at the beginning."
    )


def saturation(database: Database, load: Load, crew: Crew, seed: int) -> int:
    """Return how many editors a site carries throughout its busiest hour, to within a twentieth.

    With more, one task or one editor in twenty waits for longer than :data:`PATIENCE`, or tasks
    pile up.

    :raises ValueError: if a single editor is too many, or any number too few.
    """
    busiest = replace(load, day=(1.0,))

    def carries(editors: int) -> bool:
        told = Site(database, replace(busiest, editors=editors), crew, seed).run()
        longest = max(quantiles(told.waits)[1], quantiles(told.recorded)[1])
        return longest <= PATIENCE and told.left <= max(100, len(told.waits) // 20)

    carried, refused = 0, 1
    while carries(refused):
        carried, refused = refused, 2 * refused
        if refused > _LIMIT:
            raise ValueError("These editors leave nothing to do.")
    if not carried:
        raise ValueError("A single editor is too many.")
    while refused - carried > max(1, carried // 20):
        middle = (carried + refused) // 2
        carried, refused = (middle, refused) if carries(middle) else (carried, middle)
    return carried


def limits(rows: Sequence[tuple[Database, Crew]], load: Load, seed: int) -> Iterator[str]:
    """Yield the lines of a table that tells where each saturates."""
    yield "| Workers × threads | Ledger | carries editors | who record tasks per s |"
    yield "| ---: | --- | ---: | ---: |"
    for database, crew in rows:
        editors = saturation(database, load, crew, seed)
        rate = sum(deed.per_hour * deed.tasks for deed in load.deeds) * editors / 3600
        size = f"{crew.processes} × {crew.threads}"
        yield f"| {size} | {database.name} | {editors:,} | {rate:,.0f} |"


def drain(database: Database, crew: Crew, seconds: float, seed: int) -> float:
    """Return how many tasks per second workers get done which find them all waiting.

    :param seconds: how long each takes.
    """
    kinds = (Kind("all", 1.0, seconds),)
    load = Load(0, (), kinds, (1.0,), hour=10.0, backlog=200_000)
    return Site(database, load, crew, seed).run().rate


def compared(results: Results, databases: Sequence[Database], overhead: float) -> list[str]:
    """Return the lines of a table that compares simulated drains with those that were measured.

    None, if the results have no drains of tasks that take some time.
    """
    picks = {SQLITE: ("sqlite", False), POSTGRES: ("postgres", False), REDIS: ("postgres", True)}
    rows = []
    for database in databases:
        name, redis = picks[database.name]
        for seconds in (0.001, 0.02):
            options = {"seconds": seconds}
            pick = Pick("drain", "rate", database=name, redis=redis, options=options)
            if (measured := pick(results)) is not None:
                simulated = drain(database, Crew(1, 2, overhead), seconds, seed=1)
                rows.append(
                    f"| tasks of {1000 * seconds:g} ms | {database.name} "
                    f"| {simulated:,.0f} | {measured:,.0f} |"
                )
    if not rows:
        return []
    head = "| Drained by two threads | Ledger | simulated, per s | measured, per s |"
    return [head, "| --- | --- | ---: | ---: |", *rows]


def assumed(load: Load) -> str:
    """Return what is assumed, in a sentence each."""
    deeds = "; ".join(
        f"{deed.name}, {deed.per_hour:g} times an hour, {deed.tasks} tasks" for deed in load.deeds
    )
    kinds = "; ".join(f"{kind.name}, {kind.share:.0%}, {kind.seconds:g} s" for kind in KINDS)
    return (
        f"Each editor, at the busiest time: {deeds}. Tasks, with their share and how long they "
        f"take on average: {kinds}. The day has {len(load.day)} hours, each of them cut short to "
        f"{load.hour:g} seconds."
    )


def put(text: str, into: Path) -> None:
    """Put a text between the marks of a page.

    :raises ValueError: if the page does not have them.
    """
    page = into.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"{into.name} has no lines {BEGIN} and {END}.")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    into.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
