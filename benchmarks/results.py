"""What came out of a run of the benchmarks: kept as JSON, and told as medians with their spread."""

from __future__ import annotations

import datetime
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.cases import Case, Run

PACKAGES: Final = (
    "Django",
    "wagtail",
    "huey",
    "django-tasks-db",
    "celery",
    "flower",
    "procrastinate",
    "rq",
    "django-q2",
    "APScheduler",
    "django-db-queue",
    "django-lightweight-queue",
    "psycopg",
    "redis",
)


@dataclass(frozen=True)
class Figure:
    """One metric of one case over all rounds.

    :param median: of all that was measured.
    :param low: the smallest of the rounds' medians.
    :param high: the largest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, rounds: Iterable[Sequence[float]]) -> Figure:
        """Return the figure of what was measured in each round."""
        measured = [values for values in rounds if values]
        medians = [statistics.median(values) for values in measured]
        everything = [value for values in measured for value in values]
        return cls(statistics.median(everything), min(medians), max(medians))


@dataclass
class Results:
    """Everything that is known of one run.

    :param machine: what it ran on.
    :param versions: of the libraries and servers.
    :param load: how busy the machine was, each time that a measure began or ended.
    :param seconds: that it took to prepare, and each measure, by what took them.
    """

    quick: bool
    machine: dict[str, str]
    versions: dict[str, str] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    begun_at: str = field(default_factory=lambda: f"{datetime.datetime.now():%Y-%m-%d %H:%M}")

    def cases(self, measure: str) -> list[Case]:
        """Return the cases of a measure, in the order in which they were first run."""
        found = [run.case for run in self.runs if run.case.measure == measure]
        return [case for number, case in enumerate(found) if case not in found[:number]]

    def figure(self, case: Case, metric: str) -> Figure:
        """Return one metric of a case."""
        return Figure.of(run.values[metric] for run in self.runs if run.case == case)

    def has(self, case: Case, metric: str) -> bool:
        """Return whether a case told of a metric; not all have all that is asked for."""
        return any(run.case == case and run.values.get(metric) for run in self.runs)

    def rounds(self, measure: str) -> int:
        """Return how often the cases of a measure were run."""
        return max(run.round for run in self.runs if run.case.measure == measure) + 1

    def save(self, path: Path) -> None:
        """Write all that was measured into a file."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load_from(cls, path: Path) -> Results:
        """Read what :meth:`save` has written."""
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        told["runs"] = [Run(Case(**run.pop("case")), **run) for run in told["runs"]]
        return cls(**told)


def versions() -> dict[str, str]:
    """Return the versions of what is installed of the libraries that are measured."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
