"""Measure, and write the page: ``python -m benchmarks [--quick] [MEASURE …]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import kept, measures, page, tables
from benchmarks.cases import Case, Run
from benchmarks.hardware import machine
from benchmarks.lab import REPOSITORY, Lab, load
from benchmarks.results import Results, versions
from benchmarks.rounds import RunFailed, in_turns

Plan = Mapping[str, Sequence[Case]]
"""The cases by measure."""


EXPLANATION = REPOSITORY / "docs" / "explanation"


def main() -> int:
    """Measure what the arguments ask for, or read it; write the page if it is worth it."""
    parser = _parser()
    options = parser.parse_args()
    unknown = set(options.measures) - set(measures.ALL)
    if unknown:
        parser.error(f"There is no measure {', '.join(sorted(unknown))}.")
    if options.kept and not _measures_all(options):
        parser.error("--from measures nothing, so there is nothing to choose.")
    try:
        results = kept.read(options.kept) if options.kept else None
    except kept.NotComparable as error:
        parser.error(str(error))
    if results is None:
        results, failures = _measured(options)
        if failures:
            print("What failed is missing. Measure it again, and put both together with --from.")
            return 1
    if options.output:
        results.save(options.output)
    if options.write or options.kept or _measures_all(options):
        page.write(results, EXPLANATION, module_of)
        print(f"The page is {(EXPLANATION / page.PAGE).relative_to(REPOSITORY)}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", help=f"of {', '.join(measures.ALL)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    parser.add_argument("--rounds", type=int, help="how often each case is run")
    parser.add_argument("--contender", action="append", help="only these")
    parser.add_argument("--database", action="append", help="only sqlite, postgres, or mysql")
    parser.add_argument("--output", type=Path, help="keep what was measured, as JSON")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write docs/explanation/performance.md even if it is quick, or not all was measured",
    )
    parser.add_argument(
        "--from",
        dest="kept",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure nothing; write the page from what --output has kept",
    )
    return parser


def _measures_all(options: argparse.Namespace) -> bool:
    """Return whether nothing is left out."""
    chosen = options.measures or options.contender or options.database or options.rounds
    return not (options.quick or chosen)


def _measured(options: argparse.Namespace) -> tuple[Results, list[RunFailed]]:
    """Return what is measured now, and what failed."""
    results = Results(options.quick, machine(), versions())
    plan = {name: _cases(name, options) for name in options.measures or measures.ALL}
    lab = Lab([case for cases in plan.values() for case in cases])
    with ExitStack() as stack:
        with _timed(results, "preparation"):
            stack.enter_context(lab)
        failures = measure(lab, plan, results, options.rounds, options.output)
    print(told_times(results))
    return results, failures


@contextmanager
def _timed(results: Results, what: str) -> Iterator[None]:
    """Add the seconds that something takes to the results."""
    begun = time.monotonic()
    yield
    results.seconds[what] = time.monotonic() - begun


def told_times(results: Results) -> str:
    """Return how long it took, and each part of it."""
    parts = ", ".join(f"{what} {taken:.0f} s" for what, taken in results.seconds.items())
    return f"It took {sum(results.seconds.values()) / 60:.1f} minutes: {parts}."


def module_of(name: str) -> Any:
    """Return the module of a measure."""
    return import_module(f"benchmarks.measures.{name}")


def _cases(name: str, options: argparse.Namespace) -> list[Case]:
    return [
        case
        for case in module_of(name).cases(quick=options.quick)
        if case.contender in (options.contender or [case.contender])
        and case.database in (options.database or [case.database])
    ]


def measure(
    lab: Lab,
    plan: Plan,
    results: Results,
    rounds: int | None = None,
    output: Path | None = None,
) -> list[RunFailed]:
    """Run all cases of a plan; print what comes out as it does.

    :param results: gets what was measured.
    :param rounds: how often each case is run; by default, the measure says.
    :param output: gets it as well, whenever a measure is done.
    :returns: what failed.
    """
    failures: list[RunFailed] = []

    def keep(run: Run) -> None:
        results.runs.append(run)
        print(".", end="", file=sys.stderr, flush=True)

    results.versions |= lab.versions()
    results.load.append(load())
    for name, cases in plan.items():
        if cases:
            module = module_of(name)
            number = rounds or module.rounds(quick=results.quick)
            apart = module.apart(cases) if hasattr(module, "apart") else 0.0
            with _timed(results, name):
                failed = in_turns(lab, cases, number, keep, apart)
            results.load.append(load())
            print("", *failed, sep="\n", file=sys.stderr)
            failures += failed
            if output:
                results.save(output)
            if results.cases(name):
                print(f"\n{module.TITLE}\n\n{tables.table(results, name, module)}\n", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main())
