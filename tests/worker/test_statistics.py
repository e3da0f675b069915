"""Tests of a worker's statistics: when they are written, and that no error harms the worker."""

from __future__ import annotations

import datetime
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.models import BackgroundTask, QueueSample, TaskStatistic, Worker
from wagtail_async_hooks.types import State, TaskInfo
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.worker.identity import Registration
from wagtail_async_hooks.worker.statistics import Statistics
from wagtail_async_hooks.worker.worker import Worker as WorkerThreads


class Clock:
    """The database's clock, which stands still."""

    now = datetime.datetime(2026, 11, 3, 12, 1, tzinfo=datetime.UTC)

    def go(self, **by: float) -> None:
        self.now += datetime.timedelta(**by)


@pytest.fixture
def stands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still."""
    stands = Clock()
    monkeypatch.setattr(clock, "database_now", lambda: stands.now)
    return stands


@pytest.fixture
def registration(db: None) -> Registration:
    """The row of a worker."""
    row = ledger.register_worker(Worker(host="a", pid=1, threads=1, release="1"))
    return Registration(row, background)


@pytest.fixture
def statistics(registration: Registration, stands: Clock) -> Iterator[Statistics]:
    """Those of the worker."""
    yield Statistics(background, registration)
    background.claims.counts.end()


def count(function: str = "f", state: State = State.SUCCEEDED) -> None:
    """Count an attempt."""
    task = TaskInfo(1, "id", "n", "", function, "default", 0, 1)
    background.claims.counts.add(task, state, 1.0)


def written() -> list[tuple[Any, ...]]:
    """Return what is recorded."""
    rows = TaskStatistic.objects.order_by("start", "function")
    return [(row.start.minute, row.function, row.succeeded, row.ran) for row in rows]


def test_flush__adds_up_within_five_minutes(statistics: Statistics, stands: Clock) -> None:
    for function in "fgf":
        count(function)
        statistics.flush()
        stands.go(seconds=5)

    assert written() == [(0, "f", 2, 2.0), (0, "g", 1, 1.0)]


def test_flush__begins_new_rows_after_that(statistics: Statistics, stands: Clock) -> None:
    count()
    statistics.flush()
    stands.go(minutes=5)
    count()
    statistics.flush()

    assert written() == [(0, "f", 1, 1.0), (5, "f", 1, 1.0)]


def test_flush__of_nothing_makes_no_query(
    statistics: Statistics, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        statistics.flush()


def test_flush__of_a_worker_that_got_another_number(
    statistics: Statistics, registration: Registration
) -> None:
    count()
    statistics.flush()
    registration.pk += 1
    count()
    statistics.flush()

    found = TaskStatistic.objects.order_by("worker_id").values_list("worker_id", "succeeded")
    assert list(found) == [(registration.pk - 1, 1), (registration.pk, 1)]


def test_flush__that_fails_is_made_up_for(
    statistics: Statistics,
    stands: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(execute: Any, sql: str, *arguments: Any) -> Any:
        if "taskstatistic" in sql:
            raise RuntimeError("not now")
        return execute(sql, *arguments)

    count()
    statistics.flush()
    with connection.execute_wrapper(refuse):
        for _ in range(2):
            count()
            statistics.flush()
    assert caplog.text.count("Statistics could not be recorded, trying again: ") == 1
    stands.go(minutes=5)
    count()
    statistics.flush()

    assert written() == [(0, "f", 3, 3.0), (5, "f", 1, 1.0)]


def test_sample__once_a_minute_by_the_oldest_worker(
    statistics: Statistics, django_assert_num_queries: Any
) -> None:
    other = ledger.register_worker(Worker(host="a", pid=2, threads=1, release="1"))
    tasks.add(1, 2)

    Statistics(background, Registration(other, background)).sample()
    assert not QueueSample.objects.exists()
    statistics.sample()
    assert [(row.queue, row.waiting) for row in QueueSample.objects.all()] == [("default", 1)]
    with django_assert_num_queries(0):
        statistics.sample()


# Of real workers ----------------------------------------------------------------------------


def total(column: str = "succeeded") -> int:
    """Return how many attempts are recorded."""
    return sum(TaskStatistic.objects.values_list(column, flat=True))


@pytest.mark.slow
def test_worker__writes_at_its_stop_what_it_has_not_written(
    committed_db: None, trace_file: Path
) -> None:
    worker = WorkerThreads(background, threads=4)
    worker.prepare()
    worker.start()
    try:
        for number in range(20):
            tasks.trace(str(trace_file), number)
        done = BackgroundTask.objects.filter(state=State.SUCCEEDED)
        wait_until(lambda: done.count() == 20, "all have run")
    finally:
        worker.stop()

    assert total() == 20
    background.claims.counts.begin()
    assert background.claims.counts.take() == {}
    background.claims.counts.end()


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_drain__counts_all(start: Callable[..., Process], processes: str) -> None:
    for number in range(20):
        tasks.add(number, 2)
    tasks.fail()

    drain = start("wagtail_worker", "--drain", "--processes", processes)
    assert drain.wait() == 0, drain.said

    assert (total(), total("failed")) == (20, 1)
    rows = TaskStatistic.objects.filter(function="tests.work.tasks.add")
    assert set(rows.values_list("worker_id", flat=True)) <= set(
        Worker.objects.values_list("pk", flat=True)
    )


@pytest.mark.slow
def test_kill__loses_at_most_what_was_not_written(
    start: Callable[..., Process], trace_file: Path
) -> None:
    worker = start("wagtail_worker", "--threads", "1")
    tasks.trace(str(trace_file), "x")
    wait_until(TaskStatistic.objects.exists, "a heartbeat has written what was counted")
    assert total() == 1
    tasks.trace(str(trace_file), "y")
    done = BackgroundTask.objects.filter(state=State.SUCCEEDED)
    wait_until(lambda: done.count() == 2, "the second has run")
    worker.send(signal.SIGKILL)
    worker.wait()

    assert total() in (1, 2)
