"""Tests of the overview: its numbers and their links, who sees it, and what it costs."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.work import tasks
from wagtail_async_hooks import ledger
from wagtail_async_hooks.admin.views import overview as view
from wagtail_async_hooks.models import (
    BackgroundTask,
    Pause,
    QueueSample,
    TaskStatistic,
    Worker,
)
from wagtail_async_hooks.monitoring import overview
from wagtail_async_hooks.monitoring.statistics import PERIODS
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db

ADDRESS = "/admin/background-tasks/overview/"


@pytest.fixture
def chief(editor: Any) -> Client:
    """The browser of somebody who may do everything."""
    client = Client()
    client.force_login(editor)
    return client


def make(state: State, number: int = 1, **columns: Any) -> None:
    """Record tasks in a state."""
    for _ in range(number):
        tasks.add(1, 2)
        key = BackgroundTask.objects.latest("pk").pk
        ended = {"finished_at": timezone.now()} if state.is_final else {}
        BackgroundTask.objects.filter(pk=key).update(state=state, **ended, **columns)


def work(threads: int = 4) -> Worker:
    """Register a worker."""
    return ledger.register_worker(Worker(host="a", pid=1, threads=threads, release="1"))


def page(client: Client, query: str = "") -> str:
    """Return the page, with single spaces."""
    response = client.get(ADDRESS + query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def tile(html: str, label: str) -> str:
    """Return the number above a label."""
    before = html.partition(f">{label}</span>")[0]
    assert before != html, f"there is no {label}"
    return before.rpartition('background-tile__number">')[2].partition("<")[0]


def test_tiles__count_and_lead_to_the_tasks(chief: Client) -> None:
    make(State.WAITING, 3)
    make(State.SUCCEEDED, 2)
    make(State.MERGED)

    html = page(chief)

    assert [tile(html, label) for label in ("Waiting", "Succeeded", "Merged")] == ["3", "2", "1"]
    assert 'href="/admin/background-tasks/?state=waiting"' in html
    assert "Expired</span>" not in html
    assert "background-tile--wrong" not in html


def test_tiles__failures_are_told_by_more_than_their_colour(chief: Client) -> None:
    make(State.FAILED)

    html = page(chief)

    assert "background-tile--wrong" in html
    assert "#icon-warning" in html.partition("background-tile--wrong")[2].partition("</li>")[0]


def test_tiles__of_many_say_so(chief: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MANY", 2)
    make(State.FAILED, 3)

    assert ">2+</span>" in page(chief)


def test_workers__and_what_they_can_do_at_once(chief: Client) -> None:
    assert "Tasks wait until one is started." in page(chief)
    work(4)
    work(3)
    html = page(chief)
    assert "Tasks wait until one is started." not in html
    assert tile(html, "Workers") == "2"
    assert "7 tasks at once" in html


def test_oldest__is_named_and_linked(chief: Client) -> None:
    assert tile(page(chief), "Longest wait now") == "–"
    make(State.WAITING, enqueued_at=timezone.now() - datetime.timedelta(hours=3, minutes=1))
    make(State.WAITING)
    key = BackgroundTask.objects.order_by("pk")[0].pk

    html = page(chief)

    assert tile(html, "Longest wait now") == "3 h"
    assert f'<a href="/admin/background-tasks/task/{key}/">Add</a>' in html


def test_oldest__of_very_many_is_what_a_worker_has_found(
    chief: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MANY", 1)
    make(State.WAITING, 2)
    assert tile(page(chief), "Longest wait now") == "–"
    start = ledger.start_of(timezone.now())
    QueueSample.objects.create(start=start, queue="default", waiting=2, oldest=7200)
    assert tile(page(chief), "Longest wait now") == "2 h"


def test_pauses__are_named(chief: Client) -> None:
    assert "Paused, until" not in page(chief)
    for kind, name in (("everything", ""), ("queue", "mail"), ("hook", "h<1>")):
        Pause.objects.create(kind=kind, name=name, paused_at=timezone.now())

    html = page(chief)

    assert tile(html, "Paused, until somebody resumes it") == "3"
    for text in ("All background tasks", "Queue “mail”", "Hook “h&lt;1&gt;”"):
        assert f"<li>{text}</li>" in html


@pytest.mark.parametrize("period", PERIODS)
def test_charts__of_each_period(chief: Client, period: Any) -> None:
    start = ledger.start_of(timezone.now())
    TaskStatistic.objects.create(
        worker_id=1, start=start, queue="default", function="f", succeeded=7, failed=3
    )
    QueueSample.objects.create(start=start, queue="default", waiting=5, oldest=90)

    html = page(chief, f"?period={period.name}")

    assert f'href="?period={period.name}" aria-current="page"' in html
    assert html.count('aria-current="page"') == 2  # and the section's
    assert html.count("<caption>") == 4
    assert html.count('class="background-chart__bar"') == 4 * period.bars
    assert "Succeeded: 7" in html
    assert "Failed: 3" in html
    assert "<td>1.5 min</td>" in html


@pytest.mark.parametrize("query", ["", "?period=1y", "?period="])
def test_charts__are_of_a_day_unless_asked_otherwise(chief: Client, query: str) -> None:
    html = page(chief, query)

    assert 'href="?period=24h" aria-current="page"' in html
    assert "No task was run." in html
    assert "No task failed." in html


def test_ticks__are_few_and_at_round_times() -> None:
    now = datetime.datetime(2026, 11, 3, 12, 34, tzinfo=datetime.UTC)
    with timezone.override("Europe/Berlin"):
        found = [[t for t in view._ticks(p.starts(now), p) if t] for p in PERIODS]

    assert found == [
        ["12:45 p.m.", "1 p.m.", "1:15 p.m.", "1:30 p.m."],
        ["6 p.m.", "midnight", "6 a.m.", "noon"],
        ["Wed", "Thu", "Fri", "Sat", "Sun", "Mon", "Tue"],
    ]


def test_labels__say_when_in_the_time_of_the_user() -> None:
    now = datetime.datetime(2026, 11, 3, 12, 34, tzinfo=datetime.UTC)
    with timezone.override("Europe/Berlin"):
        found = [view._labels(period.starts(now), period)[-1] for period in PERIODS]

    assert found == [
        "1:30 p.m. – 1:35 p.m.",
        "Tue 1:30 p.m. – 2 p.m.",
        "Tue 3 Nov. noon – 4 p.m.",
    ]


def test_page__is_not_there_where_nothing_runs_in_the_background(
    chief: Client, immediate: None
) -> None:
    assert chief.get(ADDRESS).status_code == 404


def test_page__costs_as_much_whatever_there_is(chief: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            page(chief, "?period=7d")
        return len(found)

    page(chief)
    few = queries()
    work()
    for state in State:
        make(state, 5)
    now = timezone.now()  # once, as two would have the same start if five minutes end between them
    for number in range(50):
        start = ledger.start_of(now - datetime.timedelta(minutes=5 * number))
        QueueSample.objects.create(start=start, queue="default", waiting=number)
        for function in "abc":
            TaskStatistic.objects.create(
                worker_id=1, start=start, queue="default", function=function, succeeded=1
            )

    many = queries()

    assert many <= 15
    assert many <= few + 2  # the oldest task, which is there now
