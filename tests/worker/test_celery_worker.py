"""The worker in a process of Celery's, called by threads of a test; and its reminders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections

from tests.processes import wait_until
from tests.work import tasks
from wagtail_async_hooks import background, ledger, pausing
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker import celery_worker, reminding
from wagtail_async_hooks.worker.celery_worker import CeleryWorker
from wagtail_async_hooks.worker.identity import Registration
from wagtail_async_hooks.worker.identity import register as register_worker
from wagtail_async_hooks.worker.reminding import Reminder

pytestmark = pytest.mark.slow


@pytest.fixture
def worker(committed_db: None) -> Iterator[CeleryWorker]:
    """A worker that has begun."""
    made = CeleryWorker(background, threads=2)
    made.start()
    assert made._has_begun.wait(60)
    yield made
    made.stop()


@pytest.fixture
def reminders(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count what stands for all that waits; the broker takes it."""
    sent: list[int] = []

    def announce_rest() -> bool:
        sent.append(1)
        return True

    monkeypatch.setattr(background.storage, "announce_rest", announce_rest)
    return sent


def state() -> str:
    """Return the state of the only task."""
    return BackgroundTask.objects.get().state


def test_run__one_task_for_each_call(worker: CeleryWorker, trace_file: Path) -> None:
    for word in "ab":
        tasks.trace(str(trace_file), word)
    assert worker.run()
    assert BackgroundTask.objects.filter(state=State.SUCCEEDED).count() == 1
    assert worker.run()
    assert not worker.run()
    row = Worker.objects.get()
    assert row.threads == 2
    assert set(BackgroundTask.objects.values_list("worker", flat=True)) == {row.pk}


def test_stop__the_row_says_so_and_nothing_is_claimed(trace_file: Path, committed_db: None) -> None:
    worker = CeleryWorker(background, threads=1)
    worker.start()
    assert worker._has_begun.wait(60)
    worker.stop()
    tasks.trace(str(trace_file), "x")
    assert not worker.run()
    assert state() == State.WAITING
    assert Worker.objects.get().stopped_at is not None


def test_stop__waits_for_what_runs(trace_file: Path, tmp_path: Path, committed_db: None) -> None:
    gate = tmp_path / "gate"
    worker = CeleryWorker(background, threads=1)
    worker.start()
    tasks.wait_for(str(trace_file), str(gate))

    def call() -> None:
        worker.run()
        connections.close_all()

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(trace_file.read_text, "it has begun")
    stopper = threading.Thread(target=worker.stop)
    stopper.start()
    wait_until(lambda: worker._stops, "it stops")
    gate.touch()
    for thread in (stopper, caller):
        thread.join()
    assert state() == State.SUCCEEDED


def test_rest__is_passed_on_by_who_finds_a_task(
    worker: CeleryWorker, trace_file: Path, reminders: list[int]
) -> None:
    tasks.trace(str(trace_file), "x")
    assert worker.run(rest=True)
    assert len(reminders) == 1
    assert not worker.run(rest=True)
    assert len(reminders) == 1


