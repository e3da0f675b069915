"""What it costs that a worker's claims are bounded: by queues, limits, pauses, exclusive keys."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from benchmarks.cases import Case
from benchmarks.filling import fill, tidy
from benchmarks.measures import Metric

if TYPE_CHECKING:
    from wagtail_async_hooks.models import Worker
    from wagtail_async_hooks.types import Bounds

TITLE: Final = "Queues, limits, pauses, and exclusive keys"
EXPLAINED: Final = (
    "Finish a task and claim the next, again and again, by a worker that serves all, and by "
    "workers whose claims are bounded. The tasks have no work to do, and are in the queue "
    "`default`, but for those of `other` queues and for those that wait behind a running task with "
    "their exclusive key, all of which are older. All at once are those of one round: a worker "
    "without bounds is measured between the others, on the same table."
)
METRICS: Final = {
    "claim": Metric("finish and claim, µs", digits=0),
    "processor": Metric("of which processor time of the worker, µs", digits=0),
    "ratio": Metric("compared with a worker without bounds, without other tasks", digits=2),
}
SMALL: Final = {"others": 50, "behind": 0, "times": 3}
WARM: Final = 30

BOUNDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "some queues": {"queues": ("default", "mail")},
    "one queue": {"queues": ("default",)},
    "all but one queue": {"left_out": ("other",)},
    "a pause": {"hooks": ("after_edit_page",)},
    "a limit": {"limits": {"default": 4}},
    "a limit elsewhere": {"limits": {"mail": 4}},
}
"""What the claims keep to; as arguments of ``Bounds``."""


def cases(*, quick: bool) -> list[Case]:
    """Return the bounds, with few tasks of other queues and with many, on each database."""
    many, behind, times = (10_000, 1_000, 150) if quick else (1_000_000, 100_000, 400)
    sizes = [(name, 0, 0) for name in BOUNDS]
    sizes += [(name, many, 0) for name in ("some queues", "one queue", "all but one queue")]
    sizes += [("", 0, behind)]
    return [
        Case(
            "bounds",
            "ours",
            name + _told(others, key),
            database,
            options={"bounds": name, "others": others, "behind": key, "times": times},
        )
        for database in ("sqlite", "postgres")
        for name, others, key in sizes
    ]


def _told(others: int, behind: int) -> str:
    if behind:
        return f"no bounds, {behind:,} wait behind one exclusive key"
    return f", {others:,} of another queue wait" if others else ""


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def baseline(case: Case, cases: Sequence[Case]) -> Case | None:
    """Return the case that is compared with: each compares with a worker of its own run."""
    return None


def run(case: Case) -> dict[str, list[float]]:
    """Return the microseconds of each claim."""
    import django

    django.setup()
    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.models import Worker
    from wagtail_async_hooks.types import EVERYTHING, Bounds

    times = case.options["times"]
    worker = ledger.register_worker(Worker(host="bench", pid=1, threads=1))
    free = _claims(worker, EVERYTHING, times)
    _fill_others(worker, case.options["others"], case.options["behind"])
    bounds = Bounds(**BOUNDS.get(case.options["bounds"], {}))
    bounded = _claims(worker, bounds, times)
    taken = sorted(wall for wall, _ in bounded)
    before = sorted(wall for wall, _ in free)
    return {
        "claim": [1e6 * wall for wall, _ in bounded],
        "processor": [1e6 * cpu for _, cpu in bounded],
        "ratio": [taken[len(taken) // 2] / before[len(before) // 2]],
    }


def _fill_others(worker: Worker, others: int, behind: int) -> None:
    """Add tasks of another queue, or of an exclusive key that a running task has."""
    from wagtail_async_hooks import ledger

    if others:
        fill(others, queue="other")
    if behind:
        fill(behind + 1, exclusive_key="key")
        _, claim = ledger.step(None, worker.pk)
        assert claim is not None
        assert claim.exclusive_key == "key"
        for _ in _maintained(claim):
            pass


def _maintained(claim: Any) -> Iterator[int]:
    """Let the worker's maintenance see to what waits behind a claim, until nothing is left to."""
    from wagtail_async_hooks import ledger

    while number := ledger.block_behind([claim]):
        yield number


def _claims(worker: Worker, bounds: Bounds, number: int) -> list[tuple[float, float]]:
    """Fill, then finish a task and claim the next one, so many times; return the seconds."""
    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.types import Outcome, State

    fill(WARM + number + 1)
    tidy()
    taken = []
    _, claim = ledger.step(None, worker.pk, bounds=bounds)
    for _ in range(WARM + number):
        assert claim is not None
        assert claim.queue == "default"
        outcome = Outcome(claim, State.SUCCEEDED)
        begun, before = time.perf_counter(), time.thread_time()
        kept, claim = ledger.step(outcome, worker.pk, bounds=bounds)
        taken.append((time.perf_counter() - begun, time.thread_time() - before))
        assert kept
    assert claim is not None
    kept, _ = ledger.step(Outcome(claim, State.SUCCEEDED), worker.pk, claim=False)
    assert kept
    return taken[WARM:]
