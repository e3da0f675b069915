"""Tests of the two tasks of an object that Wagtail saves: what enqueues them is one INSERT."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models.signals import post_save
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from modelsearch.signal_handlers import post_save_signal_handler as to_search
from wagtail.models import Page
from wagtail.signal_handlers import (
    disable_reference_index_auto_update,
)
from wagtail.signal_handlers import (
    update_reference_index_on_save as to_references,
)
from wagtail.tasks import update_reference_index_task

from tests import obstacles
from tests.draining import run_all
from tests.site.blog.models import Author, BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks import hooks
from wagtail_async_hooks.models import BackgroundTask

INDEX = "modelsearch.tasks.insert_or_update_object_task"
REFERENCES = "wagtail.tasks.update_reference_index_task"

pytestmark = pytest.mark.database


@pytest.fixture
def editor(committed_db: None) -> Iterator[Any]:
    """A user who may edit everything."""
    user = get_user_model().objects.create_superuser("row-editor", "editor@example.com", "demo")
    yield user
    user.delete()


@pytest.fixture
def page(committed_db: None, ours: Any) -> Iterator[BlogPage]:
    """A page that nothing has been enqueued about yet."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="Row", slug="row"))
    page = home.add_child(
        instance=BlogPage(title="Tides", slug="tides", introduction="High and low")
    )
    BackgroundTask.objects.all().delete()
    yield page
    HomePage.objects.get(slug="row").delete()


def inserts(queries: CaptureQueriesContext) -> int:
    """Return how many statements have enqueued tasks."""
    table = BackgroundTask._meta.db_table
    return sum(f"INSERT INTO {table}" in query["sql"] for query in queries.captured_queries)


def enqueued() -> list[tuple[str, str]]:
    """Return function and subject of the tasks that there are, oldest first."""
    return list(BackgroundTask.objects.order_by("pk").values_list("function", "subject_id"))


@contextmanager
def connected(*receivers: Callable[..., Any]) -> Iterator[None]:
    """Have these receivers alone called, of pages, in this order."""
    ours = (to_search, to_references)
    for each in ours:
        post_save.disconnect(each, sender=BlogPage)
    for each in receivers:
        post_save.connect(each, sender=BlogPage)
    try:
        yield
    finally:
        for each in (*receivers, *ours):
            post_save.disconnect(each, sender=BlogPage)
        for each in ours:
            post_save.connect(each, sender=BlogPage)


def test_save__both_tasks_are_one_insert(page: BlogPage) -> None:
    with CaptureQueriesContext(connection) as queries:
        page.save()

    assert inserts(queries) == 1
    key = str(page.pk)
    assert enqueued() == [(INDEX, key), (REFERENCES, key)]
    assert len(set(BackgroundTask.objects.values_list("exclusive_key", flat=True))) == 2


def test_save__each_has_its_own_signal_and_result(page: BlogPage, ours: Any) -> None:
    told: list[Any] = []

    def listen(sender: Any, task_result: Any, **kwargs: Any) -> None:
        told.append(task_result)

    from wagtail_async_hooks.integrations.tasks_backend.apis import api_of

    signal = api_of(update_reference_index_task).signals.task_enqueued
    signal.connect(listen)
    try:
        page.save()
    finally:
        signal.disconnect(listen)

    ids = BackgroundTask.objects.order_by("pk").values_list("task_id", flat=True)
    assert [result.id for result in told] == list(ids)
    assert [result.task.module_path for result in told] == [INDEX, REFERENCES]
    run_all()
    for result in told:
        result.refresh()
        assert result.status == "SUCCESSFUL"


def test_publish__adds_two_statements(page: BlogPage, client: Client, editor: Any) -> None:
    client.force_login(editor)

    with hooks.suppress(), CaptureQueriesContext(connection) as queries:
        client.post(
            reverse("wagtailadmin_pages:edit", args=[page.pk]),
            form_data(page, publish=True, title="Moonrise"),
        )

    about_tasks = [
        query["sql"]
        for query in queries.captured_queries
        if BackgroundTask._meta.db_table in query["sql"]
    ]
    assert len(about_tasks) == inserts(queries) == 2
    assert [path for path, _ in enqueued()] == [INDEX, REFERENCES] * 2


def test_save__twice_in_a_transaction(page: BlogPage) -> None:
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        page.save()
        page.save()
    assert inserts(queries) == 2
    assert [path for path, _ in enqueued()] == [INDEX, REFERENCES] * 2


def test_save__what_is_not_in_a_transaction_is_enqueued_one_by_one(
    committed_db: None, ours: Any
) -> None:
    with CaptureQueriesContext(connection) as queries:
        author = Author.objects.create(name="Ada")
    paths = [path for path, subject in enqueued() if subject == str(author.pk)]
    author.delete()
    assert inserts(queries) == len(paths)
    assert len(set(paths)) == len(paths)


# What Wagtail does not enqueue --------------------------------------------------------------


def test_disabled__by_wagtails_own_switch(page: BlogPage) -> None:
    with disable_reference_index_auto_update():
        page.save()
    assert [path for path, _ in enqueued()] == [INDEX]


@pytest.mark.parametrize(
    ("receivers", "paths"),
    [
        ([to_search], [INDEX]),
        ([to_references], [REFERENCES]),
        ([to_references, to_search], [REFERENCES, INDEX]),
        ([to_search, to_references], [INDEX, REFERENCES]),
    ],
)
def test_disconnected__no_task_is_enqueued_that_nobody_has_asked_for(
    page: BlogPage, receivers: list[Any], paths: list[str]
) -> None:
    page.save()
    BackgroundTask.objects.all().delete()

    with connected(*receivers):
        page.save()
    assert [path for path, _ in enqueued()] == paths


# What was enqueued ahead is taken for nothing else ------------------------------------------


@pytest.mark.parametrize("savepoint", [False, True])
def test_rollback__the_second_is_enqueued_when_it_is_called_again(
    page: BlogPage, savepoint: bool
) -> None:
    def fail(**kwargs: Any) -> None:
        raise ValueError("no luck")

    def save() -> None:
        with connected(to_search, fail, to_references), pytest.raises(ValueError, match="no luck"):
            page.save()
        update_reference_index_task.enqueue("blog", "blogpage", str(page.pk))

    if savepoint:
        with transaction.atomic():
            save()
    else:
        save()

    assert enqueued() == [(REFERENCES, str(page.pk))]


def test_refused__each_runs_at_once(page: BlogPage, caplog: pytest.LogCaptureFixture) -> None:
    page.title = "Moonrise"
    with obstacles.refusing("no"):
        page.save()
    assert enqueued() == []
    assert [message for message in caplog.messages if "so it runs at once" in message] == [
        f"{path} could not be recorded as a background task, so it runs at once."
        for path in (INDEX, REFERENCES)
    ]
