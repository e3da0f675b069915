"""Tests of series: what each bar of a chart is the sum of, in whose time, by how many queries."""

from __future__ import annotations

import datetime
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, QueueSample, TaskStatistic
from wagtail_async_hooks.monitoring import statistics
from wagtail_async_hooks.monitoring.statistics import PERIODS
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db

HOUR, DAY, WEEK = PERIODS
NOW = datetime.datetime(2026, 11, 3, 12, 34, 56, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)


def done(
    start: datetime.datetime, function: str = "shop.f", *, worker: int = 1, **columns: Any
) -> None:
    """Record what a worker did in five minutes."""
    columns = {"queue": "default", "hook": "", "function": function, **columns}
    TaskStatistic.objects.create(worker_id=worker, start=ledger.start_of(start), **columns)


def waited(
    start: datetime.datetime, waiting: int, oldest: float = 0, queue: str = "default"
) -> None:
    """Record how many tasks waited in five minutes."""
    QueueSample.objects.create(
        start=ledger.start_of(start), queue=queue, waiting=waiting, oldest=oldest
    )


def make(queue: str = "default") -> None:
    """Record a waiting task."""
    BackgroundTask.objects.create(
        task_id="x", name="n", message=b"", queue=queue, enqueued_at=timezone.now()
    )


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        (HOUR, (3, 11, 35), (3, 12, 30)),
        (DAY, (2, 13, 0), (3, 12, 30)),
        (WEEK, (27, 16, 0), (3, 12, 0)),
    ],
)
def test_starts__are_full_steps_up_to_now(period: Any, first: Any, last: Any) -> None:
    with timezone.override("UTC"):
        starts = period.starts(NOW)

    assert len(starts) == period.bars
    assert [(each.day, each.hour, each.minute) for each in (starts[0], starts[-1])] == [first, last]
    assert {later - one for one, later in pairwise(starts)} == {period.step}


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"])
def test_starts__are_those_of_the_clock_on_the_wall(zone: str) -> None:
    with timezone.override(zone):
        starts = WEEK.starts(NOW)

        assert (starts[-1].hour % 4, starts[-1].minute) == (0, 0)
        assert starts[-1] <= NOW < starts[-1] + WEEK.step
        assert str(starts[-1].tzinfo) == zone


def test_ended__by_outcome_of_all_workers_and_functions(django_assert_num_queries: Any) -> None:
    done(NOW, succeeded=1, failed=2, ended_otherwise=3, repeated=4)
    done(NOW, worker=2, succeeded=10)
    done(NOW, "shop.g", succeeded=100)
    done(NOW - 5 * MINUTE, failed=7)
    done(NOW - 55 * MINUTE, succeeded=5)
    done(NOW - 60 * MINUTE, succeeded=1000)

    with django_assert_num_queries(1):
        found = statistics.ended(HOUR, NOW)

    assert found.succeeded == [5, *[0] * 10, 111]
    assert found.failed == [*[0] * 10, 7, 2]
    assert (found.otherwise[-1], found.repeated[-1]) == (3, 4)


@pytest.mark.parametrize("period", PERIODS)
def test_ended__in_longer_bars(period: Any) -> None:
    start = period.starts(NOW)[3]
    for number in range(period.step // (5 * MINUTE)):
        done(start + number * 5 * MINUTE, succeeded=1)

    found = statistics.ended(period, NOW).succeeded

    assert found[3] == period.step // (5 * MINUTE)
    assert sum(found) == found[3]


def test_ended__later_than_now_is_left_out() -> None:
    done(NOW + 30 * MINUTE, succeeded=1)

    assert sum(statistics.ended(HOUR, NOW).succeeded) == 0


def test_waited__is_the_most_of_all_queues_together(django_assert_num_queries: Any) -> None:
    start = DAY.starts(NOW)[-1]
    waited(start, 5, 30.0)
    waited(start, 6, 90.0, "mail")
    waited(start - 5 * MINUTE, 40, 1.0)
    waited(start - 10 * MINUTE, 39, 2.0)

    with django_assert_num_queries(1):
        found = statistics.waited(DAY, NOW)

    assert found.most[-2:] == [40, 11]
    assert found.oldest[-2:] == [2.0, 90.0]
    assert sum(found.most) == 51


def test_expected__is_what_waits_by_what_was_done_recently() -> None:
    start = ledger.start_of(timezone.now() - 10 * MINUTE)
    done(start, succeeded=500, failed=50, ended_otherwise=50, repeated=9_999)
    done(start, queue="slow", repeated=1)
    seconds = (timezone.now() - start).total_seconds()

    found = statistics.expected_waits({"default": 300, "slow": 3, "new": 1, "empty": 0})

    assert found["default"] is not None
    assert found["default"].total_seconds() == pytest.approx(300 * seconds / 600, abs=1)
    assert (found["slow"], found["new"]) == (None, None)
    assert found["empty"] == datetime.timedelta()


def test_expected__of_one_queue(django_assert_num_queries: Any) -> None:
    assert statistics.expected_wait("default") == datetime.timedelta()
    for _ in range(2):
        make()
    make("mail")
    assert statistics.expected_wait("default") is None
    done(timezone.now() - 5 * MINUTE, succeeded=1000)
    expected = statistics.expected_wait("default")
    assert expected is not None
    assert datetime.timedelta() < expected < datetime.timedelta(seconds=2)


def test_expected__does_not_count_what_is_claimed() -> None:
    make()
    BackgroundTask.objects.update(state=State.RUNNING)

    assert statistics.expected_wait("default") == datetime.timedelta()


def test_latest_oldest__of_the_last_minutes() -> None:
    now = timezone.now()
    assert statistics.latest_oldest(now) is None
    waited(now - 20 * MINUTE, 1, 5.0)
    assert statistics.latest_oldest(now) is None
    waited(now, 1, 70.0)
    waited(now, 1, 60.0, "mail")
    assert statistics.latest_oldest(now) == datetime.timedelta(seconds=70)
