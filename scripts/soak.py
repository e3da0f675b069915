"""Do every fault of tests/faults to every storage, and write down what became of the tasks.

Servers are our own processes on free ports, with data in temporary folders; nothing that runs on
this machine is touched. The whole takes some 20 minutes, with --small some 5. It ends with 1 if a
task was lost, or anything else was not as promised.

It is no run of pytest, since its outcome is a table of counts that the page *Reliability*
shows: how many tasks each fault ran twice is a figure there, and no failure.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[0] = str(REPOSITORY)

BEGIN = "<!-- soak: begin -->"
END = "<!-- soak: end -->"
LIBRARIES = ("Django", "wagtail", "huey")
"""Names of the distributions."""


@dataclass
class Cell:
    """What one fault did to one storage.

    :param counts: tasks submitted, run, run twice, lost; blank if it broke off.
    :param problem: what was not as promised.
    """

    column: str
    fault: str
    counts: str
    lost: int
    seconds: float
    problem: str

    def __str__(self) -> str:
        return f"`{self.counts}`, {self.seconds:.0f} s" if not self.problem else "**failed**"


# One storage, in a process of its own --------------------------------------------------------


def run_column(title: str, only: list[str], *, small: bool) -> None:
    """Do the faults to one storage; print a line of JSON for each, and one for its versions."""
    from tests.faults import catalogue, servers

    column = next(column for column in catalogue.COLUMNS if column.title == title)
    rows = [row for row in catalogue.ROWS if row.fits(column) and row.name in only]
    if not rows:
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        database = stack.enter_context(column.server()) if column.server else None
        redis = stack.enter_context(servers.Redis()) if column.redis else None
        print(json.dumps({"versions": [s.version() for s in (database, redis) if s]}), flush=True)
        _set_up_site(folder, database)
        for number, row in enumerate(rows, start=1):
            place = folder / str(number)
            place.mkdir()
            cell = _run_fault(column, row, place, database, redis, small=small)
            print(json.dumps(asdict(cell)), flush=True)


def _set_up_site(folder: Path, database: Any) -> None:
    where = {"SITE_DATABASE": "sqlite", "SITE_DATABASE_NAME": str(folder / "site.sqlite3")}
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SITE_DATA": str(folder),
        "SITE_FAST_PASSWORDS": "1",
        **(database.environment() if database else where),
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from wagtail.hooks import search_for_hooks

    search_for_hooks()


def _run_fault(
    column: Any, row: Any, folder: Path, database: Any, redis: Any, *, small: bool
) -> Cell:
    from tests.faults.harness import BIG, SMALL, Harness, backend, clean_ledger

    counts, lost, problem = "", 0, ""
    begun = time.monotonic()
    try:
        with backend(redis), clean_ledger():
            size = SMALL if small else BIG
            with Harness(folder, size, database=database, redis=redis) as harness:
                result = row.fault(harness)
            counts, lost = str(result), result.lost
            if lost or result.run != result.submitted:
                problem = f"{lost} of {result.submitted} tasks were lost"
    except Exception:
        problem = traceback.format_exc()
    return Cell(column.title, row.name, counts, lost, time.monotonic() - begun, problem)


# All storages -------------------------------------------------------------------------------


def run_all(only: list[str], *, small: bool) -> tuple[list[Cell], list[str]]:
    """Do the faults to one storage after the other; return the cells and the servers' versions."""
    from tests.faults import catalogue

    cells: list[Cell] = []
    versions: list[str] = []
    for column in catalogue.COLUMNS:
        command = [sys.executable, __file__, "--column", column.title]
        command += ["--small"] * small
        command += [word for name in only for word in ("--only", name)]
        with subprocess.Popen(command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE) as child:
            for line in child.stdout or ():
                told = json.loads(line)
                if "versions" in told:
                    versions += [each for each in told["versions"] if each not in versions]
                    continue
                cells.append(Cell(**told))
                _show(cells[-1])
        if child.returncode:
            problem = f"It ended with {child.returncode}."
            cells.append(Cell(column.title, "(all)", "", 0, 0.0, problem))
            _show(cells[-1])
    return cells, versions


def _show(cell: Cell) -> None:
    now = datetime.datetime.now().strftime("%H:%M:%S")
    counts = cell.counts or "broke off"
    print(
        f"{now}  {cell.column:22} {cell.fault:30} {counts:>18}  {cell.seconds:5.1f} s", flush=True
    )
    if cell.problem:
        print(cell.problem.rstrip(), flush=True)


def table(cells: list[Cell], versions: list[str], *, small: bool) -> str:
    """Return the table in Markdown, with where and when it was made above it."""
    from tests.faults import catalogue
    from tests.faults.harness import BIG, SMALL

    size = SMALL if small else BIG
    libraries = [
        f"{'Wagtail' if n == 'wagtail' else n.capitalize()} {version(n)}" for n in LIBRARIES
    ]
    made_with = ", ".join([f"Python {platform.python_version()}", *libraries, *versions])
    lines = [
        f"Written by `scripts/soak.py{' --small' if small else ''}` on "
        f"{datetime.date.today().isoformat()}, on a machine with {os.cpu_count()} cores: "
        f"{made_with}.",
        "",
        "| submitted / run / run twice / lost | "
        + " | ".join(c.title for c in catalogue.COLUMNS)
        + " |",
        "| --- |" + " --- |" * len(catalogue.COLUMNS),
    ]
    found = {(cell.fault, cell.column): str(cell) for cell in cells}
    for row in catalogue.ROWS:
        values = [found.get((row.name, column.title), "–") for column in catalogue.COLUMNS]
        if set(values) != {"–"}:
            lines.append(f"| {row.title_for(size)} | {' | '.join(values)} |")
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Put the table between the two markers of a file."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} lacks the lines {BEGIN!r} and {END!r}.")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> int:
    """Run what the arguments ask for; return the exit code."""
    from tests.faults import catalogue

    names = [row.name for row in catalogue.ROWS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="few tasks and short outages")
    parser.add_argument(
        "--only", action="append", choices=names, metavar="FAULT", help=f"of {', '.join(names)}"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file")
    parser.add_argument("--column", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs the whole table: leave out --only")
    only = options.only or names
    if options.column:
        run_column(options.column, only, small=options.small)
        return 0
    begun = time.monotonic()
    cells, versions = run_all(only, small=options.small)
    text = table(cells, versions, small=options.small)
    print(f"\n{text}\n\nIt took {(time.monotonic() - begun) / 60:.1f} minutes.")
    if options.write:
        write(options.write, text)
    return 1 if any(cell.problem for cell in cells) else 0


if __name__ == "__main__":
    sys.exit(main())
