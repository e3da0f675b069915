"""Tests of the pages of schedule, workers, queues and report, and of pauses and the test task."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from wagtail.models import ModelLogEntry

from tests.admin.operating import NASTY, ago, browser, editor, looker, operator, task, worker
from wagtail_async_hooks import __version__, background
from wagtail_async_hooks.ledger.workers import DIED
from wagtail_async_hooks.models import BackgroundTask, Pause, Schedule, TaskAttempt
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db

PAGES = ("schedule", "workers", "queues", "status", "status_text")
POSTS = ("schedule_run", "test_task_send", "pause", "resume")
MOST_QUERIES = 15


def url(name: str, *args: Any) -> str:
    return reverse(f"wagtail_async_hooks:{name}", args=args)


def html(client: Client, name: str, *args: Any) -> str:
    """Return a page, in one line, without the furniture that Wagtail puts around it."""
    response = client.get(url(name, *args))
    assert response.status_code == 200, response
    whole = re.sub(r"\s+", " ", response.content.decode())
    return whole.partition("<main")[2] or whole


@pytest.fixture
def schedule(settings: Any) -> None:
    """A schedule of three entries, and nothing else that recurs."""
    entries = {
        "publish": {"COMMAND": "publish_scheduled", "CRONTAB": "*/5 * * * *"},
        "digest": {"FUNCTION": "tests.work.tasks.add", "CRONTAB": "30 9 * * 1-5"},
        NASTY: {"COMMAND": "clearsessions", "CRONTAB": "0 3 * * *", "TIME_ZONE": "Asia/Tokyo"},
    }
    entries = {
        name: {key.lower(): value for key, value in entry.items()}
        for name, entry in entries.items()
    }
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "SCHEDULE": entries}


# Permissions --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_pages__are_for_those_who_may_see_all(name: str) -> None:
    assert looker().get(url(name)).status_code == 200
    refused = editor().get(url(name))
    assert (refused.status_code, refused["Location"]) == (302, "/admin/")


@pytest.mark.parametrize("name", POSTS)
def test_posts__are_for_those_who_may_change_all(name: str) -> None:
    for client in (looker(), editor()):
        refused = client.post(url(name), {"kind": "everything", "reason": "so", "name": "publish"})
        assert (refused.status_code, refused["Location"]) == (302, "/admin/")
    assert not BackgroundTask.objects.exists()
    assert not Pause.objects.exists()


@pytest.mark.parametrize("name", POSTS)
def test_posts__by_get__change_nothing(name: str, schedule: None) -> None:
    status = (
        operator().get(url(name), {"kind": "queue", "name": "mail", "reason": "so"}).status_code
    )

    assert status == (200 if name == "pause" else 405)
    assert not BackgroundTask.objects.exists()
    assert not Pause.objects.exists()
    assert not ModelLogEntry.objects.filter(action__startswith="wagtail_async_hooks").exists()


@pytest.mark.parametrize("name", PAGES)
def test_pages__show_no_buttons_to_those_who_may_not_change(name: str, schedule: None) -> None:
    worker()
    pausing.pause(queue="mail")
    shown = html(looker(), name)

    assert 'method="post"' not in shown
    assert "/pause/" not in shown


@pytest.mark.parametrize("name", [*PAGES, "pause"])
def test_pages__with_a_blank_backend__are_not_there(name: str, immediate: None) -> None:
    client = operator()
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url(name)).status_code == 404

    assert not any("wagtail_async_hooks" in query["sql"] for query in queries)


def fill(numbers: range) -> None:
    """Make of everything as many."""
    for number in numbers:
        row = worker(pid=number)
        held = task(
            queue=f"q{number}", state=State.RUNNING, worker_id=row.pk, started_at=ago(minutes=1)
        )
        dead = worker(pid=number, heartbeat_at=ago(minutes=5))
        TaskAttempt.objects.create(
            task=held, number=1, worker=dead, ended_at=ago(minutes=5), error=DIED
        )
        task(queue=f"q{number}", function="manage.py publish_scheduled")
        task(state=State.FAILED, finished_at=ago(minutes=1))
        Schedule.objects.create(name=f"old-{number}", time_zone="UTC")
        pausing.pause(queue=f"q{number}", reason="so")


@pytest.mark.parametrize("name", PAGES)
def test_pages__have_as_many_queries_whatever_there_is(name: str, schedule: None) -> None:
    client, counts = looker(), []
    client.get(url(name))  # content types, sites and the like are read once
    for numbers in (range(1), range(1, 30)):
        fill(numbers)
        with CaptureQueriesContext(connection) as queries:
            client.get(url(name))
        counts.append(len(queries))

    told = "\n".join(query["sql"] for query in queries)
    assert counts[0] == counts[1] <= MOST_QUERIES, f"{counts}\n{told}"


# Schedule -----------------------------------------------------------------------------------


def test_schedule__of_nothing(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}

    assert "Nothing is scheduled." in html(looker(), "schedule")


def test_schedule__in_words(schedule: None) -> None:
    shown = html(looker(), "schedule")

    assert "Every 5 minutes" in shown
    assert "On weekdays at 09:30" in shown
    assert "03:00 in Asia/Tokyo" in shown
    assert "No worker has seen it yet." in shown
    assert NASTY not in shown


def test_schedule__late(schedule: None) -> None:
    Schedule.objects.create(
        name="publish", crontab="*/5 * * * *", time_zone="UTC", next_due_at=ago(minutes=12)
    )
    planned = Schedule.objects.get(name="publish")
    from django.utils import timezone

    planned.time_zone = str(timezone.get_default_timezone())
    planned.save()
    client = looker()
    assert "12 min late: no worker looks" in html(client, "schedule")

    worker()
    shown = html(client, "schedule")
    assert "12 min late" in shown
    assert "no worker looks" not in shown


def test_schedule__results_of_the_last_runs(schedule: None) -> None:
    for minutes, state in ((9, State.SUCCEEDED), (6, State.FAILED), (3, State.SUCCEEDED)):
        ended = ago(minutes=minutes)
        task(
            function="manage.py publish_scheduled",
            state=state,
            started_at=ended - datetime.timedelta(seconds=12),
            finished_at=ended,
        )
    shown = html(looker(), "schedule")

    assert "1 of 3 failed" in shown
    assert "Seconds that the last runs of publish took" in shown


def test_schedule__entries_that_are_gone(schedule: None) -> None:
    Schedule.objects.create(name="old <b>", crontab="0 1 * * *", time_zone="UTC")
    shown = html(looker(), "schedule")

    assert "Not in the settings any more" in shown
    assert "old &lt;b&gt;" in shown


def test_schedule__run_now(schedule: None) -> None:
    client = operator()
    response = client.post(url("schedule_run"), {"name": "publish"}, follow=True)

    [row] = BackgroundTask.objects.all()
    assert row.function == "manage.py publish_scheduled"
    assert row.user_id is None
    assert "runs as soon as a worker is free" in response.content.decode()
    [entry] = ModelLogEntry.objects.filter(action="wagtail_async_hooks.run_now")
    assert entry.data["schedule"] == "publish"


def test_schedule__run_now__of_none(schedule: None) -> None:
    assert operator().post(url("schedule_run"), {"name": "nothing"}).status_code == 404


def test_schedule__run_now__what_cannot_be_made(
    schedule: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from wagtail_async_hooks.worker import schedule as entries

    def breaks(*args: Any) -> Any:
        raise ValueError("no <such> key")

    monkeypatch.setattr(entries, "_task_of", breaks)
    response = operator().post(url("schedule_run"), {"name": "publish"}, follow=True)

    assert "cannot be run: no &lt;such&gt; key" in response.content.decode()
    assert not BackgroundTask.objects.exists()


def test_schedule__pause_and_resume(schedule: None) -> None:
    client = operator()
    shown = html(client, "schedule")
    [address] = set(re.findall(r'href="([^"]*/pause/[^"]*publish_scheduled[^"]*)"', shown))
    form = client.get(address.replace("&amp;", "&"))
    assert "Function “manage.py publish_scheduled”" in form.content.decode()

    data = {"kind": "function", "name": "manage.py publish_scheduled", "next": url("schedule")}
    response = client.post(url("pause"), {**data, "reason": NASTY})
    assert response["Location"] == url("schedule")
    [pause] = Pause.objects.all()
    assert (pause.kind, pause.name, pause.reason) == ("function", data["name"], NASTY)
    shown = html(client, "schedule")
    assert "&lt;script&gt;alert(1)" in shown
    assert NASTY not in shown

    client.post(url("resume"), data)
    assert not Pause.objects.exists()


# Pauses -------------------------------------------------------------------------------------


def test_pause__needs_a_reason() -> None:
    response = operator().post(url("pause"), {"kind": "queue", "name": "mail", "reason": " "})

    assert "This field is required." in response.content.decode()
    assert not Pause.objects.exists()


def test_pause__is_logged_and_told() -> None:
    client = operator()
    data = {"kind": "queue", "name": "mail", "reason": "The server moves."}
    response = client.post(url("pause"), data, follow=True)
    assert "Paused: Queue “mail”. What runs is finished" in response.content.decode()

    again = client.post(url("pause"), data, follow=True)
    assert "it was paused already" in again.content.decode()

    client.post(url("resume"), data)
    gone = client.post(url("resume"), data, follow=True)
    assert "it was not paused" in gone.content.decode()
    paused, resumed = ModelLogEntry.objects.filter(label="Queue “mail”").order_by("pk")
    assert (paused.comment, resumed.action) == ("The server moves.", "wagtail_async_hooks.resume")


def test_pause__everything() -> None:
    client = operator()
    client.post(url("pause"), {"kind": "everything", "name": "x", "reason": "Deployment"})

    [pause] = pausing.paused()
    assert (pause.kind, pause.name) == ("everything", "")
    shown = html(client, "queues")
    assert "All background tasks are paused." in shown
    assert "Deployment" in shown


@pytest.mark.parametrize(
    "target", [{"kind": "nothing", "name": "x"}, {"kind": "queue"}, {"name": "mail"}]
)
@pytest.mark.parametrize("name", ["pause", "resume"])
def test_pause__what_cannot_be(name: str, target: dict[str, str]) -> None:
    assert operator().post(url(name), {**target, "reason": "so"}).status_code == 404


def test_pause__a_name_that_cannot_be() -> None:
    data = {"kind": "queue", "name": "not a\nname", "reason": "so"}

    assert operator().post(url("pause"), data).status_code == 404


def test_pause__leads_to_no_other_site() -> None:
    data = {"kind": "queue", "name": "mail", "reason": "so", "next": "https://evil.example/"}

    assert operator().post(url("pause"), data)["Location"] == url("queues")


# Workers ------------------------------------------------------------------------------------


def test_workers__none() -> None:
    assert "No worker is running." in html(looker(), "workers")


def test_workers__what_each_is_doing() -> None:
    row = worker(release=__version__, queues="mail, slow", clock_ahead=90)
    task(title=NASTY, state=State.RUNNING, worker_id=row.pk, started_at=ago(minutes=2))
    shown = html(looker(), "workers")

    for text in ("web-1", "process 4711", "mail, slow", "3 h", "&lt;script&gt;", "for 2 min"):
        assert text in shown
    assert "Its clock is 1.5 min ahead of the database" in shown
    assert NASTY not in shown
    assert "Restart the older ones" not in shown


def test_workers__of_another_release() -> None:
    worker(release="0.9", started_at=ago(days=2))
    worker(release=__version__)
    shown = html(looker(), "workers")

    assert "Restart the older ones after a deployment." in shown
    assert shown.count("Other release") == 1


def test_workers__of_the_sites_own_release(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "RELEASE": "2026.47"}
    worker(release="2026.47")
    client = looker()
    assert "Restart the older ones" not in html(client, "workers")

    worker(release=__version__, started_at=ago(days=2))
    assert "This site is of release 2026.47" in html(client, "workers")
    assert "the site's own release 2026.47" in client.get(url("status_text")).content.decode()


def test_workers__gone() -> None:
    stopped = ago(hours=2)
    worker(host="calm", heartbeat_at=stopped - datetime.timedelta(seconds=2), stopped_at=stopped)
    dead = worker(host="killed", heartbeat_at=stopped, stopped_at=stopped)
    silent = worker(host="silent", heartbeat_at=ago(minutes=3))
    worker(host="long-gone", heartbeat_at=ago(days=3), stopped_at=ago(days=3))
    held = task(title="Was held", state=State.SUCCEEDED, finished_at=ago(hours=1))
    TaskAttempt.objects.create(task=held, number=1, worker=dead, ended_at=stopped, error=DIED)
    task(title="Is held", state=State.RUNNING, worker_id=silent.pk, started_at=ago(minutes=4))
    shown = html(looker(), "workers")

    assert shown.count("Died") == 2
    assert shown.count("Stopped") == 1
    assert "Was held" in shown
    assert "Is held" in shown
    assert "long-gone" not in shown


# Queues -------------------------------------------------------------------------------------


def test_queues(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "QUEUES": {"mail": {"limit": 2}}}
    worker(queues="mail", threads=4)
    task(queue="mail", title="Oldest", enqueued_at=ago(minutes=20))
    task(queue="mail", title="Newer")
    task(queue="odd")
    shown = html(looker(), "queues")

    mail, odd = (shown[shown.index(f"?queue={name}") :] for name in ("mail", "odd"))
    assert "<td>2</td>" in mail
    assert "20 min" in mail
    assert "Oldest" in mail
    assert "1 worker, 2 at once" in mail
    assert "no worker" in odd.partition("</tr>")[0]


def test_queues__more_than_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wagtail_async_hooks.ledger.queues.MANY", 3)
    for _ in range(5):
        task()

    assert "more than 3" in html(looker(), "queues")


def test_queues__paused() -> None:
    pausing.pause(queue="mail", reason=NASTY)
    pausing.pause(hook="after_publish_page", reason="Too slow")
    shown = html(operator(), "queues")

    assert "&lt;script&gt;" in shown
    assert NASTY not in shown
    assert "Hook “after_publish_page”" in shown
    assert shown.count('action="/admin/background-tasks/resume/"') == 2


# The test task ------------------------------------------------------------------------------


def send(client: Client) -> BackgroundTask:
    """Press the button."""
    response = client.post(url("test_task_send"))
    row: BackgroundTask = BackgroundTask.objects.get()
    assert response["Location"] == url("test_task", row.pk)
    return row


def test_test_task__without_a_worker() -> None:
    client = operator()
    row = send(client)

    assert "No worker is running." in html(client, "test_task", row.pk)
    found = client.get(url("test_task_state", row.pk)).json()
    assert (found["ended"], found["said"]) == (False, "No worker is running.")


def test_test_task__waits() -> None:
    client = operator()
    worker()
    row = send(client)
    assert "It waits for a worker." in html(client, "test_task", row.pk)

    BackgroundTask.objects.filter(pk=row.pk).update(enqueued_at=ago(minutes=1))
    assert "A worker lives, but does not take it." in html(client, "test_task", row.pk)

    for _ in range(4):
        task(state=State.RUNNING)
    assert "4 tasks run in 4 threads" in html(client, "test_task", row.pk)


def test_test_task__paused() -> None:
    client = operator()
    worker()
    pausing.pause()
    row = send(client)

    assert "All background tasks are paused." in html(client, "test_task", row.pk)


def test_test_task__done() -> None:
    client = operator()
    row = send(client)
    while (found := background.next()) is not None:
        background.execute(found)
    background.settle()

    shown = html(client, "test_task", row.pk)
    assert "Background tasks are run." in shown
    assert "altogether" in shown
    assert "data-background-live" not in shown
    assert client.get(url("test_task_state", row.pk)).json()["ended"] is True


def test_test_task__is_no_other_task() -> None:
    row = task()

    assert operator().get(url("test_task", row.pk)).status_code == 404


# The report ---------------------------------------------------------------------------------


@pytest.mark.django_db(databases="__all__")  # which Django's checks ask from 6.1 on
def test_report(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "BACKEND_OPTIONS": {"url": "redis://me:hidden@redis/1", "api_key": "hidden"},
        "SCHEDULE": {
            "fetch": {
                "command": "publish_scheduled",
                "crontab": "0 1 * * *",
                "args": ["--password", "hidden", "token=hidden"],
            }
        },
    }
    worker()
    task(state=State.FAILED, finished_at=ago(hours=1), error_type="OSError", subject_title="Menu")
    task(enqueued_at=ago(minutes=50))
    response = looker().get(url("status_text"))
    text = response.content.decode()

    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert f"wagtail_async_hooks {__version__}" in text
    assert "web-1:4711: release 1.0, 4 threads, queues: all; runs for 3 h" in text
    assert "failed: 1" in text
    assert "1 x OSError in shop.tidy_up" in text
    assert "1 background task is waiting, for up to" in text
    assert "hidden" not in text
    assert "Menu" not in text
    assert "This cannot be told" not in text


def test_report__on_its_page() -> None:
    shown = html(browser("view_backgroundtask"), "status")

    assert "Background tasks: status report" in shown
    assert "readonly" in shown


def test_report__of_what_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(number: int) -> Any:
        raise OSError("gone\nfor good")

    monkeypatch.setattr("wagtail_async_hooks.monitoring.overview.by_error", breaks)

    text = looker().get(url("status_text")).content.decode()

    assert "This cannot be told: OSError: gone for good" in text
