"""Tests of how arguments are shown: short, by name, and without secrets."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.http import HttpRequest
from wagtail.models import Page

from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.hooks import registry
from wagtail_async_hooks.hooks.dispatch import dispatch
from wagtail_async_hooks.integrations import commands
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import display

pytestmark = pytest.mark.django_db


@background.task()
def log_in(user: str, password: str, *others: str, api_key: str = "") -> None:
    """Never called."""


def shown() -> dict[str, Any] | None:
    """Return the arguments of the only task."""
    return display.arguments(BackgroundTask.objects.get())


def test_arguments__by_name_and_without_secrets() -> None:
    log_in("ada", "hunter2", "x", api_key="hunter2")
    assert shown() == {"user": "ada", "password": "…", "3": "x", "api_key": "…"}


def test_arguments__of_a_command() -> None:
    background.enqueue(
        commands.make_task("send", "--token", "hunter2", "--user=ada", "--password=hunter2")
    )
    assert shown() == {
        "name": "send",
        "2": "--token",
        "3": "…",
        "4": "--user=ada",
        "5": "--password=…",
    }


def test_arguments__of_a_task_that_is_not_known_here() -> None:
    tasks.add(1, 2)
    row = BackgroundTask.objects.get()
    message, context = background.serializer.deserialize_call(bytes(row.message))
    row.message = background.serializer.serialize_call(message._replace(name="a.b"), context)
    assert display.arguments(row) == {"1": 1, "2": 2}


def test_arguments__of_a_hook(editor_request: HttpRequest, registries: None) -> None:
    # The last one: Wagtail calls those behind it next, and they are enqueued with it.
    *_, entry = (e for (hook, _), e in registry.entries.items() if hook == "after_publish_page")
    page = Page.objects.get(depth=2)
    dispatch(entry, (editor_request, page), {})
    assert shown() == {"request": "<request>", "page": f"<wagtailcore.page {page.pk}>"}


def test_arguments__of_tasks(settings: Any) -> None:
    settings.TASKS = {
        "default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}
    }
    from wagtail.tasks import update_reference_index_task

    update_reference_index_task.enqueue("wagtailcore", "page", "2")
    assert shown() == {"app_label": "wagtailcore", "model_name": "page", "pk": "2"}


def test_arguments__an_email_is_not_quoted() -> None:
    tasks.show(EmailMessage("subject", "your new password", "a@example.com", ["b@example.com"]))
    assert shown() == {"value": "<email>"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (Decimal("1.50"), "1.50"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        ("https://ada:hunter2@example.com/?token=abc&x=1", "https://…@example.com/?token=…&x=1"),
        ({"secret": "abc", "a": [1, (2,)]}, {"secret": "…", "a": [1, [2]]}),
        (list(range(12)), [*range(10), "… 2 more"]),
        (object(), "<object>"),
    ],
)
def test_value(given: Any, told: Any) -> None:
    assert display.value(given) == told


def test_value__a_long_text_is_shortened() -> None:
    assert len(display.value("x" * 5_000)) < 300