def test_overdue__claims_nothing(
    worker: CeleryWorker, trace_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.trace(str(trace_file), "x")
    monkeypatch.setattr(Registration, "is_overdue", lambda self: True)
    assert not worker.run()
    assert state() == State.WAITING


def test_database_away__celery_is_not_held_up(
    worker: CeleryWorker, trace_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.trace(str(trace_file), "x")
    monkeypatch.setattr(celery_worker, "PATIENCE", 0.1)

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("the server has gone away")

    with monkeypatch.context() as context:
        context.setattr(background.claims, "_step", fails)
        assert not worker.run()
    assert worker.run()
    assert state() == State.SUCCEEDED


def test_database_away__at_the_start(committed_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery_worker, "PATIENCE", 0.1)
    gate = threading.Event()
    monkeypatch.setattr(celery_worker, "load_tasks", lambda: gate.wait(60))
    worker = CeleryWorker(background, threads=1)
    worker.start()
    assert not worker.run()
    gate.set()
    assert worker._has_begun.wait(60)
    worker.stop()
    assert Worker.objects.get().stopped_at is not None


def test_outcome__that_cannot_be_recorded_is_with_the_next_call(
    worker: CeleryWorker, trace_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    tasks.trace(str(trace_file), "x")
    monkeypatch.setattr(celery_worker, "SETTLE_PATIENCE", 0.1)

    def fails() -> None:
        raise OperationalError("the server has gone away")

    with monkeypatch.context() as context:
        context.setattr(background.claims, "settle", fails)
        assert worker.run()
    assert state() == State.RUNNING
    assert "How a task ended could not be recorded so far" in caplog.text
    monkeypatch.undo()
    assert not worker.run()
    assert state() == State.SUCCEEDED


def test_hooks__that_cannot_be_imported(
    committed_db: None, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    from django.core.management.base import CommandError

    monkeypatch.setattr(celery_worker, "PATIENCE", 0.1)

    def fails() -> None:
        raise CommandError("The hooks of the site cannot be imported: NameError: x")

    monkeypatch.setattr(celery_worker, "load_tasks", fails)
    worker = CeleryWorker(background, threads=1)
    worker.start()
    worker._thread.join()
    assert "This Celery worker runs no background tasks: The hooks" in caplog.text
    assert not worker.run()
    worker.stop()
    assert not Worker.objects.exists()


# Reminders ----------------------------------------------------------------------------------


class Clock:
    """What the reminders take for the time."""

    now = 1000.0

    def monotonic(self) -> float:
        """Return it."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still unless it is moved."""
    made = Clock()
    monkeypatch.setattr(reminding, "time", made)
    return made


def reminder(queues: str = "") -> Reminder:
    """Return the reminders of a worker that was registered last."""
    return Reminder(background, Registration(register_worker(1, queues, 0), background), queues)


def looks(reminder: Reminder, clock: Clock, seconds: int) -> None:
    """Have it look once a second."""
    for _ in range(seconds):
        reminder.look()
        clock.now += 1


def test_reminder__comes_less_and_less_often(
    committed_db: None, reminders: list[int], clock: Clock, trace_file: Path
) -> None:
    reminds = reminder()
    looks(reminds, clock, 10)
    assert not reminders  # nothing waits
    tasks.trace(str(trace_file), "x")
    looks(reminds, clock, 1)
    assert not reminders  # somebody may be about to claim it
    looks(reminds, clock, 3600)
    assert 3600 / 31 < len(reminders) < 3600 / 30 + 6


def test_reminder__is_the_oldest_workers(
    committed_db: None, reminders: list[int], clock: Clock, trace_file: Path
) -> None:
    oldest, other, of_queue = reminder(), reminder(), reminder("mail")
    tasks.trace(str(trace_file), "x")
    looks(other, clock, 20)
    assert not reminders
    looks(of_queue, clock, 2)
    assert len(reminders) == 1
    looks(oldest, clock, 2)
    assert len(reminders) == 2
    ledger.stop_worker(oldest._worker.pk)
    looks(other, clock, 20)
    assert len(reminders) > 2


def test_reminder__not_of_what_is_paused(
    committed_db: None, reminders: list[int], clock: Clock, trace_file: Path
) -> None:
    from wagtail_async_hooks.worker.bounds import ClaimBounds

    bounds = ClaimBounds(background, (), ())
    reminds = reminder()
    tasks.trace(str(trace_file), "x")
    pausing.pause(function="tests.work.tasks.trace")
    bounds.refresh()
    try:
        looks(reminds, clock, 20)
        assert not reminders
    finally:
        bounds.reset()


def test_reminder__again_at_once_if_the_broker_has_not_taken_it(
    committed_db: None, clock: Clock, trace_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(background.storage, "announce_rest", lambda: next(answers))
    tasks.trace(str(trace_file), "x")
    looks(reminder(), clock, 4)
    assert list(answers) == []
