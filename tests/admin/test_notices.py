"""Tests of what editors are told of their tasks: what, to whom, where, once, and at what price."""

from __future__ import annotations

import types
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from wagtail import hooks as wagtail_hooks
from wagtail.models import Page

from tests.admin.editing import HTML, page, publish, work
from tests.site.blog.models import HomePage
from wagtail_async_hooks import background, control, ledger
from wagtail_async_hooks.admin import notices
from wagtail_async_hooks.admin.links import url_of
from wagtail_async_hooks.models import BackgroundTask, MutedError, Notice, Worker
from wagtail_async_hooks.types import State


@background.task()
def tell(request: Any, *texts: str) -> None:
    """Tell the editor something."""
    for text in texts:
        messages.success(request, text)


@pytest.fixture
def told(chief: Any, rf: RequestFactory) -> Callable[..., None]:
    """Let a task tell that user something."""

    def told(*texts: str, user: Any = chief) -> None:
        request = rf.get("/admin/")
        request.user = user
        tell(request, *texts)
        background.execute(background.next())

    return told


def test_message__is_shown_once(admin: Client, told: Callable[..., None]) -> None:
    told("The tide is high", "The <moon> is full")

    first, second = page(admin), page(admin)

    assert "The tide is high" in first
    assert "The &lt;moon&gt; is full" in first
    assert "The tide is high" not in second
    assert not Notice.objects.exists()
    assert BackgroundTask.objects.get().messages[0]["text"] == "The tide is high"


def test_message__is_for_its_user_alone(admin: Client, told: Callable[..., None]) -> None:
    other, _ = get_user_model().objects.get_or_create(username="other")
    told("The tide is high", user=other)
    assert "The tide is high" not in page(admin)
    assert Notice.objects.count() == 1

    other.delete()

    assert not Notice.objects.exists()


@background.task(title="Draw {name}", explain={OSError: "The <tool> is busy."}, retries=1)
def draw(request: Any, name: str) -> None:
    """Tell the editor something, and fail."""
    messages.info(request, "Begun")
    raise OSError("EAGAIN")


@pytest.mark.usefixtures("retried_at_once")
def test_explanation__is_told_once_the_task_has_failed(
    admin: Client, chief: Any, rf: RequestFactory
) -> None:
    request = rf.get("/admin/")
    request.user = chief
    draw(request, "Ada")
    background.execute(background.next())
    assert not Notice.objects.exists()  # it is tried again

    background.execute(background.next())

    shown = page(admin)
    assert "Draw Ada: The &lt;tool&gt; is busy." in shown
    assert shown.index("Begun") < shown.index("Draw Ada")
    assert "Draw Ada" not in page(admin)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("get", "/", HTML),
        ("head", "/admin/", HTML),
        ("get", "/admin/", {**HTML, "Sec-Purpose": "prefetch"}),
        ("get", "/admin/pages/results/", HTML),
        ("get", "/admin/", {"Accept": "application/json"}),
        ("get", "/admin/", {"Accept": "*/*"}),
    ],
)
def test_message__waits_for_a_page_of_the_admin(
    admin: Client, told: Callable[..., None], method: str, path: str, headers: dict[str, str]
) -> None:
    told("The tide is high")

    getattr(admin, method)(path, headers=headers)

    assert "The tide is high" in page(admin)


def test_message__is_not_for_somebody_who_has_not_logged_in(
    committed_db: None, client: Client
) -> None:
    with CaptureQueriesContext(connection) as queries:
        page(client, "/admin/login/")

    assert not [query for query in queries if "notice" in query["sql"]]


def test_message__of_a_failed_task_and_of_one_without_a_user(
    admin: Client, told: Callable[..., None], rf: RequestFactory
) -> None:
    from django.contrib.auth.models import AnonymousUser

    told("The tide is high", user=AnonymousUser())

    assert not Notice.objects.exists()
    assert "The tide is high" not in page(admin)


def test_message__of_many_tasks_is_shown_bit_by_bit(
    admin: Client, told: Callable[..., None]
) -> None:
    for number in range(notices.SHOWN_AT_ONCE + 1):
        told(f"Message {number}.")

    first, second = page(admin), page(admin)

    assert "Message 0." in first
    assert f"Message {notices.SHOWN_AT_ONCE}." not in first
    assert f"Message {notices.SHOWN_AT_ONCE}." in second
    assert "Message 0." not in second


