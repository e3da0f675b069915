"""How long the database works for each task: what `benchmarks.simulation` reckons with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from benchmarks.cases import Case
from benchmarks.measures import Metric

if TYPE_CHECKING:
    from wagtail_async_hooks.models import Worker

TITLE: Final = "The statements of the ledger"
EXPLAINED: Final = (
    "Each statement by itself. What is not processor time is the server, its disk and the round "
    "trip; with SQLite everything is in one process. PostgreSQL waits for the disk at each "
    "commit, which several commits can share, so it is measured without that as well. Idle "
    "threads make a claim that finds nothing every second, and when another worker was quicker."
)
METRICS: Final = {
    "time": Metric("time, µs", digits=0),
    "cpu": Metric("of which processor time, µs", digits=0),
}
BASELINE: Final = "ours"
SMALL: Final = {"times": 5}
WARM: Final = 30

INSERT: Final = "record a task"
CLAIM: Final = "finish a task and claim the next"
LOOK: Final = "claim where nothing waits"

_HURRIED: Final = ", not waiting for the disk"


def cases(*, quick: bool) -> list[Case]:
    """Return each statement on each database."""
    times = 100 if quick else 1000
    return [
        Case(
            "statements",
            "ours",
            statement + ("" if waits else _HURRIED),
            database,
            options={"statement": statement, "waits": waits, "times": times},
        )
        for database in ("sqlite", "postgres")
        for statement in (INSERT, CLAIM, LOOK)
        for waits in (True, False)
        if waits or (database == "postgres" and statement != LOOK)
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Return the microseconds of each call."""
    import django

    django.setup()
    from django.db import connection

    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.models import Worker

    times = case.options["times"] + WARM
    worker = ledger.register_worker(Worker(host="bench", pid=1, threads=1))
    prepare = {INSERT: _insert, CLAIM: _claim, LOOK: _look}[case.options["statement"]]
    call = prepare(worker, times)
    if not case.options["waits"]:
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit TO off")
    taken, cpu = [], []
    for _ in range(times):
        begun, computed = time.perf_counter(), time.thread_time()
        call()
        cpu.append(1e6 * (time.thread_time() - computed))
        taken.append(1e6 * (time.perf_counter() - begun))
    return {"time": taken[WARM:], "cpu": cpu[WARM:]}


def _insert(worker: Worker, times: int) -> Callable[[], Any]:
    """Return what records a task that is ready to be recorded."""
    from benchmarks import tasks
    from wagtail_async_hooks import background, ledger

    ready = (background.serialize_task(tasks.ours.s(0.0, 0.0)).row for _ in range(times))
    rows = iter(list(ready))
    return lambda: ledger.insert(next(rows))


def _claim(worker: Worker, times: int) -> Callable[[], Any]:
    """Return what finishes a task and claims the next one."""
    from benchmarks import tasks
    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.types import Outcome, State

    for _ in range(times + 1):
        tasks.ours(0.0, 0.0)
    _, held = ledger.step(None, worker.pk)

    def call() -> None:
        nonlocal held
        assert held is not None
        _, held = ledger.step(Outcome(held, State.SUCCEEDED), worker.pk)

    return call


def _look(worker: Worker, times: int) -> Callable[[], Any]:
    """Return what looks for a task, and finds none."""
    from wagtail_async_hooks import ledger

    return lambda: ledger.step(None, worker.pk)
