"""A worker whose row is gone, is another one's, or tells of what was: a restore of the database."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import Outcome, State
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.worker.identity import Registration
from wagtail_async_hooks.worker.rescuing import Rescuer

pytestmark = pytest.mark.django_db


def register(pid: int = 0) -> Registration:
    """Record a worker of this process."""
    told = {"host": "here", "process_space": "a", "threads": 1, "release": "1"}
    row = ledger.register_worker(Worker(pid=pid or os.getpid(), **told))
    return Registration(row, background)


@pytest.fixture
def worker() -> Registration:
    return register()


@pytest.fixture(autouse=True)
def _holds_nothing() -> Iterator[None]:
    yield
    for claim in background.claims.holding.all():
        background.claims.holding.discard(claim)


def test_number__is_not_given_twice_where_the_sequence_starts_over(worker: Registration) -> None:
    Worker.objects.all().delete()
    assert register().pk > worker.pk
    assert register().pk < 2**53


@pytest.mark.parametrize("rows", ["workers", "tasks and workers"])
def test_beat__without_a_row_records_itself_anew(
    worker: Registration, rows: str, caplog: pytest.LogCaptureFixture
) -> None:
    Worker.objects.all().delete()
    if rows != "workers":
        BackgroundTask.objects.all().delete()
    assert worker.beat() is ledger.Beat.GONE
    assert list(ledger.alive().values_list("pk", flat=True)) == [worker.pk]
    assert caplog.text.count("is recorded anew") == 1
    assert worker.beat() is ledger.Beat.ALIVE


def test_beat__with_the_row_of_another_process_takes_a_new_number(worker: Registration) -> None:
    tasks.add(1, 2)
    task = background.next(worker.pk)
    former = worker.pk
    Worker.objects.filter(pk=former).update(host="elsewhere")
    assert worker.beat() is ledger.Beat.TAKEN
    assert worker.pk != former
    assert BackgroundTask.objects.get().worker_id == worker.pk
    background.execute(task)
    assert BackgroundTask.objects.get().state == State.SUCCEEDED


def test_restore__to_where_it_waited_what_runs_goes_on(worker: Registration) -> None:
    tasks.add(1, 2)
    task = background.next(worker.pk)
    BackgroundTask.objects.update(state=State.WAITING, attempt=0, worker=None, started_at=None)
    Worker.objects.all().delete()
    worker.beat()
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.worker_id) == (State.RUNNING, 1, worker.pk)
    background.execute(task)
    assert BackgroundTask.objects.get().state == State.SUCCEEDED


def test_restore__claimed_by_another_thread_before_that_it_is_not_begun_again(
    worker: Registration,
) -> None:
    tasks.add(1, 2)
    task = background.next(worker.pk)
    BackgroundTask.objects.update(state=State.WAITING, attempt=0, worker=None)
    assert background.next(worker.pk) is None
    background.execute(task)
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt) == (State.SUCCEEDED, 1)


def test_restore__another_task_with_the_same_number_is_another_task(worker: Registration) -> None:
    tasks.add(1, 2)
    before = background.next(worker.pk)
    other = register(pid=1)
    BackgroundTask.objects.update(task_id="another", worker=other.pk)
    background.execute(before)
    row = BackgroundTask.objects.get()
    assert (row.state, row.worker_id) == (State.RUNNING, other.pk)


@pytest.mark.parametrize("claim", [True, False], ids=["with the next claim", "alone"])
@pytest.mark.parametrize("waits", [True, False])
def test_restore__an_outcome_is_none_of_another_task_with_the_same_number(
    waits: bool, claim: bool, worker: Registration
) -> None:
    tasks.add(1, 2)
    _, claimed = ledger.step(None, worker.pk)
    assert claimed is not None
    other = register(pid=1)
    BackgroundTask.objects.update(task_id="another", worker=other.pk)
    if waits:
        tasks.add(3, 4)

    kept, following = ledger.step(Outcome(claimed, State.SUCCEEDED), worker.pk, claim=claim)

    assert not kept
    assert (following is not None) is (waits and claim)
    row = BackgroundTask.objects.get(pk=claimed.pk)
    assert (row.state, row.worker_id, row.finished_at) == (State.RUNNING, other.pk, None)


@pytest.mark.parametrize("of", ["nobody", "a worker that is gone", "a worker that has stopped"])
def test_orphans__are_rescued_but_not_at_once(of: str) -> None:
    stopped = register(pid=1)
    Worker.objects.filter(pk=stopped.pk).update(stopped_at=DatabaseNow())
    number = {"nobody": None, "a worker that is gone": 5}.get(of, stopped.pk)
    tasks.add(1, 2)
    background.next(number)
    rescuer = Rescuer(background, 3)
    rescuer.rescue_orphans(patience=60)
    assert BackgroundTask.objects.get().state == State.RUNNING
    rescuer.rescue_orphans(patience=0)
    row = BackgroundTask.objects.get()
    assert (row.state, row.deaths) == (State.WAITING, 1)


def test_orphans__none_are_what_a_living_worker_runs(worker: Registration) -> None:
    tasks.add(1, 2)
    background.next(worker.pk)
    Rescuer(background, 3).rescue_orphans(patience=0)
    assert BackgroundTask.objects.get().state == State.RUNNING


# A cut ------------------------------------------------------------------------------------------


def give_up(worker: Registration) -> None:
    """Take from a worker what it holds, as though it had not been heard of."""
    Rescuer(background, 3).rescue([worker.pk])
    Worker.objects.filter(pk=worker.pk).update(stopped_at=DatabaseNow())


def test_return__a_death_by_a_heartbeat_that_came_back_is_none(worker: Registration) -> None:
    for _ in range(3):
        tasks.add(1, 2)
    running = [background.next(worker.pk) for _ in range(3)]
    give_up(worker)
    assert set(BackgroundTask.objects.values_list("state", "deaths")) == {(State.WAITING, 1)}
    assert worker.beat() is ledger.Beat.RETURNED
    assert set(BackgroundTask.objects.values_list("state", "deaths")) == {(State.RUNNING, 0)}
    for task in running:
        background.execute(task)
    assert set(BackgroundTask.objects.values_list("state", "attempt")) == {(State.SUCCEEDED, 1)}


def test_return__what_another_worker_runs_by_then_stays_its(worker: Registration) -> None:
    tasks.add(1, 2)
    background.next(worker.pk)
    give_up(worker)
    other = register(pid=1)
    BackgroundTask.objects.update(state=State.RUNNING, attempt=2, worker=other.pk)
    worker.beat()
    row = BackgroundTask.objects.get()
    assert (row.attempt, row.worker_id, row.deaths) == (2, other.pk, 0)


def test_return__deaths_are_not_forgiven_for_ever(worker: Registration) -> None:
    tasks.add(1, 2)
    background.next(worker.pk)
    for _ in range(ledger.workers.MAX_RETURNS):
        give_up(worker)
        worker.beat()
        assert BackgroundTask.objects.get().deaths == 0
    give_up(worker)
    worker.beat()
    assert BackgroundTask.objects.get().deaths == 1


def test_return__what_failed_by_a_death_that_was_none_goes_on(worker: Registration) -> None:
    tasks.add(1, 2)
    task = background.next(worker.pk)
    BackgroundTask.objects.update(deaths=2)
    give_up(worker)
    assert BackgroundTask.objects.get().state == State.FAILED
    worker.beat()
    background.execute(task)
    row = BackgroundTask.objects.get()
    assert (row.state, row.error) == (State.SUCCEEDED, "")


def test_claim__of_what_this_worker_still_runs_lets_that_go_on(worker: Registration) -> None:
    tasks.add(1, 2)
    task = background.next(worker.pk)
    give_up(worker)
    assert background.next(worker.pk) is None
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.deaths) == (State.RUNNING, 1, 0)
    background.execute(task)
    assert BackgroundTask.objects.get().state == State.SUCCEEDED
