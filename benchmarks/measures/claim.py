"""What claiming, finishing and keeping the ledger tidy cost while the table grows."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from benchmarks.cases import Case
from benchmarks.filling import fill, tidy
from benchmarks.measures import Metric

if TYPE_CHECKING:
    from wagtail_async_hooks.models import Worker

TITLE: Final = "Claiming a task while the table grows"
EXPLAINED: Final = (
    "Finish a task and claim the next, again and again. *Housekeeping* is one round of "
    "maintenance: a heartbeat, a look for dead workers and pauses, the rescue of one task, 100 "
    "tasks that become due, 500 that are deleted. Compared with a table of 1,000 rows."
)
METRICS: Final = {
    "claim": Metric("finish and claim, µs", digits=0),
    "sweep": Metric("housekeeping, ms"),
}
SMALL: Final = {"waiting": 50, "ended": 50, "times": 3, "sweeps": 1}
WARM: Final = 30

_DUE: Final = 100
_LONG_AGO: Final = datetime.timedelta(days=100)


def cases(*, quick: bool) -> list[Case]:
    """Return the sizes of the table, on each database."""
    large = [(10_000, 0)]
    if not quick:
        large = [(100_000, 0), (1_000_000, 0), (1_000, 1_000_000)]
    options = {"times": 100, "sweeps": 1} if quick else {"times": 400, "sweeps": 5}
    return [
        Case(
            "claim",
            "ours",
            f"{waiting:,} wait" + (f", {ended:,} have ended" if ended else ""),
            database,
            options={"waiting": waiting, "ended": ended, **options},
        )
        for database in ("sqlite", "postgres", "mysql")
        for waiting, ended in [(1_000, 0), *large]
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1 if quick else 2


def baseline(case: Case, cases: Sequence[Case]) -> Case | None:
    """Return the case with the fewest rows on the same database."""
    same = [other for other in cases if other.database == case.database]
    return min(same, key=lambda other: int(other.options["waiting"] + other.options["ended"]))


def run(case: Case) -> dict[str, list[float]]:
    """Return the microseconds of each claim, and the milliseconds of each round of housekeeping."""
    import django

    django.setup()
    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.models import Worker

    times, sweeps = case.options["times"], case.options["sweeps"]
    # What is pruned comes first: rows are looked at in their order, up to the first young one.
    fill(ledger.BATCH * (sweeps + 1), **_ended(_LONG_AGO))
    fill(case.options["ended"], **_ended(datetime.timedelta()))
    fill(case.options["waiting"] + WARM + times)
    tidy()
    worker = ledger.register_worker(Worker(host="bench", pid=1, threads=1))
    claims = _claims(worker, WARM + times)[WARM:]
    looks = [_sweep(worker) for _ in range(sweeps + 1)][1:]
    return {"claim": [1e6 * taken for taken in claims], "sweep": [1e3 * taken for taken in looks]}


def _claims(worker: Worker, number: int) -> list[float]:
    """Finish a task and claim the next one, so many times; return the seconds of each."""
    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.types import Outcome, State

    taken = []
    _, claim = ledger.step(None, worker.pk)
    for _ in range(number):
        assert claim is not None
        outcome = Outcome(claim, State.SUCCEEDED)
        begun = time.perf_counter()
        kept, claim = ledger.step(outcome, worker.pk)
        taken.append(time.perf_counter() - begun)
        assert kept
    return taken


def _sweep(worker: Worker) -> float:
    """Let a worker's maintenance do its first round; return the seconds."""
    from django.utils import timezone

    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.models import BackgroundTask, Worker
    from wagtail_async_hooks.types import State

    now = timezone.now()
    fill(_DUE, state=State.SCHEDULED, run_at=now)
    dead = Worker.objects.create(
        host="bench", pid=2, threads=1, started_at=now - _LONG_AGO, heartbeat_at=now - _LONG_AGO
    )
    fill(1, state=State.RUNNING, attempt=1, worker_id=dead.pk)
    old = BackgroundTask.objects.filter(finished_at__lt=now - _LONG_AGO / 2)
    known = old.count()
    ledger.beat(worker.pk)  # who was silent itself for too long judges nobody
    seconds = _looked(worker)
    assert known - old.count() == ledger.BATCH
    held = BackgroundTask.objects.filter(state=State.RUNNING, worker=dead.pk)
    due = BackgroundTask.objects.filter(state=State.SCHEDULED)
    assert not held.exists()
    assert not due.exists()
    return seconds


def _looked(worker: Worker) -> float:
    """Return the seconds that a worker's first round of maintenance takes."""
    import threading

    from wagtail_async_hooks import background
    from wagtail_async_hooks.utils.database.outages import Outage
    from wagtail_async_hooks.worker.bounds import ClaimBounds
    from wagtail_async_hooks.worker.identity import Registration
    from wagtail_async_hooks.worker.maintenance import Maintenance
    from wagtail_async_hooks.worker.scheduler import Scheduler
    from wagtail_async_hooks.worker.statistics import Statistics
    from wagtail_async_hooks.worker.timekeeping import Timekeeper

    class TimedMaintenance(Maintenance):
        """Tells how long it took, where it would rest."""

        taken = 0.0

        def sleep_for_interval(self, start_ts: float, nseconds: float) -> None:
            self.taken = time.monotonic() - start_ts

    registration = Registration(worker, background)
    maintenance = TimedMaintenance(
        huey=background,
        stop_flag=threading.Event(),
        interval=1,
        periodic=False,
        worker=registration,
        outage=Outage(),
        claim_bounds=ClaimBounds(background, (), ()),
        recurring=Scheduler(),
        timekeeper=Timekeeper(),
        statistics=Statistics(background, registration),
    )
    maintenance.loop()
    return maintenance.taken


def _ended(age: datetime.timedelta) -> dict[str, Any]:
    """Return the columns of a task that was done some time ago."""
    from django.utils import timezone

    from wagtail_async_hooks.types import State

    moment = timezone.now() - age
    times = dict.fromkeys(("enqueued_at", "started_at", "finished_at"), moment)
    return {"state": State.SUCCEEDED, "attempt": 1, **times}
