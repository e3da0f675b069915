"""Tests of why a waiting task is not begun."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin.operating import task, worker
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import obstacles
from wagtail_async_hooks.monitoring.obstacles import Kind
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db


def kinds(row: BackgroundTask) -> list[Kind]:
    """Return what keeps a task from being begun."""
    return [each.kind for each in obstacles.of_task(row)]


def running(**columns: Any) -> BackgroundTask:
    """Make a task that runs."""
    return task(state=State.RUNNING, attempt=1, **columns)


def test_obstacles__none() -> None:
    worker()
    running()
    assert kinds(task(exclusive_key="page 1", deaths=1)) == []


def test_obstacles__no_worker_and_an_unserved_queue() -> None:
    row = task(queue="slow")
    assert kinds(row) == [Kind.NO_WORKER]
    worker(queues="all but slow")
    assert kinds(row) == [Kind.UNSERVED]


def test_obstacles__pauses() -> None:
    worker()
    pausing.pause(queue="slow")
    pausing.pause(hook="after_publish_page")
    assert kinds(task()) == []
    found = list(obstacles.of_task(task(queue="slow", hook="after_publish_page")))
    assert [each.pause.kind for each in found if each.pause] == ["queue", "hook"]


def test_obstacles__limit(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "QUEUES": {"slow": {"limit": 2}}}
    worker()
    running(queue="slow", slot=0)
    row = task(queue="slow")
    assert kinds(row) == []
    running(queue="slow", slot=1)
    assert [each.text for each in obstacles.of_task(row)] == [
        "The queue “slow” has a limit of 2, and so many of its tasks run."
    ]
    assert kinds(task()) == []


def test_obstacles__exclusive_key() -> None:
    worker()
    first, second = task(exclusive_key="page 1"), task(exclusive_key="page 1")
    [obstacle] = obstacles.of_task(second)
    assert (obstacle.kind, obstacle.task) == (Kind.EXCLUSIVE, first.pk)
    assert "comes first" in obstacle.text

    other = running(exclusive_key="page 1")
    assert [each.task for each in obstacles.of_task(first)] == [other.pk]


def test_obstacles__suspect() -> None:
    one, two = worker(), worker(pid=12)
    row = task(deaths=1)
    other = running(deaths=2, worker=one)
    assert kinds(row) == []  # the second worker takes it

    running(deaths=1, worker=two)
    [obstacle] = obstacles.of_task(row)
    assert (obstacle.kind, obstacle.task) == (Kind.SUSPECT, other.pk)
    assert kinds(task()) == []
