"""Tests of what is known of the runs of hooks' functions."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils import timezone

from wagtail_async_hooks.models import BackgroundTask, HookSample
from wagtail_async_hooks.monitoring import hook_statistics
from wagtail_async_hooks.monitoring.hook_statistics import Measured, Spread, percentile
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db

HOOK = "after_publish_page"
KEY = (HOOK, "shop.purge")
NOW = timezone.now().replace(microsecond=0)


def at(seconds: float | None) -> datetime.datetime | None:
    """Return a time so many seconds after the tasks were enqueued."""
    return None if seconds is None else NOW + datetime.timedelta(seconds=seconds)


def ran(
    started: float | None,
    finished: float | None,
    state: State = State.SUCCEEDED,
    *,
    run_at: float | None = None,
    **columns: Any,
) -> None:
    """Make a row of a task, by seconds after it was enqueued."""
    given = {"hook": HOOK, "function": "shop.purge", "attempt": 1, "message": b"", **columns}
    BackgroundTask.objects.create(
        state=state,
        enqueued_at=NOW,
        run_at=at(run_at),
        started_at=at(started),
        finished_at=at(finished),
        **given,
    )


def test_runs__of_none() -> None:
    assert hook_statistics.runs() == {}


def test_runs__counts_and_times() -> None:
    for number in range(1, 101):
        ran(number / 10, number / 10 + number)
    found = hook_statistics.runs()[KEY]

    assert (found.number, found.failed, found.failure_rate) == (100, 0, 0.0)
    assert found.waited == pytest.approx(Spread(5.0, 9.5), abs=0.002)
    assert found.took == pytest.approx(Spread(50.0, 95.0), abs=0.002)


def test_runs__only_what_ran_to_its_end_counts() -> None:
    ran(1, 2)
    ran(1, 2, State.FAILED)
    ran(None, 2, State.CANCELLED, attempt=0)
    ran(None, 2, State.MERGED, attempt=0)
    ran(1, None, State.RUNNING)
    ran(None, None, State.WAITING, attempt=0)
    ran(1, 2, hook="")
    found = hook_statistics.runs()

    assert found.keys() == {KEY}
    assert (found[KEY].number, found[KEY].failed, found[KEY].failure_rate) == (2, 1, 0.5)


def test_runs__it_waits_from_when_it_could_run() -> None:
    ran(40, 41, run_at=30)
    assert hook_statistics.runs()[KEY].waited == pytest.approx(Spread(10.0, 10.0), abs=0.002)


def test_runs__the_last_attempt_counts() -> None:
    ran(95, 99, attempt=3, run_at=90)
    found = hook_statistics.runs()[KEY]
    assert found.waited == pytest.approx(Spread(5.0, 5.0), abs=0.002)
    assert found.took == pytest.approx(Spread(4.0, 4.0), abs=0.002)


def test_runs__when_somebody_let_it_run_again_is_not_known() -> None:
    ran(86_400, 86_402, attempt=2)
    found = hook_statistics.runs()[KEY]
    assert found.waited is None
    assert found.took == pytest.approx(Spread(2.0, 2.0), abs=0.002)


def test_runs__of_the_newest_tasks_by_one_query(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    ran(1, 2, function="shop.old")
    for _ in range(3):
        ran(1, 2)
    monkeypatch.setattr(hook_statistics, "RECENT", 3)
    with django_assert_num_queries(1):
        assert hook_statistics.runs().keys() == {KEY}


def test_measured__by_hook_and_function() -> None:
    for hook, durations in ((HOOK, [1.0, 2.0, 3.0]), ("after_edit_page", [5.0])):
        HookSample.objects.create(
            hook=hook, function="shop.purge", at=NOW, calls=len(durations), durations=durations
        )
    assert hook_statistics.measured() == {
        (HOOK, "shop.purge"): Measured(2.0, 3),
        ("after_edit_page", "shop.purge"): Measured(5.0, 1),
    }


def test_measured__a_duration_stands_for_as_many_calls_as_it_was_chosen_from() -> None:
    for calls, durations in ((1000, [1.0, 1.1]), (3, [9.0, 9.1, 9.2])):
        HookSample.objects.create(
            hook=HOOK, function="shop.purge", at=NOW, calls=calls, durations=durations
        )
    found = hook_statistics.measured()[KEY]
    assert found.calls == 1003
    assert found.median < 2


def test_measured__the_newest_by_one_query(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    for number in range(4):
        HookSample.objects.create(
            hook=HOOK, function="shop.purge", at=NOW, calls=1, durations=[float(number)]
        )
    monkeypatch.setattr(hook_statistics, "SAMPLES", 1)
    with django_assert_num_queries(1):
        assert hook_statistics.measured() == {KEY: Measured(3.0, 1)}


@pytest.mark.parametrize(
    ("values", "fraction", "expected"),
    [
        ([7.0], 0.95, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([1.0, 2.0], 0.95, 2),
    ],
)
def test_percentile(values: list[float], fraction: float, expected: float) -> None:
    assert percentile(values, fraction) == expected
