"""Tests of the page of one task: what it says, to whom, and what can be done there."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from wagtail.models import PageLogEntry

from tests.admin.making import log_in, make_section, make_task, make_user, message_of
from tests.work import tasks as work_tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask, Pause, TaskAttempt, Worker
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db


def url(row: BackgroundTask, action: str = "") -> str:
    """Return the address of a task's page, or of something that can be done there."""
    if action:
        return reverse("wagtail_async_hooks:task_action", args=[row.pk, action])
    return reverse("wagtail_async_hooks:task", args=[row.pk])


def page_of(client: Client, row: BackgroundTask) -> str:
    """Return the HTML of a task's page."""
    response = client.get(url(row))
    assert response.status_code == 200
    return str(response.content.decode())


def make_worker(**columns: Any) -> Worker:
    """Make the row of a worker that is alive."""
    now = timezone.now()
    given = {"host": "web-1", "pid": 7, "threads": 1, "release": "3.1", "started_at": now}
    return Worker.objects.create(**{**given, "heartbeat_at": now, **columns})


def make_failed(**columns: Any) -> BackgroundTask:
    """Make a task that has failed at the third of three attempts."""
    worker = make_worker()
    row = make_task(
        **{
            "state": State.FAILED,
            "attempt": 3,
            "worker": worker,
            "error": "the CDN answered 503",
            "error_type": "shop.CdnError",
            "traceback": "Traceback (most recent call last):\nshop.CdnError: <503>\n",
            **columns,
        }
    )
    for number in (1, 2):
        TaskAttempt.objects.create(
            task=row,
            number=number,
            worker=worker,
            started_at=row.enqueued_at,
            ended_at=row.enqueued_at + datetime.timedelta(seconds=2),
            error="the CDN answered 502",
            error_type="shop.CdnError",
            traceback="Traceback <2>",
        )
    return row


# What it says -------------------------------------------------------------------------------


def test_page__of_a_task_that_has_failed(operator: Client) -> None:
    _, page = make_section("Spring menu")
    row = make_failed(subject=page, title="Purge the cache", hook="after_publish_page")

    html = page_of(operator, row)

    assert "Failed on try 3 of 3: the CDN answered 503." in html
    assert html.count("the CDN answered 502") == 2
    assert "in worker web-1:7, release 3.1" in html
    assert "shop.CdnError: &lt;503&gt;" in html
    assert f'href="/admin/pages/{page.pk}/edit/"' in html
    assert 'value="retry"' not in html
    assert f'action="{url(row, "retry")}"' in html
    assert f'href="{url(row, "discard")}"' in html  # it asks
    assert "data-background-live" not in html


def test_page__says_so_in_the_words_of_its_author_first(operator: Client) -> None:
    row = make_failed(explanation="The picture is too large. <Replace> it.")
    assert "The picture is too large. &lt;Replace&gt; it." in page_of(operator, row)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"state": "succeeded"}, "Succeeded in 2 s."),
        ({"state": "succeeded", "attempt": 2}, "Succeeded in 2 s, on try 2."),
        ({"state": "cancelled", "error": "it was cancelled"}, "Cancelled."),
        (
            {"state": "cancelled", "attempt": 0, "error": "it was cancelled"},
            "Cancelled before it ran.",
        ),
        ({"state": "cancelled", "error": "it was revoked"}, "Cancelled: it was revoked."),
        ({"state": "expired"}, "Expired: no worker began it in time."),
        ({"state": "merged"}, "Done by a later task about the same"),
        ({"state": "failed", "attempt": 0, "error": "lost"}, "Failed before it was begun: lost."),
        ({"state": "failed", "error": "no luck!"}, "Failed: no luck!"),
        ({"state": "waiting"}, "Has waited for a worker for"),
        ({"state": "scheduled", "run_in": 7200}, "Waits for its time, in 2 h."),
        ({"state": "scheduled", "run_in": 60, "snoozes": 1, "attempt": 1}, "Asked to be called"),
        (
            {"state": "scheduled", "run_in": 7200, "attempt": 1, "error": "no luck"},
            "Try 1 of 1 failed: no luck. It is tried again in 2 h.",
        ),
        ({"state": "running", "attempt": 1}, "Has run for"),
        ({"state": "running", "attempt": 1, "cancel_requested": True}, "ends when it next reports"),
    ],
)
def test_page__says_what_happened_in_one_sentence(
    operator: Client, columns: dict[str, Any], sentence: str
) -> None:
    columns = dict(columns)
    if (seconds := columns.pop("run_in", None)) is not None:
        columns["run_at"] = timezone.now() + datetime.timedelta(seconds=seconds)
    if columns["state"] == "running":
        columns["started_at"] = timezone.now()
    assert sentence in page_of(operator, make_task(**columns))


