"""Tests of Wagtail's own work in the background: indexes that are never stale, caches, files."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from wagtail.contrib.frontend_cache.utils import purge_url_from_cache
from wagtail.models import Page, ReferenceIndex
from wagtail.search.models import IndexEntry

from tests.draining import run_all
from tests.integrations.tasks_backend.conftest import BACKEND
from tests.processes import Process, wait_until
from tests.site.blog.models import Author, BlogPage, HomePage, RelatedLink
from tests.site.editing import form_data
from wagtail_async_hooks import background
from wagtail_async_hooks.integrations.tasks_backend import wagtails_own
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

INDEX = "modelsearch.tasks.insert_or_update_object_task"
REFERENCES = "wagtail.tasks.update_reference_index_task"
EDITS = 10
"""How often each of two editors saves."""


def tasks_of(path: str) -> list[BackgroundTask]:
    """Return the tasks of a function, oldest first."""
    return list(BackgroundTask.objects.filter(function=path).order_by("pk"))


def new_page(title: str = "Tides") -> BlogPage:
    """Return a live page."""
    root = Page.get_first_root_node()
    home = HomePage.objects.child_of(root).filter(slug="indexed").first()
    home = home or root.add_child(instance=HomePage(title="Indexed", slug="indexed"))
    page = BlogPage(title=title, slug="tides", introduction="High and low")
    page.author = Author.objects.get_or_create(name="Ada")[0]
    page.related_links.add(RelatedLink(title="Tide tables", url="https://tides.example/"))
    return home.add_child(instance=page)


@pytest.fixture
def page(db: None, ours: Any) -> BlogPage:
    """A page that nothing has been recorded about yet."""
    page = new_page()
    run_all()
    BackgroundTask.objects.all().delete()
    return page


def found(text: str) -> list[str]:
    """Return the titles of the pages that the search finds."""
    if connection.vendor == "mysql":  # its full-text index has what is committed, and no test is
        entries = IndexEntry.objects.filter(title__icontains=text)
        return [BlogPage.objects.get(pk=entry.object_id).title for entry in entries]
    return [page.title for page in BlogPage.objects.search(text)]


def search_index() -> dict[tuple[int, str], tuple[Any, ...]]:
    """Return what the search index holds, by object."""
    # How long a title is beside all others changes with the others, not with the object.
    left_out = ("id", "title_norm")
    names = [field.name for field in IndexEntry._meta.fields if field.name not in left_out]
    rows = IndexEntry.objects.values("content_type_id", "object_id", *names)
    return {
        (row["content_type_id"], row["object_id"]): tuple(str(row[name]) for name in sorted(names))
        for row in rows
    }


def reference_index() -> set[tuple[str, ...]]:
    """Return all that the reference index holds."""
    names = ("content_type", "object_id", "to_content_type", "to_object_id", "model_path")
    return {tuple(map(str, row)) for row in ReferenceIndex.objects.values_list(*names)}


# The search index ---------------------------------------------------------------------------


def test_publish__is_found_and_the_request_did_nothing_for_it(
    page: BlogPage, client: Client, editor: Any
) -> None:
    client.force_login(editor)

    client.post(
        reverse("wagtailadmin_pages:edit", args=[page.pk]),
        form_data(page, publish=True, title="Moonrise"),
    )

    assert found("moonrise") == []
    run_all()
    assert found("moonrise") == ["Moonrise"]


def test_publish__names_the_page_and_indexes_it_once(
    page: BlogPage, client: Client, editor: Any
) -> None:
    client.force_login(editor)

    client.post(reverse("wagtailadmin_pages:edit", args=[page.pk]), form_data(page, publish=True))
    run_all()

    for path in (INDEX, REFERENCES):
        tasks = tasks_of(path)
        assert len(tasks) > 1
        assert {(t.subject_type.model, t.subject_id) for t in tasks} == {("blogpage", str(page.pk))}
        assert [t.state for t in tasks] == [State.MERGED] * (len(tasks) - 1) + [State.SUCCEEDED]


def test_index__a_page_has_one_key_whatever_it_was_saved_as(page: BlogPage) -> None:
    page.save()
    Page.objects.get(pk=page.pk).save()

    assert {task.exclusive_key for task in tasks_of(INDEX)} == {
        f"{INDEX} wagtailcore.page {page.pk}"
    }
    run_all()
    assert {task.state for task in tasks_of(INDEX)} == {State.SUCCEEDED}


def test_index__a_page_that_is_gone_meanwhile(page: BlogPage) -> None:
    page.save()
    page.delete()

    run_all()

    [task] = tasks_of(INDEX)
    assert (task.state, task.error) == (State.CANCELLED, "its object was deleted")
    assert task.traceback == ""


@contextmanager
def logged_error(path: str) -> Iterator[None]:
    """Call one of Wagtail's tasks, which logs an error instead of raising it."""
    import logging

    with wagtails_own.calling(path):
        try:
            raise ConnectionError("refused")
        except ConnectionError:
            logging.getLogger("modelsearch.index").exception("Exception raised while adding")
        yield


def test_calling__what_is_only_logged_is_a_failure() -> None:
    with pytest.raises(wagtails_own.ServerFailed, match="raised while adding: refused"):  # noqa: SIM117
        with logged_error(INDEX):
            pass