def test_message__of_a_task_that_ran_again_before_anybody_looked(
    admin: Client, told: Callable[..., None]
) -> None:
    told("The tide is high")
    row = BackgroundTask.objects.get()
    BackgroundTask.objects.update(state="waiting")
    background.execute(background.next())

    assert Notice.objects.get().pk == row.pk
    assert page(admin).count("The tide is high") == 1


def test_price__is_one_query(admin: Client) -> None:
    page(admin)  # what is looked up once in a process

    with CaptureQueriesContext(connection) as with_it:
        page(admin)
    with CaptureQueriesContext(connection) as without_it:
        page(admin, Accept="*/*")

    table = Notice._meta.db_table
    assert [table in query["sql"] for query in with_it].count(True) == 1
    assert not [query for query in without_it if table in query["sql"]]


def test_price__is_nothing_in_immediate_mode(
    admin: Client, told: Callable[..., None], settings: Any
) -> None:
    told("The tide is high")
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    assert "The tide is high" not in page(admin)


@pytest.fixture
def no_notices(admin: Client) -> Iterator[None]:
    """Take the table away, as on a site that has not migrated yet."""
    table = Notice._meta.db_table

    def rename(old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table}{old} RENAME TO {table}{new}")

    rename("", "_away")
    yield
    rename("_away", "")