def test_page__says_why_it_does_not_begin(operator: Client) -> None:
    row = make_task(queue="slow")
    assert "No worker is running." in page_of(operator, row)

    make_worker(queues="default, mail")
    assert "No worker serves the queue “slow”." in page_of(operator, row)

    make_worker(queues="all but mail")
    pausing.pause(queue="slow", reason="maintenance")
    html = page_of(operator, row)
    assert "No worker" not in html
    assert "Paused: Queue “slow”." in html
    Pause.objects.all().delete()


def test_page__of_what_waits_for_another_one(operator: Client) -> None:
    make_worker()
    make_task(exclusive_key="page 1", state=State.RUNNING, attempt=1)
    row = make_task(exclusive_key="page 1")
    assert "Another task runs that may not run at the same time." in page_of(operator, row)


def test_page__tells_of_deaths_and_why_it_waits_alone(operator: Client) -> None:
    row = make_task(deaths=2, attempt=2)
    html = page_of(operator, row)
    assert "2 workers died while they ran this task." in html
    assert "It runs beside no other task" in html


def test_page__of_an_object_that_is_gone(operator: Client) -> None:
    _, page = make_section("Spring menu")
    row = make_task(page)
    page.delete()

    html = page_of(operator, row)

    assert "Spring menu" in html
    assert "does not exist any more" in html


def test_page__masks_secrets_and_needs_no_readable_message(operator: Client) -> None:
    task = work_tasks.show_all.s(name="Earl Grey", password="oolong")
    name = background._registry.task_to_string(type(task))
    row = make_task(message=background.messages.pack(task), name=name)

    html = page_of(operator, row)
    assert "Earl Grey" in html
    assert "oolong" not in html

    BackgroundTask.objects.update(message=b"{}")
    assert "The arguments cannot be read" in page_of(operator, row)


def test_page__of_what_it_belongs_together_with(operator: Client) -> None:
    cause = uuid.uuid4()
    row = make_task(title="This one", cause=cause, coalesce_key="k", state=State.SUCCEEDED)
    make_task(title="Sibling", cause=cause)
    make_task(title="Merged one", state=State.MERGED, merged_into=row, coalesce_key="k")

    html = page_of(operator, row)

    assert "Caused by the same action" in html
    assert "Sibling" in html
    assert "Done for these tasks as well" in html
    assert "Merged one" in html


def test_page__of_a_pipeline(operator: Client) -> None:
    first = work_tasks.add.s(1, 2)
    first.then(work_tasks.add, 3)
    row = make_task(message=background.messages.pack(first), state=State.SUCCEEDED)
    make_task(title="The next one", task_id=first.on_complete.id)

    html = page_of(operator, row)

    assert "Follow it" in html
    assert "The next one" in html


def test_page__beside_earlier_runs(operator: Client) -> None:
    for _ in range(3):
        row = make_task(state=State.SUCCEEDED)
    html = page_of(operator, row)
    assert "Duration of the latest runs of this function" in html
    assert f"#{row.pk}" in html


def test_page__is_live_until_it_has_ended(operator: Client) -> None:
    row = make_task(
        state=State.RUNNING, attempt=1, started_at=timezone.now(), progress_done=3, progress_total=4
    )
    state_url = reverse("wagtail_async_hooks:task_state", args=[row.pk])

    html = page_of(operator, row)
    assert f'data-url="{state_url}"' in html
    assert 'value="75"' in html

    told = operator.get(state_url).json()
    assert (told["state"], told["ended"]) == ("running", False)
    assert "Has run for" in told["html"]

    BackgroundTask.objects.update(state="succeeded", finished_at=timezone.now())
    told = operator.get(state_url).json()
    assert (told["ended"], told["said"][:10]) == (True, "Succeeded.")


def test_page__costs_a_bounded_number_of_queries(operator: Client) -> None:
    _, page = make_section("Spring menu")
    cause = uuid.uuid4()
    row = make_failed(subject=page, cause=cause, coalesce_key="k", user=make_user("ada"))
    page_of(operator, row)
    for _ in range(30):
        make_task(page, cause=cause)
        make_task(page, state=State.MERGED, merged_into=row, coalesce_key="k")

    with CaptureQueriesContext(connection) as queries:
        page_of(operator, row)

    assert len(queries) <= 20


def test_page__of_none(operator: Client) -> None:
    assert operator.get("/admin/background-tasks/task/999999/").status_code == 404
    assert operator.get("/admin/background-tasks/task/999999/state/").status_code == 404


# What can be done ---------------------------------------------------------------------------


def test_retry__does_not_ask(operator: Client) -> None:
    _, page = make_section("Spring menu")
    row = make_failed(subject=page)

    response = operator.post(url(row, "retry"), follow=True)

    row.refresh_from_db()
    assert row.state == State.WAITING
    assert "1 task waits to be run again." in response.content.decode()
    entry = PageLogEntry.objects.get(page_id=page.pk, action="wagtail_async_hooks.retry")
    assert entry.user.username == "operator"
    assert "again" in page_of(operator, row)


