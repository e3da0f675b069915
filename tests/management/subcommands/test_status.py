"""Tests of ``wagtail_tasks status``."""

from __future__ import annotations

import datetime
import re

from django.utils import timezone

from tests.draining import run_all
from tests.management.conftest import Ask
from tests.work import tasks
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Worker


def worker() -> Worker:
    """Register a worker."""
    return ledger.register_worker(Worker(host="a-host", pid=7, threads=4, release="1.2"))


def test_status__nothing(ask: Ask, ask_json: Ask) -> None:
    assert ask("status") == [
        "There are no tasks.",
        "",
        'No worker is alive; start one with "manage.py wagtail_worker".',
    ]
    told = ask_json("status")
    assert set(told["states"].values()) == {0}
    assert (told["queues"], told["workers"], told["oldest_waiting"]) == ({}, [], None)


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
        f"Task {first.pk} waits longest, for 3 h: tests.work.tasks.add",
    ]
    told = ask_json("status")
    assert (told["states"]["waiting"], told["states"]["failed"]) == (3, 0)
    assert told["queues"] == {"default": {"waiting": 2, "succeeded": 1}, "slow": {"waiting": 1}}
    assert [(w["id"], w["pid"]) for w in told["workers"]] == [(alive.pk, 7)]
    assert told["oldest_waiting"]["id"] == first.pk


def test_status__a_worker_that_is_silent_is_not_alive(ask_json: Ask) -> None:
    silent = worker()
    Worker.objects.update(heartbeat_at=timezone.now() - datetime.timedelta(minutes=5))
    assert ask_json("status")["workers"] == []
    assert silent.stopped_at is None