@pytest.mark.usefixtures("no_notices")
def test_table__that_is_missing_costs_no_page(
    admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert "Account" in page(admin)

    assert "The messages of background tasks cannot be shown." in caplog.text


@pytest.mark.usefixtures("no_notices")
def test_table__that_is_missing_does_not_break_the_transaction_of_the_request(
    admin: Client,
) -> None:
    with transaction.atomic():
        assert "Account" in page(admin)
        assert get_user_model().objects.exists()


def test_hook__is_called_before_wagtail_shows_messages(admin: Client, on_menu: Any) -> None:
    """The one place where a request can be told something late; see ``admin/notices.py``."""

    def speak(request: Any, items: Any) -> None:
        messages.info(request, "said in time")

    on_menu(speak)

    html = page(admin)

    assert html.count("said in time") == 1
    assert "said in time" not in page(admin, "/admin/pages/results/")


@pytest.fixture
def on_menu() -> Iterator[Any]:
    """Register functions for the hook that notices are shown by."""
    with ExitStack() as stack:
        yield lambda function: stack.enter_context(
            wagtail_hooks.register_temporarily("construct_main_menu", function)
        )


# Failures -----------------------------------------------------------------------------------


def break_down(request: Any, page: Any) -> None:
    """Fail."""
    raise ConnectionError("503")


def test_failure__is_told_in_plain_words(admin: Client, spring: Page, on: Any) -> None:
    on("after_publish_page", break_down)
    publish(admin, spring)
    work()

    html = page(admin)

    row = BackgroundTask.objects.get(function__endswith="break_down")
    assert (
        "A background task failed: Break down for “Spring &lt;menu&gt;”. The page itself is saved."
    ) in html
    assert f'href="{url_of(row)}"' in html
    assert "503" not in html
    assert "Break down" not in page(admin)


def test_failures__of_one_request_are_one_message(admin: Client, spring: Page, on: Any) -> None:
    for number in range(5):
        function = types.FunctionType(break_down.__code__, globals(), f"step_{number}")
        function.__qualname__ = f"step_{number}"
        globals()[function.__name__] = function
        on("after_publish_page", function)
    publish(admin, spring)
    work()

    html = page(admin)

    assert html.count("Step 0 for") == 1
    assert "5 background tasks failed: Step 0 for" in html
    assert "and 2 more. The page itself is saved." in html
    assert not Notice.objects.exists()


def test_failures__of_one_request_that_are_more_than_are_read(
    admin: Client, chief: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "READ_AT_ONCE", 2)
    cause = uuid.uuid4()
    for number in range(4):
        row = failed(chief, cause=cause, function=f"shop.tasks.step_{number}")
        Notice.objects.create(task=row, user=chief)

    html = page(admin)

    assert "4 background tasks failed: Step 0; Step 1; and 2 more." in html
    assert not Notice.objects.exists()


def failed(user: Any, **columns: Any) -> BackgroundTask:
    """Make the row of a task that failed."""
    now = timezone.now()
    given = {"state": State.FAILED, "error": "503", "message": b"", "finished_at": now}
    return BackgroundTask.objects.create(enqueued_at=now, user=user, **(given | columns))


def test_failure__by_default_is_off_by_a_setting(
    admin: Client, spring: Page, on: Any, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "TELL_FAILURES": False}
    on("after_publish_page", break_down)
    publish(admin, spring)
    work()

    assert not Notice.objects.exists()


def test_failure__with_an_explanation_is_told_in_its_words(
    admin: Client, spring: Page, on: Any, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "TELL_FAILURES": False}
    on("after_publish_page", break_down, explain={ConnectionError: "The CDN is away."})
    publish(admin, spring)
    work()

    assert "Break down for “Spring &lt;menu&gt;”: The CDN is away." in page(admin)


def test_failure__that_is_muted(admin: Client, spring: Page, on: Any) -> None:
    on("after_publish_page", break_down)
    publish(admin, spring)
    work()
    row = BackgroundTask.objects.get(function__endswith="break_down")
    assert Notice.objects.exists()
    Notice.objects.all().delete()
    muted = MutedError.objects.create(
        key="1",
        error_type=row.error_type,
        function=row.function,
        error_place=row.error_place,
        muted_at=timezone.now(),
    )
    publish(admin, spring)
    work()
    muted.delete()

    assert BackgroundTask.objects.filter(state=State.FAILED, function=row.function).count() == 2
    assert not Notice.objects.exists()


def test_failure__of_what_runs_again_meanwhile_is_no_news(
    admin: Client, spring: Page, on: Any
) -> None:
    on("after_publish_page", break_down)
    publish(admin, spring)
    work()
    control.retry(list(BackgroundTask.objects.values_list("pk", flat=True)))

    assert "Break down" not in page(admin)


def test_failure__is_told_to_those_whose_tasks_were_merged(
    admin: Client, chief: Any, spring: Page, on: Any
) -> None:
    other, _ = get_user_model().objects.get_or_create(username="other", is_superuser=True)
    elsewhere = Client()
    elsewhere.force_login(other)
    on("after_publish_page", break_down, coalesce="{page.pk}")
    publish(admin, spring)
    publish(admin, spring)
    publish(elsewhere, spring)
    work()

    assert page(admin).count("Break down for") == 1
    assert page(elsewhere).count("Break down for") == 1
    other.delete()


def test_failure__of_a_task_whose_workers_died(chief: Any, committed_db: None) -> None:
    worker = Worker.objects.create(
        pid=1, threads=1, started_at=timezone.now(), heartbeat_at=timezone.now()
    )
    row = failed(chief, state=State.RUNNING, finished_at=None, worker=worker, attempt=3, deaths=2)

    ledger.rescue([worker.pk], 3)

    assert Notice.objects.get().pk == row.pk


def test_failure__names_no_object_that_its_user_may_not_edit(
    client: Client, spring: Page, chief: Any
) -> None:
    stranger, _ = get_user_model().objects.get_or_create(username="stranger")
    stranger.user_permissions.add(Permission.objects.get(codename="access_admin"))
    client.force_login(stranger)
    row = failed(
        stranger,
        function="shop.tasks.purge",
        subject_type=ContentType.objects.get_for_model(HomePage),
        subject_id=str(spring.pk),
        subject_title="Spring <menu>",
    )
    Notice.objects.create(task=row, user=stranger)

    html = page(client)

    assert "A background task failed: Purge." in html
    assert "Spring" not in html
    assert "What happened" not in html
    stranger.delete()


def test_failure__with_the_ledger_in_another_database(
    admin: Client, spring: Page, elsewhere: None, on: Any
) -> None:
    on("after_publish_page", break_down)
    publish(admin, spring)
    work()

    assert "A background task failed: Break down for" in page(admin)


def test_middleware__of_older_settings_shows_nothing_twice(
    admin: Client, told: Callable[..., None], settings: Any
) -> None:
    told("The tide is high")
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "wagtail_async_hooks.middleware.TaskMessagesMiddleware",
    ]

    assert page(admin).count("The tide is high") == 1
