"""Tests of the counts of attempts: what is counted, by whom, and that threads lose nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.draining import run_all
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue.attempt_counts import AttemptCounts
from wagtail_async_hooks.types import Counted, State, Tally, TaskInfo


def info(function: str = "f", hook: str = "", name: str = "n") -> TaskInfo:
    return TaskInfo(1, "id", name, hook, function, "default", 0, 1)


@pytest.fixture
def counts() -> Iterator[AttemptCounts]:
    """Those of this process, which are on."""
    background.claims.counts.begin()
    yield background.claims.counts
    background.claims.counts.end()


def test_counts__by_state_with_durations() -> None:
    counts = AttemptCounts()
    counts.begin()
    for state, duration in (
        (State.SUCCEEDED, 1.0),
        (State.SUCCEEDED, 3.0),
        (State.FAILED, 2.0),
        (State.CANCELLED, 0.0),
        (State.EXPIRED, 0.0),
        (State.WAITING, 0.0),
        (State.SCHEDULED, 0.5),
    ):
        counts.add(info(), state, duration)

    assert counts.take() == {Counted("default", "", "f"): Tally(2, 1, 2, 2, 6.5, 3.0)}
    assert counts.take() == {}


def test_counts__of_a_task_without_a_function_are_of_its_name() -> None:
    counts = AttemptCounts()
    counts.begin()
    counts.add(info(function=""), State.SUCCEEDED)

    assert list(counts.take()) == [Counted("default", "", "n")]


def test_counts__nothing_where_no_worker_takes_it() -> None:
    counts = AttemptCounts()
    counts.add(info(), State.SUCCEEDED)
    counts.begin()
    assert counts.take() == {}
    counts.end()
    counts.add(info(), State.SUCCEEDED)
    assert counts.take() == {}


def test_counts__of_threads_are_all_there() -> None:
    counts = AttemptCounts()
    counts.begin()
    taken: list[Tally] = []

    def add() -> None:
        for number in range(5_000):
            counts.add(info(hook=str(number % 3)), State.SUCCEEDED, 1.0)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += counts.take().values()
    taken += counts.take().values()

    assert sum(tally.succeeded for tally in taken) == 20_000
    assert sum(tally.ran for tally in taken) == 20_000


def test_tallies__add_up() -> None:
    assert Tally(1, 2, 3, 4, 5.0, 6.0).and_also(Tally(1, 1, 1, 1, 1.0, 7.0)) == Tally(
        2, 3, 4, 5, 6.0, 7.0
    )


def test_counts__of_what_runs(
    committed_db: None, counts: AttemptCounts, retried_at_once: None, tmp_path: Path
) -> None:
    tasks.add(1, 2)
    tasks.fail()
    tasks.fail_twice(str(tmp_path / "trace"))
    run_all()

    found = counts.take()

    assert {key.function.rpartition(".")[2]: tally[:4] for key, tally in found.items()} == {
        "add": (1, 0, 0, 0),
        "fail": (0, 1, 0, 0),
        "fail_twice": (1, 0, 0, 2),
    }
    assert all(key.queue == "default" for key in found)


def test_counts__not_of_what_another_worker_has_meanwhile(
    committed_db: None, counts: AttemptCounts
) -> None:
    tasks.add(1, 2)
    task = background.next()
    BackgroundTask.objects.update(state=State.WAITING)
    background.execute(task)
    background.settle()

    assert counts.take() == {}


def test_counts__of_tasks_whose_workers_died(committed_db: None, counts: AttemptCounts) -> None:
    from wagtail_async_hooks.models import Worker
    from wagtail_async_hooks.worker.rescuing import Rescuer

    worker: Any = ledger.register_worker(Worker(host="a", pid=1, threads=1, release="1"))
    for deaths in (0, 2):
        tasks.add(1, deaths)
        BackgroundTask.objects.filter(state=State.WAITING).update(
            state=State.RUNNING, worker=worker, deaths=deaths
        )
    Rescuer(background).rescue([worker.pk])

    assert [tally[:4] for tally in counts.take().values()] == [(0, 1, 0, 1)]
