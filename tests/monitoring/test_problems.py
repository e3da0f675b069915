"""Tests of what is told to be wrong: what waits, why, and what that means."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.monitoring import moment, problems
from wagtail_async_hooks.monitoring.problems import Problem
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db

PURGE = "wagtail.contrib.frontend_cache.tasks.purge_urls_from_cache_task"
INDEX = "modelsearch.tasks.insert_or_update_object_task"


def waiting(number: int = 1, minutes: float = 5, **columns: Any) -> None:
    """Make tasks that have waited for some minutes."""
    then = timezone.now() - datetime.timedelta(minutes=minutes)
    columns = {"state": State.WAITING, "enqueued_at": then, "message": b"", **columns}
    BackgroundTask.objects.bulk_create(
        [BackgroundTask(task_id=f"{n}", name="x", **columns) for n in range(number)]
    )


def worker(**columns: Any) -> Worker:
    """Make a worker that lives."""
    now = timezone.now()
    columns = {"started_at": now, "heartbeat_at": now, **columns}
    return Worker.objects.create(host="a", pid=1, threads=2, release="1", **columns)


def texts() -> list[str]:
    """Return what is told to who may see all."""
    return [problem.text for problem in problems.problems()]


def test_problems__of_an_empty_site() -> None:
    assert problems.problems() == []


def test_problems__without_a_worker() -> None:
    waiting(12, function=PURGE)

    [problem] = problems.problems()

    assert problem == Problem(
        "critical",
        "12 cache purges are waiting because no worker runs: visitors may see old pages.",
        "Background tasks are delayed: visitors may see old pages.",
        "workers",
    )


def test_problems__without_a_worker__for_a_moment() -> None:
    waiting(minutes=0.5)

    assert texts() == []


def test_problems__without_a_worker__but_with_one_that_cron_starts() -> None:
    stopped = timezone.now() - datetime.timedelta(minutes=4)
    worker(stopped_at=stopped, heartbeat_at=stopped - datetime.timedelta(seconds=1))
    waiting(minutes=5)
    assert texts() == []

    waiting(minutes=20)
    assert len(texts()) == 1


def test_problems__without_a_worker__that_has_died() -> None:
    silent = timezone.now() - datetime.timedelta(minutes=4)
    worker(stopped_at=silent, heartbeat_at=silent)
    waiting(minutes=3)

    assert len(texts()) == 1


def test_problems__without_a_worker__what_is_due() -> None:
    due = timezone.now() - datetime.timedelta(minutes=5)
    waiting(state=State.SCHEDULED, run_at=due, function="wagtail_async_hooks.publish_revision")
    waiting(state=State.SCHEDULED, run_at=timezone.now() + datetime.timedelta(days=1))

    assert texts() == [
        "1 scheduled publication is waiting because no worker runs: pages go live, or expire, late."
    ]


def test_problems__gravest_first() -> None:
    waiting(1, function="shop.tidy_up")
    waiting(2, function=INDEX)
    waiting(3, function=PURGE)

    assert [text.partition(" because")[0] for text in texts()] == [
        "3 cache purges are waiting",
        "2 updates of the search index are waiting",
        "1 background task is waiting",
    ]


def test_problems__many(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (moment, problems):
        monkeypatch.setattr(module, "TASKS", 10)
    waiting(11, function=PURGE)

    assert texts()[0].startswith("At least 10 cache purges are waiting because")


def test_problems__behind() -> None:
    worker()
    waiting(minutes=41, function=INDEX)
    waiting(minutes=41, function=PURGE)

    assert texts() == [
        "1 cache purge is waiting, for up to 41\xa0minutes: visitors may see old pages.",
        "The search index is 41\xa0minutes behind: searches may not find what was published.",
    ]


def test_problems__in_time() -> None:
    worker()
    waiting(minutes=5)

    assert texts() == []


def test_problems__of_a_delayed_task__count_from_its_time() -> None:
    worker()
    waiting(minutes=50, run_at=timezone.now() - datetime.timedelta(minutes=1))

    assert texts() == []


@pytest.mark.parametrize("queues", ["default, mail", "all but slow"])
def test_problems__queue_that_no_worker_serves(queues: str) -> None:
    worker(queues=queues)
    waiting(function=PURGE, queue="slow")
    waiting(function=PURGE, queue="default")

    [problem] = problems.problems()

    assert problem.severity == "critical"
    assert "1 cache purge is waiting because no worker serves the queue “slow”" in problem.text
    assert "slow" not in problem.effect


def test_problems__paused() -> None:
    worker()
    pausing.pause(queue="mail", reason="The server moves.")
    waiting(12, function="wagtail_async_hooks.send_email", queue="mail")

    [problem] = problems.problems()

    assert problem.severity == "warning"
    assert problem.text == (
        "12 e-mails are waiting because the queue “mail” is paused: notifications arrive late."
    )


def test_problems__paused__although_nothing_waits() -> None:
    worker()
    pausing.pause(hook="after_publish_page")
    assert texts() == ["The hook “after_publish_page” is paused."]

    pausing.pause(queue="mail")
    assert texts() == ["2 queues, hooks or functions are paused."]
    assert problems.problems()[0].effect == ""

    pausing.pause()
    assert texts() == ["All background tasks are paused."]


@pytest.mark.parametrize("number", [1, 50])
@pytest.mark.parametrize("is_alive", [True, False])
def test_problems__take_one_query(number: int, is_alive: bool) -> None:
    if is_alive:
        worker()
    waiting(number, function=PURGE)
    waiting(number, queue="other")

    with CaptureQueriesContext(connection) as queries:
        problems.problems()

    assert len(queries) == 1
