"""Tests of went_live(), by what editors do in Wagtail's own views."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail.models import Page, Revision
from wagtail.signals import page_published

from tests.site.blog.models import Author, BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks import background_task, hooks, receiver, went_live
from wagtail_async_hooks.testing import run_background_tasks

LATER = {"go_live_at": "2099-01-01 09:00"}

heard: list[tuple[str, bool]] = []


def tell(request: Any, instance: Any) -> None:
    """Note whether what was published is live."""
    assert background_task or request.user.is_authenticated
    heard.append((str(instance), went_live(instance)))


@pytest.fixture(params=["background", "request"])
def listening(request: pytest.FixtureRequest, registries: None) -> Any:
    """Have the function called in a worker, or in the request."""
    heard.clear()
    for hook in ("after_publish_page", "after_publish"):
        hooks.register(hook, tell, background=request.param == "background")
    return request.param


@pytest.fixture
def editing(client: Client, editor: Any) -> Client:
    client.force_login(editor)
    return client


@pytest.fixture
def page(db: None) -> BlogPage:
    """A post that was never published."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    draft = BlogPage(title="Tides", slug="tides", introduction="High water", live=False)
    made: BlogPage = home.add_child(instance=draft)
    made.save_revision()
    return made


@pytest.fixture
def publish(editing: Client, page: BlogPage) -> Callable[..., None]:
    """Publish the post in the page editor, now or later."""

    def post(title: str, **changes: Any) -> None:
        page.refresh_from_db()
        data = form_data(page, publish=True, title=title, **changes)
        response = editing.post(reverse("wagtailadmin_pages:edit", args=[page.pk]), data)
        assert response.status_code == 302, response.context["form"].errors

    return post


def test_page__published_now(listening: str, publish: Any) -> None:
    publish("Now")
    run_background_tasks()
    assert heard == [("Now", True)]


def test_page__a_draft_is_scheduled(listening: str, publish: Any, page: BlogPage) -> None:
    publish("Later", **LATER)
    run_background_tasks()
    page.refresh_from_db()
    assert ([told for _, told in heard], page.live) == ([False], False)


def test_page__a_new_version_of_a_live_page_is_scheduled(
    listening: str, publish: Any, page: BlogPage
) -> None:
    publish("Now")
    publish("Later", **LATER)
    run_background_tasks()
    page.refresh_from_db()
    assert [told for _, told in heard] == [True, False]
    assert page.live  # which is why that does not tell


def test_page__what_was_scheduled_is_not_any_more(
    registries: None, publish: Any, page: BlogPage
) -> None:
    heard.clear()
    hooks.register("after_publish_page", tell, background=True)
    publish("Now")
    publish("Later", **LATER)
    Revision.objects.update(approved_go_live_at=None)  # as the button "Cancel scheduled publish"

    run_background_tasks()
    assert [told for _, told in heard] == [True, False]


def test_page__published_twice_before_the_worker_comes(registries: None, publish: Any) -> None:
    heard.clear()
    hooks.register("after_publish_page", tell, background=True)
    publish("Now")
    publish("Now, and better")

    run_background_tasks()
    assert [told for _, told in heard] == [True, True]


def test_signal__an_earlier_version_than_the_latest_goes_live(
    registries: None, page: BlogPage
) -> None:
    heard.clear()

    def hear(instance: Any, **kwargs: Any) -> None:
        heard.append((str(instance), went_live(instance)))

    published = page.save_revision()
    page.save_revision()
    hear.__qualname__ = "hear"
    receiver(page_published, background=True)(hear)
    published.publish()
    run_background_tasks()
    page_published.disconnect(dispatch_uid=(f"{__name__}.hear", "page_published"))

    assert [told for _, told in heard] == [True]


def test_page__a_later_version_is_scheduled_before_the_worker_comes(
    registries: None, publish: Any
) -> None:
    heard.clear()
    hooks.register("after_publish_page", tell, background=True)
    publish("Now")
    publish("Later", **LATER)

    run_background_tasks()
    assert [told for _, told in heard] == [True, False]


def test_page__a_draft_is_saved_before_the_worker_comes(
    registries: None, publish: Any, page: BlogPage
) -> None:
    heard.clear()
    hooks.register("after_publish_page", tell, background=True)
    publish("Now")
    page.refresh_from_db()
    page.save_revision()

    run_background_tasks()
    assert [told for _, told in heard] == [True]


def test_page__its_time_has_come_before_the_worker_does(
    registries: None, publish: Any, page: BlogPage
) -> None:
    heard.clear()
    hooks.register("after_publish_page", tell, background=True)
    publish("Later", **LATER)
    now = timezone.now()
    for revision in Revision.objects.filter(approved_go_live_at__isnull=False):
        revision.content["go_live_at"] = now.isoformat()
        revision.approved_go_live_at = now
        revision.save()
    call_command("publish_scheduled")

    run_background_tasks()
    page.refresh_from_db()
    assert (page.live, [told for _, told in heard]) == (True, [True])


def test_page__unpublished_before_the_worker_comes(
    registries: None, publish: Any, page: BlogPage
) -> None:
    heard.clear()
    hooks.register("after_publish_page", tell, background=True)
    publish("Now")
    page.refresh_from_db()
    page.unpublish()

    run_background_tasks()
    assert [told for _, told in heard] == [False]


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (None, {}, [True]),
        (None, LATER, [False]),
        ({}, LATER, [True, False]),
        ({}, {}, [True, True]),
    ],
    ids=["now", "later", "now, then later", "now, then again"],
)
def test_snippet(
    listening: str, editing: Client, first: Any, then: dict[str, str], expected: list[bool]
) -> None:
    author = Author.objects.create(name="Ada", live=False)
    author.save_revision()
    url = reverse("wagtailsnippets_blog_author:edit", args=[author.pk])
    for given in filter(lambda each: each is not None, (first, then)):
        # The demo's form has no field for it.
        moment = given.get("go_live_at")
        author.go_live_at = moment and datetime.datetime.fromisoformat(f"{moment}Z")
        author.save_revision()
        data = {"name": "Ada L.", "action-publish": "yes"}
        assert editing.post(url, data).status_code == 302
        run_background_tasks()

    assert [told for _, told in heard] == expected


def test_object__without_drafts_and_without_a_row(editor: Any) -> None:
    assert went_live(editor)
    editor.delete()
    assert not went_live(editor)
    assert not went_live(HomePage(title="nowhere"))


def test_page__costs_one_query(page: BlogPage, django_assert_num_queries: Any) -> None:
    page.save_revision().publish()
    page.refresh_from_db()
    with django_assert_num_queries(1):
        assert went_live(page)
