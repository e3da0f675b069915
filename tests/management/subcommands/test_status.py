"""Tests of ``wagtail_tasks status``."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.draining import run_all
from tests.management.conftest import Ask
from tests.work import tasks
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.monitoring import overview


def worker() -> Worker:
    """Register a worker."""
    return ledger.register_worker(Worker(host="a-host", pid=7, threads=4, release="1.2"))


def test_status__nothing(db: None, complaint: Ask) -> None:
    said = complaint("status")
    assert said.lines == [
        "There are no tasks.",
        "",
        'No worker is alive; start one with "manage.py wagtail_worker".',
    ]
    assert said.exit_code == 1
    assert said.error == 'Nobody works; "manage.py wagtail_tasks doctor" says more.'
    told = complaint("status", "--json").json
    assert told["nobody_works"] is True
    assert set(told["states"].values()) == {0}
    assert (told["queues"], told["workers"], told["oldest_waiting"]) == ({}, [], None)


def test_status__nobody_works_in_a_web_process(db: None, complaint: Ask, settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "WORKER": {"embedded": True}}
    assert complaint("status").lines[-1].startswith("No worker is alive; open any page of the site")


def test_status__counts_and_workers(ask: Ask, ask_json: Ask) -> None:
    tasks.add(1, 2)
    run_all()
    for number in range(3):
        tasks.add(number, 1)
    last = BackgroundTask.objects.latest("pk")
    BackgroundTask.objects.filter(pk=last.pk).update(queue="slow")
    first = BackgroundTask.objects.filter(state="waiting").earliest("pk")
    ago = timezone.now() - datetime.timedelta(hours=3)
    BackgroundTask.objects.filter(pk=first.pk).update(enqueued_at=ago)
    alive = worker()
    gone = worker()
    ledger.stop_worker(gone.pk)

    assert [re.sub(r"for \d+ s$", "for a moment", line) for line in ask("status")] == [
        "Tasks      default  slow",
        "waiting          2     1",
        "succeeded        1     0",
        "",
        f"Worker {alive.pk}: process 7 on a-host, threads: 4, release 1.2, for a moment",
        f"Task {first.pk} waits longest, for 3 h: Add",
    ]
    told = ask_json("status")
    assert (told["states"]["waiting"], told["states"]["failed"]) == (3, 0)
    assert told["queues"] == {"default": {"waiting": 2, "succeeded": 1}, "slow": {"waiting": 1}}
    assert [(w["id"], w["pid"]) for w in told["workers"]] == [(alive.pk, 7)]
    assert told["oldest_waiting"]["id"] == first.pk


def test_status__of_many_tasks_says_so_unless_it_counts_them_all(
    ask: Ask, ask_json: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MANY", 2)
    worker()
    for queue in ("default", "default", "slow"):
        tasks.add(1, 2)
        row = BackgroundTask.objects.latest("pk")
        BackgroundTask.objects.filter(pk=row.pk).update(
            queue=queue, state="failed", finished_at=timezone.now()
        )

    assert ask("status")[:3] == [
        "Tasks   default  slow",
        "failed       1+    1+",
        '+: or more, as only 2 tasks of a state were counted; "--exact" counts all.',
    ]
    told = ask_json("status")
    assert (told["states"]["failed"], told["at_least"]) == (2, ["failed"])
    assert ask("status", "--exact")[1] == "failed        2     1"
    told = ask_json("status", "--exact")
    assert (told["states"]["failed"], told["at_least"]) == (3, [])


def test_status__a_worker_that_is_silent_is_not_alive(db: None, complaint: Ask) -> None:
    silent = worker()
    Worker.objects.update(heartbeat_at=timezone.now() - datetime.timedelta(minutes=5))
    told = complaint("status", "--json").json
    assert (told["workers"], told["nobody_works"]) == ([], True)
    assert silent.stopped_at is None


def test_status__of_a_site_whose_worker_cron_starts(
    ask: Ask, ask_json: Ask, complaint: Ask
) -> None:
    ledger.stop_worker(worker().pk)
    assert ask("status")[-1] == (
        "No worker is alive; one has stopped lately, as one that cron starts does."
    )
    told = ask_json("status")
    assert (told["workers"], told["nobody_works"]) == ([], False)

    ago = timezone.now() - datetime.timedelta(minutes=16)
    tasks.add(1, 2)
    BackgroundTask.objects.update(enqueued_at=ago)
    assert complaint("status").exit_code == 1
    BackgroundTask.objects.all().delete()

    Worker.objects.update(heartbeat_at=ago, stopped_at=ago + datetime.timedelta(seconds=1))
    assert complaint("status").exit_code == 1


def test_status__reads_who_works_only_where_no_worker_lives(ask: Ask, complaint: Ask) -> None:
    tasks.add(1, 2)
    with CaptureQueriesContext(connection) as nobody:
        complaint("status")
    worker()
    with CaptureQueriesContext(connection) as somebody:
        ask("status")
    assert len(somebody) < len(nobody)
