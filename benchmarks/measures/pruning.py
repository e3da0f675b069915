"""What it costs claims that tasks which ended long ago are being deleted."""

from __future__ import annotations

import datetime
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks.cases import Case
from benchmarks.contenders import MANAGE
from benchmarks.filling import fill, tidy
from benchmarks.measures import Metric

TITLE: Final = "Claiming while old tasks are deleted"
EXPLAINED: Final = (
    "Four threads of one process finish and claim tasks of 5 ms, while another process deletes "
    "old tasks without a pause, as `wagtail_tasks prune` does. Compared is the 99th percentile of "
    "a claim, before and meanwhile."
)
METRICS: Final = {
    "before": Metric("p99 before, ms", digits=2),
    "meanwhile": Metric("p99 meanwhile, ms", digits=2),
    "ratio": Metric("meanwhile / before", digits=2),
    "deleted": Metric("deleted per second", digits=0, less_is_better=False),
}
BASELINE: Final = "ours"
SMALL: Final = {"ended": 1_000, "waiting": 2_000, "before": 0.2}

THREADS: Final = 4
_WORK: Final = 0.005
_AGE: Final = datetime.timedelta(days=1_000)


def cases(*, quick: bool) -> list[Case]:
    """Return both databases."""
    options = {"ended": 1_000_000, "waiting": 300_000, "before": 20.0}
    if quick:
        options = {"ended": 50_000, "waiting": 50_000, "before": 5.0}
    ended = f"{options['ended']:,} have ended"
    return [
        Case("pruning", "ours", ended, name, options=options) for name in ("sqlite", "postgres")
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Return milliseconds, their ratio, and how many rows were deleted in a second."""
    import django

    django.setup()
    from benchmarks.measures.claim import _ended
    from wagtail_async_hooks.models import BackgroundTask

    number = case.options["ended"]
    fill(number, **_ended(_AGE))
    fill(case.options["waiting"])
    tidy()
    with _claiming() as taken:
        time.sleep(case.options["before"])
        first, begun = len(taken), time.monotonic()
        subprocess.run([*MANAGE, "wagtail_tasks", "prune"], check=True, env=os.environ)
        seconds, last = time.monotonic() - begun, len(taken)
    assert not BackgroundTask.objects.filter(finished_at__lt=_now() - _AGE / 2).exists()
    before, meanwhile = _p99(taken[:first]), _p99(taken[first:last])
    return {
        "before": [before],
        "meanwhile": [meanwhile],
        "ratio": [meanwhile / before],
        "deleted": [number / seconds],
    }


@contextmanager
def _claiming() -> Iterator[list[float]]:
    """Have threads claim; yield the milliseconds of each, as they come."""
    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.models import Worker

    worker = ledger.register_worker(Worker(host="bench", pid=1, threads=THREADS))
    taken: list[float] = []
    over = threading.Event()
    threads = [
        threading.Thread(target=_claim, args=(worker.pk, taken, over)) for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield taken
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _claim(worker: int, taken: list[float], over: threading.Event) -> None:
    from django.db import connections

    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.types import Outcome, State

    outcome = None
    while not over.is_set():
        begun = time.perf_counter()
        _, claim = ledger.step(outcome, worker)
        taken.append(1e3 * (time.perf_counter() - begun))
        assert claim is not None, "there are too few tasks that wait"
        outcome = Outcome(claim, State.SUCCEEDED)
        over.wait(_WORK)
    ledger.step(outcome, None, claim=False)
    connections.close_all()


def _p99(taken: list[float]) -> float:
    return sorted(taken)[int(0.99 * len(taken))]


def _now() -> Any:
    from django.utils import timezone

    return timezone.now()
