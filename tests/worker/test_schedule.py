"""Tests of what recurs, and of what is told about it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from huey.api import crontab

from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask, Schedule
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker import schedule
from wagtail_async_hooks.worker.scheduler import Scheduler

pytestmark = pytest.mark.django_db

DAILY = {"function": "tests.work.tasks.add", "args": [1, 2], "crontab": "0 3 * * *"}
WEEKLY = {
    "command": "check",
    "args": ["--tag", "models"],
    "crontab": "@weekly",
    "time_zone": "Asia/Tokyo",
    "missed": "skip",
}


@pytest.fixture
def recurring(settings: Any, registries: None) -> None:
    """Two entries of the settings, and a function that Huey asks about."""
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "SCHEDULE": {"sums": DAILY, "checks": WEEKLY},
    }

    @background.periodic_task(crontab(minute="7"))
    def tell() -> None:
        pass


@pytest.mark.usefixtures("recurring")
def test_entries__before_any_worker_has_looked() -> None:
    checks, sums, tell = schedule.entries()

    assert (checks.name, checks.what) == ("checks", "manage.py check --tag models")
    assert (checks.crontab, checks.time_zone, checks.missed) == ("0 0 * * 0", "Asia/Tokyo", "skip")
    assert (sums.what, sums.time_zone, sums.missed) == ("tests.work.tasks.add", "UTC", "once")
    assert sums.next_due_at is not None
    assert (sums.next_due_at.hour, sums.next_due_at.utcoffset()) == (3, datetime.timedelta())
    assert (tell.what, tell.crontab, tell.next_due_at) == (f"{__name__}.tell", "", None)
    assert (sums.task, sums.state, sums.last_due_at) == (None, None, None)


@pytest.mark.usefixtures("recurring")
def test_entries__once_it_has_run(django_assert_num_queries: Any) -> None:
    scheduler = Scheduler()
    scheduler.enqueue_due()
    due = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    Schedule.objects.filter(name="sums").update(next_due_at=due)
    scheduler.enqueue_due()
    background.execute(background.next())

    with django_assert_num_queries(1):
        _, sums, tell = schedule.entries()

    task = BackgroundTask.objects.get()
    assert (sums.last_due_at, sums.task, sums.state) == (due, task.pk, State.SUCCEEDED)
    assert (sums.started_at, sums.ended_at) == (task.started_at, task.finished_at)
    assert tell.next_due_at is None

    task.delete()
    assert (schedule.entries()[1].task, schedule.entries()[1].state) == (sums.task, None)


@pytest.mark.usefixtures("recurring")
def test_entries__a_change_that_no_worker_knows_yet(settings: Any) -> None:
    Scheduler().enqueue_due()
    changed = {"sums": {**DAILY, "crontab": "0 5 * * *"}}
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "SCHEDULE": changed}

    sums, _ = schedule.entries()

    assert sums.next_due_at is not None
    assert sums.next_due_at.hour == 5


@pytest.mark.usefixtures("recurring")
def test_entries__need_no_tables_in_immediate_mode(
    settings: Any, django_assert_num_queries: Any
) -> None:
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "BACKEND": ""}

    with django_assert_num_queries(0):
        assert len(schedule.entries()) == 3


def test_find_function__that_cannot_be_imported() -> None:
    for path, message in (
        ("tests.work.tasks.gret", "does not define"),
        ("tests.wrk.tasks.greet", "No module named"),
        ("tests.work.tasks.os", "it is a module"),
        ("greet", "doesn't look like a module path"),
        ("tests.faults.broken.function", "No module named"),
    ):
        with pytest.raises(ImportError, match=message):
            schedule.find_function(path)
