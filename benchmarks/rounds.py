"""Let all cases of a measure take turns, for some rounds, each time in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence

from benchmarks.cases import Case, Run
from benchmarks.lab import REPOSITORY, Lab

PATIENCE = 600.0
"""Seconds after which a run is given up."""


class RunFailed(Exception):
    """A run ended with an error; says which, and what it printed."""


def in_turns(lab: Lab, cases: Sequence[Case], rounds: int, told: Callable[[Run], None]) -> None:
    """Run each case once per round, every round beginning with another one.

    :param told: is called with each run.
    """
    for number in range(rounds):
        first = number % len(cases)
        for case in [*cases[first:], *cases[:first]]:
            told(Run(case, number, run(lab, case)))


def run(lab: Lab, case: Case) -> dict[str, list[float]]:
    """Run a case in a process of its own; return what it measured.

    :raises RunFailed: if it fails, or takes too long.
    """
    environment = lab.fresh(case)
    command = [sys.executable, "-m", "benchmarks.child", case.to_json()]
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            check=False,
            text=True,
            capture_output=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired as error:
        raise RunFailed(f"{case.measure}, {case.title}: not done in {PATIENCE:g} s.") from error
    finally:
        lab.clean(environment)
    if done.returncode:
        raise RunFailed(f"{case.measure}, {case.title}:\n{done.stdout}{done.stderr}")
    values: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return values
