"""Tests of the panels on Wagtail's home page, and of the banner: what each user may know."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from wagtail.models import GroupPagePermission, Page

from tests.admin.operating import NASTY, ago, editor, looker, operator, task, worker
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db

PURGE = "wagtail.contrib.frontend_cache.tasks.purge_urls_from_cache_task"


def home(client: Client) -> str:
    """Return Wagtail's home page in one line."""
    response = client.get(reverse("wagtailadmin_home"))
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def about(page: Page) -> dict[str, Any]:
    """Return the columns that say that a task is about a page."""
    kind = ContentType.objects.get_for_model(page)
    return {"subject_type": kind, "subject_id": str(page.pk), "subject_title": page.title}


@pytest.fixture
def pages() -> tuple[Page, Page]:
    """A page that editors may edit, and one that they may not."""
    root = Page.get_first_root_node()
    assert root is not None
    hers = root.add_child(title="Hers", slug="hers")
    theirs = root.add_child(title="Secret plans", slug="theirs")
    GroupPagePermission.objects.all().delete()
    from django.contrib.auth.models import Group, Permission

    GroupPagePermission.objects.create(
        group=Group.objects.get(name="Editors"),
        page=hers,
        permission=Permission.objects.get(codename="change_page"),
    )
    return hers, theirs


def test_home__of_an_empty_site() -> None:
    html = home(operator())

    assert "background-tasks-section" not in html
    assert "help-critical" not in html


def test_home__with_a_blank_backend(immediate: None) -> None:
    client = operator()
    with CaptureQueriesContext(connection) as queries:
        html = home(client)

    assert "background-tasks" not in html
    assert not any("wagtail_async_hooks" in query["sql"] for query in queries)


def test_home__of_who_may_see_all(pages: tuple[Page, Page]) -> None:
    worker()
    task(state=State.RUNNING, title=NASTY)
    task(state=State.FAILED, finished_at=ago(minutes=1), **about(pages[1]))
    html = home(looker())

    assert "Running: 1" in html
    assert "Waiting: 0" in html
    assert "Failed: 1" in html
    assert "Secret plans" in html
    assert "&lt;script&gt;alert(1)" in html
    assert NASTY not in html


def test_home__of_an_editor__has_only_hers(pages: tuple[Page, Page]) -> None:
    client = editor()
    own = get_user_model().objects.latest("pk")
    worker()
    task(state=State.RUNNING, **about(pages[0]))
    task(state=State.FAILED, finished_at=ago(minutes=1), **about(pages[1]))
    task(state=State.WAITING, title="Of nobody")
    task(state=State.FAILED, finished_at=ago(minutes=1), title="Her own", user=own)
    html = home(client)

    assert "Running: 1" in html
    assert "Waiting: 0" in html
    assert "Failed: 1" in html
    assert "Tidy up for “Hers”" in html
    assert "Her own" in html
    assert "Secret plans" not in html
    assert "Of nobody" not in html


def test_home__of_an_editor__has_no_panel_without_her_tasks(pages: tuple[Page, Page]) -> None:
    task(state=State.FAILED, finished_at=ago(minutes=1), **about(pages[1]))

    assert "background-tasks-section" not in home(editor())


def test_banner__of_who_may_see_all() -> None:
    for _ in range(2):
        task(function=PURGE)
    told = "2 cache purges are waiting because no worker runs: visitors may see old pages."

    assert told in home(looker())
    assert told in looker().get("/admin/background-tasks/schedule/").content.decode()


def test_banner__of_an_editor__has_only_the_effect() -> None:
    worker()
    pausing.pause(queue="secret-queue", reason="Do not tell")
    task(function=PURGE, queue="secret-queue")
    html = home(editor())

    assert "Background tasks are delayed: visitors may see old pages." in html
    assert "secret-queue" not in html
    assert "Do not tell" not in html
    assert "/admin/background-tasks/queues/" not in html


def test_banner__of_an_editor__is_silent_about_what_has_no_effect() -> None:
    worker()
    pausing.pause(queue="mail")

    assert "paused" not in home(editor())
    assert "The queue “mail” is paused." in home(looker())


@pytest.mark.parametrize("make", [looker, editor])
def test_home__has_as_many_queries_whatever_there_is(make: Any, pages: tuple[Page, Page]) -> None:
    client, counts = make(), []
    home(client)
    for number in (1, 30):
        for _ in range(number):
            for state in (State.RUNNING, State.WAITING, State.FAILED):
                ended = ago(minutes=1) if state is State.FAILED else None
                task(state=state, finished_at=ended, **about(pages[0]))
        with CaptureQueriesContext(connection) as queries:
            home(client)
        counts.append(sum("wagtail_async_hooks" in query["sql"] for query in queries))

    assert counts[0] == counts[1] <= 9, counts
