"""What it costs a web process to import the package."""

from __future__ import annotations

from typing import Final

from benchmarks.cases import Case
from benchmarks.loading import WITHOUT_REDIS, loaded
from benchmarks.measures import Metric

TITLE: Final = "Starting a web process"
EXPLAINED: Final = (
    "A new process loads the demo as a web server does: as it is, without redis-py, and without "
    "the package and the hooks that use it. Sources are compiled beforehand. Garbage collection "
    "is separate, since the size of the whole site decides how often it runs; the time on the "
    "clock contains it. Neither gevent nor OpenTelemetry is there, which Huey and redis-py import "
    "where they are installed."
)
METRICS: Final = {
    "loading": Metric("processor time for loading, ms", digits=0),
    "collecting": Metric("for collecting garbage, ms", digits=0),
    "time": Metric("time, ms", digits=0),
    "memory": Metric("memory, MB"),
}
BASELINE: Final = "bare"
SMALL: Final = {"times": 1}

_CONTENDERS: Final = {
    "ours": "wagtail_async_hooks",
    WITHOUT_REDIS: "wagtail_async_hooks, without redis-py",
    "bare": "the site without it",
}


def cases(*, quick: bool) -> list[Case]:
    """Return the site with and without the package."""
    return [
        Case("importing", contender, title, "sqlite", options={"times": 1 if quick else 3})
        for contender, title in _CONTENDERS.items()
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run; often, as it is a small part of much that is measured."""
    return 1 if quick else 9


def run(case: Case) -> dict[str, list[float]]:
    """Return the milliseconds that loading took, and the megabytes (RSS) afterwards."""
    found = [loaded(case.contender) for _ in range(case.options["times"])]
    return {
        "loading": [1e3 * (one.computed - one.collecting) for one in found],
        "collecting": [1e3 * one.collecting for one in found],
        "time": [1e3 * one.seconds for one in found],
        "memory": [one.resident for one in found],
    }
