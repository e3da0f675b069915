"""What a worker needs: memory, processor time while it is idle, and time until it has begun."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from benchmarks import contenders, proc, work
from benchmarks.cases import Case
from benchmarks.loading import loaded
from benchmarks.measures import Metric
from benchmarks.workers import Workers, working

TITLE: Final = "What a worker needs"
EXPLAINED: Final = (
    "One worker for two tasks at once, with Wagtail and all models loaded. Memory is that of all "
    "its processes, with shared pages divided (PSS), except in the column RSS. The bare site is a "
    "web process without the package, with all URLs loaded. *Busy*: the maximum during tasks of 1 "
    "ms. *Begun*: a waiting task reaches its first line."
)
METRICS: Final = {
    "idle": Metric("idle, MB"),
    "over": Metric("over the bare site, MB"),
    "resident": Metric("idle, MB (RSS)"),
    "busy": Metric("busy, MB"),
    "cpu": Metric("idle, % of a core", digits=2),
    "start": Metric("until it has begun, s", digits=2),
}
BASELINE: Final = "ours"
SMALL: Final = {"settles": 0.1, "idles": 0.5, "tasks": 10}
WORKERS: Final = 2


def cases(*, quick: bool) -> list[Case]:
    """Return whose worker is measured."""
    options = {"settles": 2.0, "idles": 10.0, "tasks": 1_000}
    if quick:
        options = {"settles": 0.5, "idles": 2.0, "tasks": 100}
    found = contenders.cases("footprint", options)
    return contenders.some(found) if quick else found


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Return megabytes, percents and seconds."""
    bare = loaded("bare")
    module, options = contenders.module_of(case), case.options
    module.set_up()
    os.environ["BENCH_SITE"] = "1"
    module.enqueue(0.0, time.monotonic())
    begun = time.monotonic()
    with working(module.workers(WORKERS)) as workers:
        workers.wait_for(1, pause=0.01)
        start = work.traces()[0].begun - begun
        time.sleep(options["settles"])
        idle = proc.memory(workers.processes())
        cpu = _cpu(workers, options["idles"])
        busy = _at_work(module, workers, contenders.at_most(case, options["tasks"]))
    return {
        "idle": [idle.own],
        "over": [idle.own - bare.own],
        "resident": [idle.resident],
        "busy": [busy],
        "cpu": [100 * cpu],
        "start": [start],
    }


def _cpu(workers: Workers, seconds: float) -> float:
    """Return for which part of some time they computed."""
    processes = workers.processes()
    begun, before = time.monotonic(), proc.computed(processes)
    time.sleep(seconds)
    return (proc.computed(processes) - before) / (time.monotonic() - begun)


def _at_work(module: Any, workers: Workers, tasks: int) -> float:
    """Give them tasks to do; return the most megabytes (PSS) that they had meanwhile."""
    most = 0.0
    for number in range(tasks):
        module.enqueue(0.001, time.monotonic())
        if number % 50 == 0:
            most = max(most, proc.memory(workers.processes()).own)
    workers.wait_for(tasks + 1, pause=0.05)
    return max(most, proc.memory(workers.processes()).own)
