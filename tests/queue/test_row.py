"""Tests of what a row says of its object, and of the request that caused it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from wagtail.log_actions import LogContext, log
from wagtail.models import Page, PageLogEntry

from tests.draining import run_all
from tests.site.blog.models import Advert, BlogPage, HomePage
from tests.site.editing import form_data
from tests.work import tasks
from wagtail_async_hooks import background, hooks
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control

HOOK = "after_publish_page"

pytestmark = pytest.mark.django_db


def newest() -> BackgroundTask:
    """Return the task that was enqueued last."""
    return BackgroundTask.objects.latest("pk")


def of_hook(hook: str) -> QuerySet[BackgroundTask]:
    """Return the tasks of the function below for a hook: the site has some of its own."""
    path = f"{__name__}.{enqueue_another.__name__}"
    return BackgroundTask.objects.filter(hook=hook, function=path).order_by("pk")


def enqueue_another(*arguments: Any) -> None:
    """Enqueue a task."""
    tasks.add(1, 2)


def log_something(page: Page) -> None:
    """Write into Wagtail's log."""
    log(page, "wagtail.edit")


@pytest.fixture
def page(db: None) -> BlogPage:
    """A post that was never published."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    made: BlogPage = home.add_child(
        instance=BlogPage(title="Tides", slug="tides", introduction="High water", live=False)
    )
    made.save_revision()
    return made


# What the object was called -----------------------------------------------------------------


def test_subject_title__of_any_object(page: BlogPage) -> None:
    for given, title in (
        ((page,), "Tides"),
        (([page, page.get_parent()],), "Tides"),
        ((Advert.objects.create(text="Buy tea"),), "Buy tea"),
        ((), ""),
    ):
        tasks.show_all(**{str(number): each for number, each in enumerate(given)})
        assert newest().subject_title == title


def test_subject_title__is_that_of_when_it_was_enqueued(page: BlogPage) -> None:
    tasks.show(page)
    page.title = "Ebb"
    page.save()
    assert newest().subject_title == "Tides"
    page.delete()
    assert newest().subject_title == "Tides"


def test_subject_title__of_what_is_deleted(
    page: BlogPage, registries: None, client: Client, editor: Any
) -> None:
    hooks.register("after_delete_page", enqueue_another, background=True)
    client.force_login(editor)
    client.post(reverse("wagtailadmin_pages:delete", args=[page.pk]))
    assert of_hook("after_delete_page").get().subject_title == "Tides"


def test_subject_title__fits_its_column_on_one_line() -> None:
    advert = Advert.objects.create(text="Buy tea")
    advert.text = f"Tea\nand\0{'coffee ' * 100}"
    tasks.show(advert)
    title = newest().subject_title
    assert title.startswith("Tea and\\x00coffee")
    assert len(title) == 255


def test_subject_title__holds_no_secret_of_an_address() -> None:
    tasks.show(Advert.objects.create(text="https://me:oolong@example.com/?token=hunter2&a=1"))
    title = newest().subject_title
    assert "oolong" not in title
    assert "hunter2" not in title
    assert title.endswith("a=1")


def ask(advert: Advert) -> str:
    """Ask the database what an object is called."""
    return str(Advert.objects.count())


def refuse(advert: Advert) -> str:
    """Have no name for an object."""
    raise ValueError


@pytest.mark.parametrize("name", [ask, refuse])
def test_subject_title__is_blank_where_it_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    advert = Advert.objects.create(text="Buy tea")
    monkeypatch.setattr(Advert, "__str__", name)
    tasks.show(advert)
    row = newest()
    assert (row.subject_title, row.subject_id) == ("", str(advert.pk))


# What caused it -----------------------------------------------------------------------------


def test_cause__is_that_of_the_entry_in_wagtails_log(
    page: BlogPage, registries: None, client: Client, editor: Any
) -> None:
    hooks.register(HOOK, enqueue_another, background=True)
    client.force_login(editor)
    data = form_data(page, publish=True)
    for _ in range(2):
        client.post(reverse("wagtailadmin_pages:edit", args=[page.pk]), data)

    entries = PageLogEntry.objects.filter(page=page.pk, action="wagtail.publish")
    logged = entries.order_by("pk").values_list("uuid", flat=True)
    assert list(of_hook(HOOK).values_list("cause", flat=True)) == list(logged)
    assert len(set(logged)) == 2
    causes = BackgroundTask.objects.filter(hook=HOOK).values_list("cause", flat=True)
    assert set(causes) == set(logged), "that of all functions of the hook"


def test_cause__is_handed_on_by_tasks(task_of: Callable[..., Any], page: BlogPage) -> None:
    first, second = task_of(enqueue_another), task_of(log_something)
    with LogContext() as context:
        first()
        second(page)
    run_all()
    causes = BackgroundTask.objects.values_list("cause", flat=True)
    assert isinstance(context.uuid, uuid.UUID)
    assert list(causes) == [context.uuid] * 3
    assert PageLogEntry.objects.filter(action="wagtail.edit").latest("pk").uuid == context.uuid


def test_cause__of_a_follow_up_is_that_of_the_first() -> None:
    with LogContext() as context:
        background.enqueue(tasks.add.s(1, 2).then(tasks.add, 3))
    run_all()
    assert list(BackgroundTask.objects.values_list("cause", flat=True)) == [context.uuid] * 2


def test_cause__of_a_task_that_is_run_again_stays() -> None:
    with LogContext() as context:
        tasks.fail()
    run_all()
    with LogContext():
        control.retry(BackgroundTask.objects.all())
    run_all()
    row = BackgroundTask.objects.get()
    assert (row.attempt, row.cause) == (2, context.uuid)


def test_cause__is_blank_outside_of_requests() -> None:
    tasks.add(1, 2)
    assert newest().cause is None


# What it costs ------------------------------------------------------------------------------


def test_cost__enqueueing_takes_one_statement(
    page: BlogPage, on: Callable[..., None], editor_request: HttpRequest
) -> None:
    on(HOOK, enqueue_another)
    [*_, function] = hooks.get_hooks(HOOK)
    with LogContext(editor_request.user):
        function(editor_request, page)  # Django learns the content type's number once
        with CaptureQueriesContext(connection) as queries:
            function(editor_request, page)
            tasks.show(page)
    assert len(queries) == 2
    assert all("INSERT INTO" in query["sql"] for query in queries)
    row = newest()
    assert (row.subject_title, row.cause is None) == ("Tides", False)
