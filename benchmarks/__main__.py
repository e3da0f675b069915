"""Measure, and tell: ``python -m benchmarks [--quick] [MEASURE …]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import measures, tables
from benchmarks.cases import Case, Run
from benchmarks.lab import Lab, load, machine
from benchmarks.results import Results, versions
from benchmarks.rounds import in_turns

Plan = Mapping[str, Sequence[Case]]
"""The cases by measure."""


def main() -> int:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", help=f"of {', '.join(measures.ALL)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    parser.add_argument("--rounds", type=int, help="how often each case is run")
    parser.add_argument("--contender", action="append", help="only these")
    parser.add_argument("--database", action="append", help="only sqlite, or only postgres")
    parser.add_argument("--output", type=Path, help="keep what was measured, as JSON")
    options = parser.parse_args()
    unknown = set(options.measures) - set(measures.ALL)
    if unknown:
        parser.error(f"There is no measure {', '.join(sorted(unknown))}.")
    results = Results(options.quick, machine(), versions())
    begun = time.monotonic()
    plan = {name: _cases(name, options) for name in options.measures or measures.ALL}
    with Lab([case for cases in plan.values() for case in cases]) as lab:
        measure(lab, plan, results, options.rounds)
    print(f"It took {(time.monotonic() - begun) / 60:.1f} minutes.")
    if options.output:
        results.save(options.output)
    return 0


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


def measure(lab: Lab, plan: Plan, results: Results, rounds: int | None = None) -> None:
    """Run all cases of a plan; print what comes out as it does.

    :param results: gets what was measured.
    :param rounds: how often each case is run; by default, the measure says.
    """

    def keep(run: Run) -> None:
        results.runs.append(run)
        print(".", end="", file=sys.stderr, flush=True)

    results.versions |= lab.versions()
    results.load.append(load())
    for name, cases in plan.items():
        if cases:
            module = module_of(name)
            in_turns(lab, cases, rounds or module.rounds(quick=results.quick), keep)
            results.load.append(load())
            print(f"\n{module.TITLE}\n\n{tables.table(results, name, module)}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
