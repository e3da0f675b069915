"""Tests of bulk actions with real workers: one that is killed, and two at the same pages."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.db.models import Count
from django.test import Client
from wagtail.models import GroupPagePermission, Page, PageLogEntry

from tests.integrations.bulk_actions.conftest import Act, make_pages
from tests.processes import Process, wait_until
from tests.site.blog.models import HomePage
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, TaskItem
from wagtail_async_hooks.types import ItemState, State

PAGES = int(os.environ.get("TEST_BULK_PAGES", "40"))
"""How many pages are published; with 500 it takes a minute or more, most of it Wagtail's."""

NO_INDEX = json.dumps({"default": {"BACKEND": "django_tasks.backends.dummy.DummyBackend"}})
"""Leaves Wagtail's search index as it is, in the interest of time."""

pytestmark = pytest.mark.slow


@pytest.fixture
def publisher(home: HomePage) -> Iterator[Client]:
    """The browser of somebody who may publish what is below one page, and nothing else."""
    group = Group.objects.create(name="Publishers of bulk")
    group.permissions.add(Permission.objects.get(codename="access_admin"))
    for name in ("change_page", "publish_page"):
        permission = Permission.objects.get(codename=name, content_type__app_label="wagtailcore")
        GroupPagePermission.objects.create(group=group, page=home, permission=permission)
    user = get_user_model().objects.create(username="publisher")
    user.groups.add(group)
    client = Client()
    client.force_login(user)
    yield client
    user.delete()
    group.delete()


def number_done() -> int:
    """Return how many objects are done."""
    return TaskItem.objects.filter(state=ItemState.DONE).count()


def has_ended() -> bool:
    """Return whether all bulk actions have ended."""
    tasks = BackgroundTask.objects.filter(function__endswith="run_bulk_action")
    return all(State(state).is_final for state in tasks.values_list("state", flat=True))


def state_of(browser: Client, address: str) -> dict[str, Any]:
    """Return what the script of the page is told."""
    found: dict[str, Any] = browser.get(f"{address}state/").json()
    return found


def test_publishing__of_many_pages_survives_the_death_of_the_worker(
    home: HomePage, publisher: Client, act: Act, start: Callable[..., Process], capsys: Any
) -> None:
    *keys, other = make_pages(home, PAGES + 1)
    begun = time.monotonic()
    response = act("wagtailcore.page.publish", keys, browser=publisher)
    seconds = time.monotonic() - begun
    with capsys.disabled():
        sys.stdout.write(f"\nThe request for {PAGES} pages took {seconds:.2f} s.\n")
    address = response["Location"].partition("?")[0]
    assert not Page.objects.filter(pk__in=keys, live=True).exists()
    assert state_of(publisher, address)["done"] == 0
    # One cannot be valid, one is taken out of reach, and one is deleted.
    invalid, moved, deleted = keys[-3:]
    Page.objects.filter(pk=invalid).update(slug=Page.objects.get(pk=other).slug)
    root = Page.get_first_root_node()
    assert root is not None
    Page.objects.get(pk=moved).move(root, pos="last-child")
    Page.objects.get(pk=deleted).delete()

    worker = start("wagtail_worker", "--threads", "1", TEST_TASKS=NO_INDEX)
    wait_until(number_done, "the first page is published")
    first = state_of(publisher, address)["done"]
    wait_until(lambda: number_done() > first + 1, "the progress moves")
    worker.send(signal.SIGKILL)
    worker.wait()
    assert first < state_of(publisher, address)["done"] == number_done() < PAGES - 3
    start("wagtail_worker", "--threads", "1", TEST_TASKS=NO_INDEX)
    wait_until(has_ended, "the rest is done", patience=180)
    assert state_of(publisher, address)["ended"]

    [task] = BackgroundTask.objects.filter(function__endswith="run_bulk_action")
    assert (task.state, task.attempt, task.error) == (
        State.FAILED,
        2,
        f"3 of {PAGES} pages failed.",
    )
    reasons = {item.label: item.error for item in ledger.items(task.pk)[:3]}
    assert list(reasons) == [f"Post {n}" for n in range(PAGES - 3, PAGES)]
    assert "slug" in reasons[f"Post {PAGES - 3}"]
    assert reasons[f"Post {PAGES - 2}"] == "You don’t have the permission to do this."
    assert reasons[f"Post {PAGES - 1}"] == "It was deleted meanwhile."
    assert Page.objects.filter(pk__in=keys, live=True).count() == PAGES - 3
    published = PageLogEntry.objects.filter(page__in=keys, action="wagtail.publish")
    times = published.values("page").annotate(times=Count("pk"))
    assert {row["times"] for row in times} == {1}
    assert len(times) == PAGES - 3
    page = publisher.get(address).content.decode()
    told = publisher.get("/admin/", headers={"Accept": "text/html"}).content.decode()
    assert f"{PAGES - 3} pages have been published" in told
    for label, reason in reasons.items():
        assert page.index(label) < page.index("Post 0")
        assert f"<li>{label}: {reason.replace(chr(39), '&#x27;')}" in told
    Page.objects.get(pk=moved).delete()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time cannot deadlock")
def test_two_actions__over_the_same_pages_do_not_deadlock(
    home: HomePage, act: Act, start: Callable[..., Process]
) -> None:
    one, two, *keys = make_pages(home, 22)

    act("wagtailcore.page.move", keys, chooser=one)
    act("wagtailcore.page.move", [*keys, one], chooser=two)
    act("wagtailcore.page.publish", keys)
    for _ in range(2):
        start("wagtail_worker", "--threads", "2", TEST_TASKS=NO_INDEX)
    wait_until(has_ended, "all actions have ended", patience=180)

    tasks = BackgroundTask.objects.filter(function__endswith="run_bulk_action")
    failures = [(i.label, i.error) for task in tasks for i in ledger.items(task.pk)[:3] if i.error]
    assert [task.state for task in tasks] == 3 * [State.SUCCEEDED], failures
    assert Page.objects.filter(pk__in=keys, live=True).count() == len(keys)
    assert not any(Page.find_problems())
