"""Let all cases of a measure take turns, for some rounds, each time in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.cases import Case, Run
from benchmarks.lab import REPOSITORY, Lab

Values = dict[str, list[float]]
"""By metric, what was measured."""

PATIENCE = 600.0
"""Seconds after which a run is given up, beside those that it is asked to last."""


class RunFailed(Exception):
    """A run ended with an error; says which, and what it printed."""


def in_turns(
    lab: Lab, cases: Sequence[Case], rounds: int, told: Callable[[Run], None], apart: float = 0.0
) -> list[RunFailed]:
    """Run each case once per round, every round beginning with another one.

    One that fails keeps no other from being measured. Those that are measured once are in the
    first round only.

    :param told: is called with each run.
    :param apart: if not 0, a round's cases run at the same time, and begin so many seconds one
        after the other.
    :returns: what failed.
    """
    failures = []
    for number in range(rounds):
        first = number % len(cases)
        ordered = [*cases[first:], *cases[:first]]
        if number:
            ordered = [case for case in ordered if not case.once]
        together = _together(lab, ordered, apart) if apart else (_try(lab, c) for c in ordered)
        for case, values in zip(ordered, together, strict=True):
            if isinstance(values, RunFailed):
                failures.append(values)
            else:
                told(Run(case, number, values))
    return failures


def _try(lab: Lab, case: Case) -> Values | RunFailed:
    try:
        return run(lab, case)
    except RunFailed as error:
        return error


def _together(lab: Lab, cases: Sequence[Case], apart: float) -> Iterator[Values | RunFailed]:
    """Run cases at the same time, each begun some seconds after the one before."""

    def begin(number: int) -> Values | RunFailed:
        time.sleep(number * apart)
        return _try(lab, cases[number])

    with ThreadPoolExecutor(len(cases)) as pool:
        yield from pool.map(begin, range(len(cases)))


def run(lab: Lab, case: Case) -> Values:
    """Run a case in a process of its own; return what it measured.

    :raises RunFailed: if it fails, or takes too long.
    """
    environment = lab.fresh(case)
    patience = PATIENCE + case.options.get("seconds", 0.0)
    command = [sys.executable, "-m", "benchmarks.child", case.to_json()]
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            check=False,
            text=True,
            capture_output=True,
            timeout=patience,
        )
    except subprocess.TimeoutExpired as error:
        raise RunFailed(f"{case.measure}, {case.title}: not done in {patience:g} s.") from error
    finally:
        lab.clean(environment)
    if done.returncode:
        raise RunFailed(f"{case.measure}, {case.title}:\n{done.stdout}{done.stderr}")
    values: Values = json.loads(done.stdout.splitlines()[-1])
    return values