def test_retry__of_what_may_repeat_a_side_effect_asks(operator: Client) -> None:
    row = make_failed(side_effect="email")

    operator.post(url(row, "retry"))
    row.refresh_from_db()
    assert row.state == State.FAILED

    html = operator.get(url(row, "retry")).content.decode()
    assert "may do once more what it did then: email." in html
    operator.post(url(row, "retry"), {"repeat": "1"})
    row.refresh_from_db()
    assert row.state == State.WAITING


def test_run_now(operator: Client) -> None:
    later = timezone.now() + datetime.timedelta(days=1)
    row = make_task(state=State.SCHEDULED, run_at=later)

    operator.post(url(row, "run-now"))

    row.refresh_from_db()
    assert row.state == State.WAITING
    assert background.deserialize_task(bytes(row.message)).eta is None


def test_cancel(operator: Client) -> None:
    row = make_task()
    operator.post(url(row, "cancel"))
    row.refresh_from_db()
    assert row.state == State.CANCELLED


def test_discard__asks_first(operator: Client) -> None:
    row = make_failed()

    html = operator.get(url(row, "discard")).content.decode()
    assert "will be gone for good" in html
    assert BackgroundTask.objects.filter(pk=row.pk).exists()

    response = operator.post(url(row, "discard"))
    assert not BackgroundTask.objects.filter(pk=row.pk).exists()
    assert response["Location"] == "/admin/background-tasks/"


@pytest.mark.parametrize("action", ["retry", "run-now", "cancel", "discard"])
def test_action__of_a_state_that_does_not_allow_it(operator: Client, action: str) -> None:
    state = State.RUNNING if action in ("discard", "retry", "run-now") else State.SUCCEEDED
    row = make_task(state=state, attempt=1)

    response = operator.post(url(row, action), follow=True)

    row.refresh_from_db()
    assert row.state == state
    assert "1 was left as it is." in response.content.decode()


def test_action__of_a_get_changes_nothing(operator: Client) -> None:
    row = make_failed()
    for action in ("retry", "run-now", "cancel", "discard"):
        assert operator.get(url(row, action)).status_code == 200
    before = row.state
    row.refresh_from_db()
    assert row.state == before


def test_action__of_no_such_name(operator: Client) -> None:
    assert operator.post(url(make_failed(), "explode")).status_code == 404


# Who may --------------------------------------------------------------------------------------


def test_editor__sees_and_retries_the_tasks_of_her_pages_without_internals() -> None:
    home, page = make_section("Mine")
    client = log_in(make_user("ada", section=home))
    row = make_failed(subject=page, message=message_of("chamomile", "b"))

    html = page_of(client, row)

    assert "the CDN answered 503" in html
    for internal in ("Traceback", "chamomile", "web-1", "shop.CdnError", "tests.work.tasks.add"):
        assert internal not in html
    client.post(url(row, "retry"))
    row.refresh_from_db()
    assert row.state == State.WAITING


def test_editor__does_not_discard() -> None:
    home, page = make_section("Mine")
    client = log_in(make_user("ada", section=home))
    row = make_failed(subject=page)

    assert url(row, "discard") not in page_of(client, row)
    assert client.post(url(row, "discard")).status_code == 302
    assert BackgroundTask.objects.filter(pk=row.pk).exists()


def test_editor__does_not_see_those_of_other_pages() -> None:
    home, _ = make_section("Mine")
    _, private = make_section("Private")
    client = log_in(make_user("ada", section=home))
    row = make_failed(subject=private, title="About Private")

    for address in (url(row), reverse("wagtail_async_hooks:task_state", args=[row.pk])):
        response = client.get(address)
        assert response.status_code in (302, 403)
        assert "Private" not in response.content.decode()
    client.post(url(row, "retry"))
    row.refresh_from_db()
    assert row.state == State.FAILED


def test_reader__changes_nothing() -> None:
    client = log_in(make_user("reader", "view"))
    row = make_failed()

    html = page_of(client, row)
    assert "Traceback" not in html
    assert url(row, "retry") not in html
    for action in ("retry", "run-now", "cancel", "discard"):
        assert client.post(url(row, action), {"repeat": "1"}).status_code == 302
    row.refresh_from_db()
    assert row.state == State.FAILED


def test_related__are_those_that_one_may_see() -> None:
    home, page = make_section("Mine")
    _, private = make_section("Private")
    client = log_in(make_user("ada", section=home))
    cause = uuid.uuid4()
    row = make_failed(subject=page, cause=cause)
    make_task(private, title="About Private", cause=cause)
    make_task(page, title="About Mine", cause=cause)

    html = page_of(client, row)

    assert "About Mine" in html
    assert "Private" not in html
