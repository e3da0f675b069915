"""When an argument is what a test expects, and what a record tells of a task unknown here."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest
from wagtail.models import Page

from tests.site.blog.models import Advert, Author, HomePage
from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.testing import BackgroundTasks
from wagtail_async_hooks.testing.task_record import is_same


def request_to(path: str) -> HttpRequest:
    """Return a request without a user."""
    request = HttpRequest()
    request.path = request.path_info = path
    return request


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 1),
        (Advert(pk=3), Advert(pk=3)),
        ([Advert(pk=3), 1], (Advert(pk=3), 1)),
        ([], ()),
        (request_to("/a/"), request_to("/a/")),
    ],
)
def test_is_same(expected: Any, actual: Any) -> None:
    assert is_same(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 2),
        (Advert(pk=3), Advert(pk=4)),
        (Advert(pk=3), Author(pk=3)),
        (Advert(pk=3), 3),
        ([Advert(pk=3)], [Advert(pk=3), Advert(pk=4)]),
        ([1], [2]),
        ([1], 1),
        (["a"], "a"),
        (request_to("/a/"), request_to("/b/")),
    ],
)
def test_is_same__not(expected: Any, actual: Any) -> None:
    assert not is_same(expected, actual)


@pytest.mark.django_db
def test_is_same__a_plain_page_and_its_own_class() -> None:
    plain = Page.objects.get(depth=1).add_child(instance=HomePage(title="Home")).page_ptr
    own = HomePage.objects.get()

    assert type(plain) is Page
    assert is_same(own, plain)
    assert is_same(plain, own)
    assert not is_same(Page.objects.get(depth=1), own)


def test_arguments__of_a_task_that_is_not_registered_any_more(
    background_tasks: BackgroundTasks,
) -> None:
    tasks.add(1, b=2)
    BackgroundTask.objects.update(function="gone.away.add")

    [task] = background_tasks.recorded

    assert task.arguments == {"0": 1, "b": 2}
    assert str(task) == "gone.away.add(0=1, b=2): waiting, queue 'default'"


def test_arguments__that_do_not_fit(background_tasks: BackgroundTasks) -> None:
    tasks.add(1, 2, 3)

    assert background_tasks.recorded[0].arguments == {"0": 1, "1": 2, "2": 3}


def test_arguments__of_a_message_that_is_refused(background_tasks: BackgroundTasks) -> None:
    tasks.add(1, 2)
    BackgroundTask.objects.update(message=b"not ours")

    assert background_tasks.recorded[0].arguments == {}
    background_tasks.advance(60)
