"""Tests of the guides whose examples are a small program: they do what the page promises."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from wagtail import hooks
from wagtail.contrib.frontend_cache.signal_handlers import register_signal_handlers
from wagtail.models import Page

from tests.project.test_docs import blocks_of, namespace_of, page_named
from tests.project.test_docs import registries as registries  # a fixture
from tests.site.blog.models import BlogPage
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.testing import BackgroundTasks


@pytest.fixture
def guide(registries: None) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Return a function that runs the blocks of a page, and returns what they define."""
    opened: list[Any] = []

    def run(name: str) -> dict[str, Any]:
        page = page_named(name)
        context = namespace_of(page)
        names = context.__enter__()
        opened.append(context)
        blocks = [block for block in blocks_of(page) if block.marker == "guide"]
        assert blocks
        for block in blocks:
            exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
        return names

    yield run
    for context in opened:
        context.__exit__(None, None, None)


# Call a webhook -----------------------------------------------------------------------------


class Response:
    """What a webhook answers."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code

    def raise_for_status(self) -> None:
        """Do as httpx does."""
        if self.status_code >= 400:
            raise ValueError(f"Client error {self.status_code}")


class Client:
    """Stands in for that of httpx, which the tests do not install."""

    answers: list[int]
    calls: list[dict[str, Any]]

    def __init__(self, timeout: float) -> None:
        assert timeout == 10

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None: ...

    async def post(self, url: str, content: bytes, headers: dict[str, str]) -> Response:
        """Keep what is sent."""
        self.calls.append({"url": url, "content": content, "headers": headers})
        return Response(self.answers.pop(0))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    """A module ``httpx`` with a client that calls nobody."""
    httpx = ModuleType("httpx")
    httpx.AsyncClient = Client  # type: ignore[attr-defined]
    httpx.TransportError = ConnectionError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "httpx", httpx)
    Client.answers, Client.calls = [], []
    return Client


@pytest.fixture
def published(db: None, settings: Any) -> BlogPage:
    """A page that is live."""
    settings.WEBHOOK_URL, settings.WEBHOOK_SECRET = "https://hooks.example.com/", "a secret"
    page = BlogPage(title="Tides", slug="tides", introduction="High and low", live=False)
    Page.objects.get(depth=2).add_child(instance=page)
    page.save_revision().publish()
    page.refresh_from_db()
    return page


def publish_in_the_admin(page: Page) -> None:
    """Call the functions of the hook, as Wagtail would."""
    request: HttpRequest = RequestFactory().get("/admin/")
    for function in hooks.get_hooks("after_publish_page"):
        if function.__module__ == "docs_call-a-webhook":
            function(request, page)


def call_of(sent: dict[str, Any], **headers: str) -> HttpRequest:
    """Return a call as the receiver gets it."""
    content, given = sent["content"], {**sent["headers"], **headers}
    return RequestFactory().post("/", content, "application/json", headers=given)


def test_webhook__is_called_again_with_the_same_id(
    guide: Any,
    client: type[Client],
    published: BlogPage,
    background_tasks: BackgroundTasks,
    capsys: pytest.CaptureFixture[str],
) -> None:
    receive = guide("call-a-webhook")["receive"]
    client.answers = [503, 204]
    publish_in_the_admin(published)

    tasks = background_tasks.run(scheduled=True)

    assert [task.state for task in tasks][-1] == "succeeded"
    first, second = client.calls
    assert BackgroundTask.objects.get().task_id == first["headers"]["Idempotency-Key"]
    assert second["headers"]["Idempotency-Key"] == first["headers"]["Idempotency-Key"]
    capsys.readouterr()
    assert receive(call_of(first, **{"X-Signature": "sha256=forged"})).status_code == 403
    assert [receive(call_of(call)).status_code for call in client.calls] == [204, 204]
    assert capsys.readouterr().out.count('"title": "Tides"') == 1


def test_webhook__other_errors_are_not_repeated(
    guide: Any, client: type[Client], published: BlogPage, background_tasks: BackgroundTasks
) -> None:
    guide("call-a-webhook")
    client.answers = [404]
    publish_in_the_admin(published)

    [task] = background_tasks.run(scheduled=True, raise_errors=False)

    assert (task.state, task.error, len(client.calls)) == ("failed", "Client error 404", 1)


# Purge a CDN --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_purge_a_cdn__once_after_a_burst_and_again_if_it_fails(
    guide: Any, settings: Any, background_tasks: BackgroundTasks
) -> None:
    settings.TASKS = {
        "default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}
    }
    register_signal_handlers()  # as the app of the front-end cache does
    names = guide("purge-a-cdn")
    module = names["ExampleCDN"].__module__
    options = {"ENDPOINT": "https://cdn.example.com/purge", "TOKEN": "a token"}
    settings.WAGTAILFRONTENDCACHE = {"cdn": {"BACKEND": f"{module}.ExampleCDN", **options}}
    answers: list[BytesIO | OSError] = [OSError("the CDN is down"), BytesIO(), BytesIO(), BytesIO()]
    purged: list[list[str]] = []

    def urlopen(request: Any, timeout: float) -> BytesIO:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        purged.append(sorted(json.loads(request.data)["urls"]))
        return answer

    names["urlopen"] = urlopen
    home = Page.objects.get(depth=2)
    for title in ("Sea", "Moon"):
        page = BlogPage(title=title, slug=title.lower(), introduction=title, live=False)
        home.add_child(instance=page)
        page.save_revision().publish()
    background_tasks.run(scheduled=True)

    assert answers == []
    addresses = sorted([each.rstrip("/").rpartition("/")[2] for each in urls] for urls in purged)
    assert addresses[1:] == [["moon"], ["sea"]]
    assert len(addresses[0]) == 2  # the front page and its feed
    assert addresses[0][1] == "feed"


# Static export ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_static_export__follows_the_pages(
    guide: Any,
    settings: Any,
    tmp_path: Path,
    background_tasks: BackgroundTasks,
    django_capture_on_commit_callbacks: Any,
) -> None:
    settings.STATIC_EXPORT = tmp_path
    home = Page.objects.get(depth=2)
    guide("static-export")

    def files() -> list[str]:
        background_tasks.run(scheduled=True)
        found = tmp_path.rglob("*.*")
        return sorted(f.relative_to(tmp_path / home.slug).as_posix() for f in found)

    def add(parent: Page, title: str) -> Page:
        page = BlogPage(title=title, slug=title.lower(), introduction=title, live=False)
        parent.add_child(instance=page)
        page.save_revision().publish()
        return page

    sea, moon = add(home, "Sea"), add(home, "Moon")
    tides = add(sea, "Tides")
    assert files() == ["moon/index.html", "sea/index.html", "sea/tides/index.html"]
    assert b"Tides" in (tmp_path / home.slug / "sea/tides/index.html").read_bytes()

    sea.refresh_from_db()
    sea.move(Page.objects.get(pk=moon.pk), pos="last-child")
    assert files() == ["moon/index.html", "moon/sea/index.html", "moon/sea/tides/index.html"]

    moon = Page.objects.get(pk=moon.pk).specific
    moon.slug = "night"
    with django_capture_on_commit_callbacks(execute=True):
        moon.save_revision().publish()
    assert files() == ["night/index.html", "night/sea/index.html", "night/sea/tides/index.html"]

    Page.objects.get(pk=tides.pk).specific.unpublish()
    assert files() == ["night/index.html", "night/sea/index.html"]

    Page.objects.get(pk=tides.pk).specific.save_revision().publish()
    assert len(files()) == 3
    Page.objects.get(pk=moon.pk).delete()
    assert files() == []
