"""Tests of what a bulk action costs for each object: statements, and memory that stays."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from wagtail import hooks
from wagtail.models import Page
from wagtail.signals import page_published

from tests.integrations.bulk_actions.conftest import Act, make_pages
from tests.site.blog.models import HomePage
from wagtail_async_hooks.hooks import suppress
from wagtail_async_hooks.models import BackgroundTask

Work = Callable[[], BackgroundTask]

pytestmark = pytest.mark.database

BEYOND_WAGTAILS = 13
"""Statements for each page beyond those of Wagtail's own action, which is one transaction: those
of a transaction, its locks, who acts and what they may do, and the row that says it is done. The
progress, which is written from time to time, is two of them."""


def counted(do: Callable[[], Any]) -> int:
    """Return how many statements something takes."""
    with CaptureQueriesContext(connection) as queries:
        do()
    return len(queries)


@pytest.mark.parametrize("action", ["publish", "move", "delete"])
def test_statements__for_each_page(
    home: HomePage, act: Act, work: Work, action: str, settings: Any
) -> None:
    def acted(number: int, *, in_background: bool) -> int:
        bulk = {**settings.WAGTAIL_TASKS["BULK_ACTIONS"], "threshold": 1 if in_background else 99}
        settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "BULK_ACTIONS": bulk}
        parents = [
            home.add_child(instance=Page(title=title, slug=title)) for title in ("from", "to")
        ]
        keys = make_pages(parents[0], number)
        BackgroundTask.objects.all().delete()
        data = {"chooser": parents[1].pk} if action == "move" else {}
        with suppress():
            if in_background:
                act(f"wagtailcore.page.{action}", keys, **data)
                BackgroundTask.objects.exclude(name__endswith="run_bulk_action").delete()
                taken = counted(work)
            else:
                taken = counted(lambda: act(f"wagtailcore.page.{action}", keys, **data))
        for parent in parents:
            Page.objects.get(pk=parent.pk).delete()
        return taken

    acted(3, in_background=True)  # what is asked for once in a process
    ours, theirs = (
        (acted(10, in_background=where) - acted(4, in_background=where)) / 6
        for where in (True, False)
    )
    assert ours <= theirs + BEYOND_WAGTAILS


def test_memory__no_page_is_kept_while_the_others_are_dealt_with(
    home: HomePage, act: Act, work: Work
) -> None:
    keys = make_pages(home, 12)
    published: list[weakref.ref[Page]] = []
    alive: list[int] = []

    def receive(instance: Page, **kwargs: Any) -> None:
        gc.collect()
        alive.append(sum(found() is not None for found in published))
        published.append(weakref.ref(instance))

    act("wagtailcore.page.publish", keys)
    page_published.connect(receive)
    try:
        task = work()
    finally:
        page_published.disconnect(receive)

    assert task.progress_done == len(alive) == 12
    assert max(alive) <= 1


@pytest.mark.parametrize("is_heard", [False, True])
def test_memory__no_page_is_kept_for_hooks(
    home: HomePage, act: Act, work: Work, is_heard: bool
) -> None:
    keys = make_pages(home, 8)
    alive: list[int] = []
    told: list[list[int]] = []

    def count(instance: Page, **kwargs: Any) -> None:
        gc.collect()
        found = [each for each in gc.get_objects() if isinstance(each, Page) and each.pk in keys]
        alive.append(len({each.pk for each in found}))
        found.clear()

    def hear(request: Any, action_type: str, objects: list[Page], action: Any) -> None:
        told.append([page.pk for page in objects])

    act("wagtailcore.page.publish", keys)
    page_published.connect(count)
    try:
        if is_heard:
            with hooks.register_temporarily("after_bulk_action", hear):
                work()
        else:
            work()
    finally:
        page_published.disconnect(count)

    assert max(alive) <= 2
    assert told == ([keys] if is_heard else [])
