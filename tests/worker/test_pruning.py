"""Tests of the history: what has ended leaves the ledger in time, and nothing else does."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.conf import HistoryOptions
from wagtail_async_hooks.ledger import hook_samples, retention, statistics
from wagtail_async_hooks.models import (
    BackgroundTask,
    HookSample,
    QueueSample,
    TaskAttempt,
    TaskStatistic,
    Worker,
)
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker import pruning
from wagtail_async_hooks.worker.pruning import Pruner

WEEK = HistoryOptions(succeeded=7, failed=30)


def make(state: State, days: float, *, recorded: float | None = None) -> int:
    """Record a task that ended some days ago; return its number."""
    tasks.add(1, 2)
    row = BackgroundTask.objects.latest("pk")
    now = timezone.now()
    row.state = state
    row.enqueued_at = now - datetime.timedelta(days=days if recorded is None else recorded)
    if state.is_final:
        row.finished_at = now - datetime.timedelta(days=days)
    row.save()
    return int(row.pk)


def left() -> list[int]:
    """Return the numbers of the tasks that are left."""
    return list(BackgroundTask.objects.order_by("pk").values_list("pk", flat=True))


def register() -> Worker:
    """Register a worker."""
    return ledger.register_worker(Worker(host="a", pid=1, threads=1, release="1"))


@pytest.mark.django_db
def test_prune__what_ended_long_enough_ago() -> None:
    kept = [
        make(State.WAITING, 90),
        make(State.SCHEDULED, 90),
        make(State.RUNNING, 90),
        make(State.SUCCEEDED, 6),
        make(State.FAILED, 29),
        make(State.SUCCEEDED, 1, recorded=90),
    ]
    for state, days in (("succeeded", 8), ("merged", 8), ("failed", 31), ("cancelled", 31)):
        make(State(state), days)
    make(State.EXPIRED, 31)

    assert pruning.prune(WEEK) == 5

    assert left() == kept


@pytest.mark.django_db
def test_prune__nothing_for_ever() -> None:
    kept = [make(State.SUCCEEDED, 9_000), make(State.FAILED, 9_000)]
    assert pruning.prune(HistoryOptions(succeeded=None, failed=None)) == 0
    assert left() == kept
    assert pruning.prune(HistoryOptions(succeeded=None, failed=1)) == 1


@pytest.mark.django_db
def test_prune__takes_attempts_along() -> None:
    key = make(State.FAILED, 40)
    TaskAttempt.objects.create(task_id=key, number=1, ended_at=timezone.now())
    pruning.prune(WEEK)
    assert not TaskAttempt.objects.exists()


@pytest.mark.django_db
def test_prune__what_is_run_again_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    key = make(State.FAILED, 40)
    delete = retention._delete_ended

    def retry_first(alias: str, keys: list[int]) -> int:
        control.retry(keys)
        return delete(alias, keys)

    monkeypatch.setattr(retention, "_delete_ended", retry_first)
    assert pruning.prune(WEEK) == 0
    assert left() == [key]


@pytest.mark.django_db
def test_prune__no_transaction_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(7):
        make(State.SUCCEEDED, 9)
    delete = retention._delete_ended
    rests: list[float] = []
    deleted: list[int] = []

    def delete_few(alias: str, keys: list[int]) -> int:
        deleted.append(len(keys))
        return delete(alias, keys)

    monkeypatch.setattr(retention, "AT_ONCE", 3)
    monkeypatch.setattr(retention, "_delete_ended", delete_few)
    monkeypatch.setattr("wagtail_async_hooks.ledger.retention.time.sleep", rests.append)

    assert pruning.prune(WEEK) == 7

    assert deleted == [3, 3, 1]
    assert len(rests) == 3


@pytest.mark.django_db
def test_prune__in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    old = [make(State.SUCCEEDED, 40) for _ in range(7)]
    young = make(State.SUCCEEDED, 1)
    ages = pruning.ages_of(WEEK)

    assert ledger.prune(ages) == (3, old[2])
    assert ledger.prune(ages, old[2]) == (3, old[5])
    assert ledger.prune(ages, old[5]) == (1, None)

    assert left() == [young]


@pytest.mark.django_db
def test_prune__does_not_look_at_what_is_young(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    for _ in range(9):
        make(State.SUCCEEDED, 1)
    with django_assert_num_queries(1):
        assert pruning.prune(WEEK) == 0


# By a worker --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_step__is_done_by_the_oldest_worker_and_then_rests(
    django_assert_num_queries: Any,
) -> None:
    first, second = register(), register()
    old = make(State.SUCCEEDED, 40)

    Pruner(second.pk).take_step()
    assert left() == [old]
    pruner = Pruner(first.pk)
    pruner.take_step()
    assert left() == []

    make(State.SUCCEEDED, 40)
    with django_assert_num_queries(0):
        pruner.take_step()


@pytest.mark.django_db
def test_step__goes_on_at_once_where_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    pruner = Pruner(register().pk)
    for _ in range(5):
        make(State.SUCCEEDED, 40)
    numbers = []
    for _ in range(3):
        pruner.take_step()
        numbers.append(len(left()))
    assert numbers == [3, 1, 0]


@pytest.mark.django_db
def test_step__leaves_all_tasks_if_all_are_kept(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HISTORY": {"succeeded": None, "failed": None},
    }
    kept = make(State.SUCCEEDED, 9_000)

    Pruner(register().pk).take_step()

    assert left() == [kept]


@pytest.mark.django_db
def test_step__old_statistics_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "BATCH", 2)
    worker = register()
    now = timezone.now()
    for days in (9, 9, 9, 8.1, 7.9, 0):
        start = now - datetime.timedelta(days=days)
        TaskStatistic.objects.create(worker=worker, start=start, queue="q")
        QueueSample.objects.create(start=start, queue=f"{days} {QueueSample.objects.count()}")

    Pruner(worker.pk).take_step()

    assert TaskStatistic.objects.count() == QueueSample.objects.count() == 2


@pytest.mark.django_db
def test_step__no_more_old_statistics_than_are_deleted_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "BATCH", 2)
    monkeypatch.setattr(statistics, "BATCHES", 2)
    old = timezone.now() - datetime.timedelta(days=9)
    for number in range(5):
        QueueSample.objects.create(start=old, queue=str(number))

    Pruner(register().pk).take_step()

    assert QueueSample.objects.count() == 1


@pytest.mark.django_db
def test_step__workers_that_stopped_long_ago_go() -> None:
    alive, recent, gone, holding = (register() for _ in range(4))
    for worker, days in ((recent, 29), (gone, 31), (holding, 31)):
        stopped_at = timezone.now() - datetime.timedelta(days=days)
        Worker.objects.filter(pk=worker.pk).update(stopped_at=stopped_at)
    make(State.RUNNING, 40)
    BackgroundTask.objects.update(worker=holding)

    Pruner(alive.pk).take_step()

    left = Worker.objects.order_by("pk").values_list("pk", flat=True)
    assert list(left) == [alive.pk, recent.pk, holding.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("days", [30, None])
def test_step__old_samples_of_hooks_go(settings: Any, days: int | None) -> None:
    history = {"succeeded": days, "failed": days}
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HISTORY": history, "MEASURE_HOOKS": True}
    for age in (1, 6, 8, 400):
        HookSample.objects.create(at=timezone.now() - datetime.timedelta(days=age), calls=age)
    Pruner(register().pk).take_step()

    assert sorted(HookSample.objects.values_list("calls", flat=True)) == [1, 6]


@pytest.mark.django_db
def test_samples__are_pruned_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_samples, "BATCH", 2)
    monkeypatch.setattr(hook_samples, "_BATCHES", 2)
    old = timezone.now() - datetime.timedelta(days=8)
    HookSample.objects.bulk_create(HookSample(at=old) for _ in range(5))

    assert [ledger.prune_hook_samples() for _ in range(3)] == [4, 1, 0]


@pytest.mark.slow
def test_step__in_a_real_worker(start: Callable[..., Process], backend: dict[str, str]) -> None:
    make(State.SUCCEEDED, 40)
    kept = make(State.FAILED, 8)
    start("wagtail_worker", **backend)
    wait_until(lambda: left() == [kept], "the old task is gone")


# The setting ---------------------------------------------------------------------------------


def test_setting() -> None:
    read = conf.parse({"HISTORY": {"succeeded": 1, "failed": None}})
    assert (read.history, read.problems) == (HistoryOptions(1, None), ())
    assert conf.parse({}).history == HistoryOptions(7, 30)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"sucseeded": 1},
            'WAGTAIL_TASKS["HISTORY"] has an unknown key "sucseeded"; did you mean "succeeded"?',
        ),
        (
            {"failed": "a week"},
            'WAGTAIL_TASKS["HISTORY"]["failed"] should be a number of days from 0 to 36500, or '
            "None for ever, but is 'a week'.",
        ),
        (7, 'WAGTAIL_TASKS["HISTORY"] should be a dict with text keys, but is 7.'),
    ],
)
def test_setting__mistakes(given: Any, told: str) -> None:
    assert conf.parse({"HISTORY": given}).problems == (told,)
