"""Tests of the rows that charts are made of: how attempts ended, and how many tasks waited."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils import timezone

from tests.work import tasks
from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger import queues, statistics
from wagtail_async_hooks.models import BackgroundTask, QueueSample, TaskStatistic
from wagtail_async_hooks.types import Counted, State, Tally

pytestmark = pytest.mark.django_db

NOON = datetime.datetime(2026, 11, 3, 12, tzinfo=datetime.UTC)
ONE, OTHER = Counted("default", "", "shop.one"), Counted("default", "after_edit_page", "shop.two")


def make(queue: str = "default", *, minutes: float = 0, **columns: Any) -> None:
    """Record a task that has waited for some minutes."""
    tasks.add(1, 2)
    row = BackgroundTask.objects.latest("pk")
    enqueued = timezone.now() - datetime.timedelta(minutes=minutes)
    columns = {"queue": queue, "enqueued_at": enqueued, **columns}
    BackgroundTask.objects.filter(pk=row.pk).update(**columns)


def written() -> list[tuple[Any, ...]]:
    """Return what is recorded of the functions."""
    rows = TaskStatistic.objects.order_by("pk")
    return list(rows.values_list("worker_id", "function", "succeeded", "failed", "ran"))


def test_start__of_five_minutes_or_more() -> None:
    moment = NOON + datetime.timedelta(minutes=34, seconds=56)

    assert ledger.start_of(moment) == NOON + datetime.timedelta(minutes=30)
    assert ledger.start_of(moment, datetime.timedelta(hours=4)) == NOON


def test_record__inserts_once_and_then_updates(django_assert_num_queries: Any) -> None:
    keys = ledger.record_statistics(1, NOON, {ONE: Tally(1, ran=0.5)}, None)
    [row] = TaskStatistic.objects.all()
    again = ledger.record_statistics(1, NOON, {ONE: Tally(3, 1, ran=2.5), OTHER: Tally(1)}, keys)

    assert keys == {ONE: row.pk}
    assert again.keys() == {ONE, OTHER}
    assert written() == [(1, "shop.one", 3, 1, 2.5), (1, "shop.two", 1, 0, 0.0)]


def test_record__may_be_repeated() -> None:
    for _ in range(2):
        ledger.record_statistics(1, NOON, {ONE: Tally(3)}, None)

    assert written() == [(1, "shop.one", 3, 0, 0.0)]


def test_record__of_other_workers_and_times_has_other_rows() -> None:
    ledger.record_statistics(1, NOON, {ONE: Tally(1)}, None)
    ledger.record_statistics(2, NOON, {ONE: Tally(2)}, None)
    ledger.record_statistics(1, NOON + statistics.STEP, {ONE: Tally(3)}, None)

    assert [row[2] for row in written()] == [1, 2, 3]


def test_record__anew_what_is_gone() -> None:
    keys = ledger.record_statistics(1, NOON, {ONE: Tally(1)}, None)
    TaskStatistic.objects.all().delete()
    ledger.record_statistics(1, NOON, {ONE: Tally(2)}, keys)

    assert written() == [(1, "shop.one", 2, 0, 0.0)]


def test_waiting__by_queue_and_since_when() -> None:
    make(minutes=5)
    make(minutes=9, priority=-3)
    make(minutes=2, priority=7)
    make("mail", minutes=1)
    make("mail", minutes=60, run_at=timezone.now() - datetime.timedelta(minutes=4))  # put off
    make("late", state=State.SCHEDULED)

    found = ledger.waiting_by_queue()

    assert {queue: waiting.number for queue, waiting in found.items()} == {"default": 3, "mail": 2}
    ages = {queue: timezone.now() - waiting.since for queue, waiting in found.items()}
    assert {queue: round(age.total_seconds() / 60) for queue, age in ages.items()} == {
        "default": 9,
        "mail": 4,
    }


def test_waiting__is_counted_up_to_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MANY", 2)
    for _ in range(3):
        make()

    found = ledger.waiting_by_queue()["default"]
    assert (found.number, found.is_all) == (2, False)
    assert ledger.count_waiting("default") == 2
    assert ledger.count_waiting("mail") == 0


def test_waiting__of_many_queues_fewer_are_counted_of_each() -> None:
    assert [ledger.most_of_each(number) for number in (0, 1, 5, 6, 32, 200, 10_000)] == [
        *[10_000, 10_000, 10_000, 5_000, 1_000, 200, 200]
    ]


def test_waiting__asks_for_no_more_pairs_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "_GROUPS", 2)
    for queue in "abcd":
        make(queue)

    assert list(ledger.waiting_by_queue()) == ["a", "b"]


def test_sample__keeps_the_most() -> None:
    for _ in range(3):
        make(minutes=3)
    ledger.sample_queues()
    BackgroundTask.objects.all()[0].delete()
    make(minutes=7)
    BackgroundTask.objects.filter(queue="default").order_by("pk")[0].delete()
    ledger.sample_queues()

    samples = QueueSample.objects.values_list("queue", "waiting", "oldest")
    assert {queue for queue, _, _ in samples} == {"default"}
    assert max(waiting for _, waiting, _ in samples) == 3
    assert max(round(oldest / 60) for _, _, oldest in samples) == 7


def test_sample__of_nothing_writes_nothing() -> None:
    ledger.sample_queues()

    assert not QueueSample.objects.exists()


def test_merge__of_half_an_hour_and_all_workers() -> None:
    now = timezone.now()
    old = ledger.start_of(now - datetime.timedelta(hours=30), statistics.COARSE_STEP)
    for minutes, worker, tally in ((0, 1, Tally(1)), (25, 1, Tally(0, 2)), (5, 2, Tally(4))):
        start = old + datetime.timedelta(minutes=minutes)
        ledger.record_statistics(worker, start, {ONE: tally, OTHER: Tally(1)}, None)
    ledger.record_statistics(1, old + statistics.COARSE_STEP, {ONE: Tally(7)}, None)
    ledger.record_statistics(1, now - datetime.timedelta(hours=24), {ONE: Tally(9)}, None)

    assert ledger.merge_statistics() == 2
    assert ledger.merge_statistics() == 0

    assert sorted(written()) == [
        (-1, "shop.one", 5, 2, 0.0),
        (-1, "shop.one", 7, 0, 0.0),
        (-1, "shop.two", 3, 0, 0.0),
        (1, "shop.one", 9, 0, 0.0),
    ]
    assert TaskStatistic.objects.filter(start=old, worker=statistics.ALL_WORKERS).count() == 2


def test_merge__of_what_is_written_later_is_added() -> None:
    old = ledger.start_of(timezone.now() - datetime.timedelta(hours=30), statistics.COARSE_STEP)
    for _ in range(2):
        ledger.record_statistics(1, old, {ONE: Tally(3)}, None)
        ledger.merge_statistics()

    assert written() == [(-1, "shop.one", 6, 0, 0.0)]


def test_merge__in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "BATCHES", 2)
    for hours in (30, 31, 32):
        start = timezone.now() - datetime.timedelta(hours=hours)
        ledger.record_statistics(1, ledger.start_of(start), {ONE: Tally(1)}, None)

    assert [ledger.merge_statistics() for _ in range(2)] == [2, 1]
