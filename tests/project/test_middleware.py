"""Tests of the middleware that shows messages of tasks: to whom, where, once, and at what price."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from wagtail_async_hooks import background
from wagtail_async_hooks.middleware import PATH, TASKS_AT_ONCE
from wagtail_async_hooks.models import BackgroundTask, Notice

HTML = {"Accept": "text/html,application/xhtml+xml"}


@background.task()
def tell(request: Any, *texts: str) -> None:
    """Tell the editor something."""
    for text in texts:
        messages.success(request, text)


@pytest.fixture
def chief(committed_db: None) -> Iterator[Any]:
    """A user who may use the admin."""
    user, _ = get_user_model().objects.get_or_create(username="chief", is_superuser=True)
    yield user
    user.delete()


@pytest.fixture
def admin(client: Client, chief: Any) -> Client:
    """The browser of that user."""
    client.force_login(chief)
    client.get("/admin/")  # what is looked up once
    return client


@pytest.fixture
def told(chief: Any, rf: RequestFactory) -> Callable[..., None]:
    """Let a task tell that user something."""

    def told(*texts: str, user: Any = chief) -> None:
        request = rf.get("/admin/")
        request.user = user
        tell(request, *texts)
        background.execute(background.next())

    return told


def page(browser: Client, path: str = "/admin/", **headers: str) -> str:
    """Return a page as a person loads it."""
    return browser.get(path, headers={**HTML, **headers}).content.decode()


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
        ("post", "/admin/", HTML),
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
    for number in range(TASKS_AT_ONCE + 1):
        told(f"Message {number}.")

    first, second = page(admin), page(admin)

    assert "Message 0." in first
    assert f"Message {TASKS_AT_ONCE}." not in first
    assert f"Message {TASKS_AT_ONCE}." in second
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


def test_price__is_one_query(admin: Client, settings: Any) -> None:
    with CaptureQueriesContext(connection) as with_it:
        page(admin)
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path != PATH]
    without = Client()
    without.cookies = admin.cookies
    with CaptureQueriesContext(connection) as without_it:
        page(without)

    assert len(with_it) == len(without_it) + 1


def test_price__is_nothing_in_immediate_mode(
    admin: Client, told: Callable[..., None], settings: Any
) -> None:
    told("The tide is high")
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    assert "The tide is high" not in page(admin)


def test_table__that_is_missing_costs_no_page(
    admin: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Notice._meta, "db_table", "nowhere")
        assert "Dashboard" in page(admin)

    assert "The messages of background tasks cannot be read." in caplog.text
