"""Tests of ``wagtail_tasks list``."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.draining import run_all
from tests.management.conftest import Ask
from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask


def test_list__for_people(ask: Ask) -> None:
    tasks.fail("no luck " * 20)
    run_all()
    tasks.add(1, 2)
    [headings, newest, oldest] = ask("list")
    assert headings.split() == ["ID", "State", "Enqueued", "Tries", "What", "Function"]
    row = BackgroundTask.objects.latest("pk")
    moment = f"{row.enqueued_at:%Y-%m-%d %H:%M:%S}+00:00"
    assert newest.split() == [str(row.pk), "waiting", *moment.split(), "0", "Add", row.function]
    assert oldest.endswith("no luck no luck no luck no luck no luck no luck no luck no …")


def test_list__a_progress(ask: Ask) -> None:
    tasks.add(1, 2)
    BackgroundTask.objects.update(progress_done=3, progress_total=7, progress_note="pages")
    assert ask("list")[1].endswith("tests.work.tasks.add  3/7 pages")


def test_list__more_than_the_limit(ask: Ask, ask_json: Ask) -> None:
    for number in range(3):
        tasks.add(number, 1)
    assert ask("list", "--limit", 2)[-1] == "There are more than these 2; see --limit."
    newest = list(BackgroundTask.objects.order_by("-pk").values_list("pk", flat=True)[:2])
    assert [task["id"] for task in ask_json("list", "--limit", 2)] == newest


def test_list__nothing(ask: Ask, ask_json: Ask) -> None:
    assert ask("list") == ["There are no such tasks."]
    assert ask_json("list") == []


def test_list__a_limit_of_no_use(refusal: Ask) -> None:
    assert refusal("list", "--limit", 0) == "--limit should be at least 1, not 0."


def test_list__reads_no_large_columns(ask: Ask) -> None:
    for number in range(3):
        tasks.add(number, 1)
    with CaptureQueriesContext(connection) as queries:
        ask("list")
    read = [query["sql"] for query in queries if "traceback" in query["sql"]]
    assert read == []
    selects = [query["sql"] for query in queries if "progress_done" in query["sql"]]
    assert len(selects) == 1