def test_calling__what_another_thread_logs_is_not() -> None:
    import logging

    log = logging.getLogger("modelsearch.index")
    with wagtails_own.calling(INDEX):
        thread = threading.Thread(target=log.error, args=["somebody else's"])
        thread.start()
        thread.join()
    assert not any(isinstance(h, wagtails_own._Listener) for h in log.handlers)


# The reference index ------------------------------------------------------------------------


def test_references__are_those_of_the_last_state(page: BlogPage) -> None:
    bea = Author.objects.create(name="Bea")
    page.author = bea
    page.save()

    run_all()

    assert ReferenceIndex.get_references_to(bea).count() == 1


def test_references__of_a_child_are_left_to_its_page(page: BlogPage) -> None:
    link = page.related_links.get()

    assert wagtails_own.instead_of(REFERENCES, ["blog", "relatedlink", str(link.pk)]) == [
        "blog",
        "blogpage",
        str(page.pk),
    ]
    assert wagtails_own.instead_of(REFERENCES, ["blog", "blogpage", str(page.pk)]) is None
    assert wagtails_own.instead_of(INDEX, ["blog", "relatedlink", str(link.pk)]) is None


def test_references__a_child_enqueues_its_pages_task(page: BlogPage) -> None:
    from wagtail.tasks import update_reference_index_task

    link = page.related_links.get()
    update_reference_index_task.enqueue("blog", "relatedlink", str(link.pk))
    background.execute(background.next())
    background.settle()

    [childs, pages] = tasks_of(REFERENCES)
    assert childs.state == State.SUCCEEDED
    assert pages.coalesce_key == f"blog.blogpage {page.pk}"


# Caches -------------------------------------------------------------------------------------


class Cache(HTTPServer):
    """A front-end cache that refuses at first."""

    def __init__(self) -> None:
        self.answers = [503, 200]
        self.purged: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Cache

    def do_PURGE(self) -> None:
        status = self.server.answers.pop(0)
        self.server.purged.append(self.path)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def cache(settings: Any) -> Iterator[Cache]:
    """A front-end cache that the site purges."""
    server = Cache()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings.WAGTAILFRONTENDCACHE = {
        "varnish": {
            "BACKEND": "wagtail.contrib.frontend_cache.backends.HTTPBackend",
            "LOCATION": f"http://127.0.0.1:{server.server_port}",
        }
    }
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.django_db
def test_purge__is_tried_again_until_the_cache_does_it(ours: Any, cache: Cache) -> None:
    purge_url_from_cache("http://example.org/tides/")
    run_all()

    task = BackgroundTask.objects.get()
    assert task.state == State.SCHEDULED
    assert "HTTPError: 503" in task.error
    BackgroundTask.objects.update(state=State.WAITING)
    run_all()
    task.refresh_from_db()
    assert task.state == State.SUCCEEDED
    assert cache.purged == ["/tides/", "/tides/"]


# Real workers -------------------------------------------------------------------------------


def edit(pk: int, name: str) -> None:
    """Save the page again and again through the real edit view, as one editor."""
    from django.contrib.auth import get_user_model

    client = Client()
    client.force_login(get_user_model().objects.get(username=name))
    url = reverse("wagtailadmin_pages:edit", args=[pk])
    for number in range(EDITS):
        page = BlogPage.objects.get(pk=pk)
        data = form_data(page, publish=True, title=f"{name} {number}")
        assert client.post(url, data).status_code in (200, 302)


@pytest.mark.slow
def test_indexes__are_those_of_a_full_rebuild_after_concurrent_edits(
    start: Callable[..., Process], ours: Any, committed_db: None
) -> None:
    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    page = new_page()
    call_command("update_index", verbosity=0)
    names = ("ada", "bea")
    try:
        for name in names:
            users.create_superuser(name, f"{name}@example.org", "demo")
        own = {"TEST_TASKS": json.dumps({"default": {"BACKEND": BACKEND}})}
        code = f"from {__name__} import edit; edit({page.pk}, %r)"
        editors = [start("shell", "-c", code % name, **own) for name in names]
        # Only then a worker: one that is quick enough would leave nothing to merge.
        recorded = BackgroundTask.objects.filter(function=INDEX, subject_id=str(page.pk))
        wait_until(lambda: recorded.count() > 1, "there is something to merge")
        start("wagtail_worker", "--threads", "4", **own)
        for editor in editors:
            assert editor.wait() == 0, editor.said()
        wait_until(_nothing_is_left, "all is indexed")

        ran = recorded.filter(state=State.SUCCEEDED)
        indexed, references = search_index(), reference_index()
        call_command("update_index", verbosity=0)
        call_command("rebuild_references_index", verbosity=0)
        assert indexed == search_index()
        assert references == reference_index()
        # Each publish records two.
        assert recorded.count() >= 2 * len(names) * EDITS
        assert 0 < ran.count() < recorded.count()
    finally:
        HomePage.objects.get(slug="indexed").delete()
        users.filter(username__in=names).delete()
        Author.objects.all().delete()


def _nothing_is_left() -> bool:
    left = BackgroundTask.objects.exclude(state__in=[State.SUCCEEDED, State.MERGED])
    return not left.filter(function__in=[INDEX, REFERENCES]).exists()
