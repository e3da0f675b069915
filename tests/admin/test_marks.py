"""Tests of the marks in lists of pages: when they are there, for whom, and their price."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from wagtail.models import Page

from tests.admin.editing import page
from tests.admin.making import log_in, make_task, make_user
from wagtail_async_hooks.admin import receipts as links
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State


def listing(browser: Client, spring: Page, query: str = "") -> str:
    """Return the list that a page is in."""
    return page(browser, f"/admin/pages/{spring.get_parent().pk}/{query}")


def test_mark__while_tasks_run(admin: Client, spring: Page) -> None:
    assert "in the background" not in listing(admin, spring)
    cause = uuid.uuid4()
    make_task(spring, cause=cause, state=State.RUNNING)
    make_task(spring, cause=cause)

    html = listing(admin, spring)

    assert "2 tasks<" in html
    assert links.url_of(spring, cause) in html
    assert "Still running or waiting in the background" in html


@pytest.mark.parametrize("query", ["results/", "?q=spring", "?ordering=title", "?ordering=ord"])
def test_mark__in_each_kind_of_list(admin: Client, spring: Page, query: str) -> None:
    make_task(spring)
    if "q=" in query:
        call_command("update_index", verbosity=0)

    assert "1 task<" in listing(admin, spring, query)


def test_mark__in_the_search(admin: Client, spring: Page) -> None:
    call_command("update_index", verbosity=0)
    make_task(spring)

    assert "1 task<" in page(admin, "/admin/pages/search/?q=spring")


def test_mark__of_a_failure_goes_away_when_it_is_retried(admin: Client, spring: Page) -> None:
    failed = make_task(spring, state=State.FAILED, error="503")
    assert "1 task failed" in listing(admin, spring)

    control.retry([failed.pk])

    html = listing(admin, spring)
    assert "task failed" not in html
    assert "1 task<" in html


def test_mark__of_a_failure_goes_away_when_it_is_discarded(admin: Client, spring: Page) -> None:
    failed = make_task(spring, state=State.FAILED, error="503")

    control.discard([failed.pk])

    assert "task failed" not in listing(admin, spring)


def test_mark__of_a_failure_goes_away_when_a_later_task_succeeds(
    admin: Client, spring: Page
) -> None:
    make_task(spring, state=State.FAILED, error="503")
    make_task(spring, state=State.FAILED, error="503", function="shop.other")
    assert "2 tasks failed" in listing(admin, spring)

    make_task(spring, state=State.SUCCEEDED)

    assert "1 task failed" in listing(admin, spring)


def test_mark__is_not_for_those_who_may_not_edit_the_page(spring: Page, section: Page) -> None:
    make_task(spring, state=State.FAILED, error="503")
    make_task(section)
    user = make_user("editor-of-section", section=section)

    html = listing(log_in(user), spring)

    assert "task failed" not in html
    user.groups.all().delete()
    user.delete()


def test_mark__is_not_there_in_immediate_mode(admin: Client, spring: Page, settings: Any) -> None:
    make_task(spring)
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    assert "1 task<" not in listing(admin, spring)


def test_mark__with_the_ledger_in_another_database(
    admin: Client, spring: Page, elsewhere: None
) -> None:
    kind = ContentType.objects.get_for_model(spring).pk
    make_task(subject_type_id=kind, subject_id=str(spring.pk))

    assert "1 task<" in listing(admin, spring)


def test_price__of_a_list_is_two_queries(
    admin: Client, spring: Page, without_ours: Callable[[], None]
) -> None:
    parent = spring.get_parent()
    others = [
        parent.add_child(instance=type(spring)(title=f"Day {n}", slug=f"day-{n}")) for n in range(8)
    ]
    for other in others:
        make_task(other)
    listing(admin, spring)
    with CaptureQueriesContext(connection) as with_ours:
        html = listing(admin, spring)
    without_ours()
    with CaptureQueriesContext(connection) as without:
        listing(admin, spring)
    for other in others:
        Page.objects.get(pk=other.pk).delete()

    assert html.count("1 task<") == 8
    assert len(with_ours) <= len(without) + 2
