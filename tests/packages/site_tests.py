"""Tests of packages whose functions are moved to the background by settings alone.

``tests/hooks/test_takeover.py`` runs them, in a process and with a database of their own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from wagtail import hooks as wagtail_hooks
from wagtail.models import Site
from wagtail.signals import page_published, published
from wagtail_asset_publisher.models import PublishedAsset
from wagtail_herald.models import SEOSettings
from wagtail_machine_readable.cache import document_key

from tests.neighbour import caching
from tests.packages.settings import MOVED
from tests.processes import Process, wait_until
from tests.site.blog.models import Advert, BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks.hooks import private_registries, registry
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

SETTINGS = "tests.packages.settings"


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy on loopback that lets nothing through, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(502)

        def log_message(self, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(committed_db: None) -> BlogPage:
    """A site with two posts."""
    call_command("seed", pages=2, verbosity=0)
    SEOSettings.objects.update_or_create(
        site=Site.objects.get(), defaults={"indexnow_api_key": "a-key"}
    )
    BackgroundTask.objects.all().delete()
    page = BlogPage.objects.first()
    assert page is not None
    return page


@pytest.fixture
def client(committed_db: None) -> Client:
    """The browser of somebody who may do everything."""
    call_command("seed", pages=2, verbosity=0)
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


def rows() -> dict[str, BackgroundTask]:
    """Return the task of each function that was moved."""
    return {row.function: row for row in BackgroundTask.objects.filter(function__in=MOVED)}


def test_registered__before_anything_is_called(committed_db: None) -> None:
    """This process has made no request yet; it has a connection to its database."""
    wagtail_hooks.get_hooks("after_publish_page")

    entries = private_registries.of_hook("after_publish_page")
    moved = {entry.path for each in entries if (entry := registry.entry_of(each.function))}
    assert "wagtail_indexnow.wagtail_hooks.notify_indexnow" in moved
    assert "tests.neighbour.caching.purge" in moved
    [order] = [each.order for each in entries if each.function == caching.purge]
    assert order == 50
    for signal in (published, page_published):
        left = {
            f"{each.function.__module__}.{each.function.__qualname__}"
            for each in private_registries.of_signal(signal)
            if registry.entry_of(each.function) is None
        }
        assert not left & set(MOVED)


def test_check__tells_of_the_attribute_that_does_not_travel() -> None:
    found = checks.run_checks(tags=[checks.Tags.compatibility])

    [message] = [each for each in found if each.id.startswith("wagtail_async_hooks.W03")]
    assert message.id == "wagtail_async_hooks.W035"
    assert message.msg.startswith(
        "wagtail_indexnow.wagtail_hooks.notify_indexnow, which runs in the background for "
        '"after_publish_page", reads page._should_indexnow, which '
        "wagtail_indexnow.wagtail_hooks.check_notify_page leaves there ("
    )


def test_publish__a_worker_builds_pings_and_purges(
    site: BlogPage,
    client: Client,
    start: Callable[..., Process],
    proxy: tuple[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = tmp_path / "trace.txt"
    monkeypatch.setenv("NEIGHBOUR_TRACE", str(trace))
    address, asked = proxy
    everywhere = {"https_proxy": address, "HTTPS_PROXY": address, "no_proxy": "", "NO_PROXY": ""}
    for name, value in everywhere.items():
        monkeypatch.setenv(name, value)

    known = document_key(site.get_site().pk, "llms.txt")
    cache.set(known, "what it said before", timeout=None)

    response = client.post(
        reverse("wagtailadmin_pages:edit", args=[site.pk]), form_data(site, publish=True)
    )

    assert response.status_code == 302
    assert not trace.exists()
    assert asked == []
    assert not PublishedAsset.objects.exists()
    assert cache.get(known)
    expected = {*MOVED[:4], f"{MOVED[4]}", "tests.neighbour.caching.fresh"}
    assert rows().keys() == expected
    assert rows()["tests.neighbour.caching.purge"].priority == 9

    worker = start("wagtail_worker", DJANGO_SETTINGS_MODULE=SETTINGS)
    wait_until(
        lambda: {row.state for row in rows().values()} == {State.SUCCEEDED},
        f"all end well:\n{worker.said()}",
    )
    built = PublishedAsset.objects.get(page=site)  # wagtail-asset-publisher
    assert built.asset_type == "css"
    wait_until(lambda: asked, "wagtail-herald pings")
    assert set(asked) == {"api.indexnow.org:443"}
    assert cache.get(known) is None  # wagtail-machine-readable
    done = [line.split() for line in trace.read_text().splitlines()]
    assert sorted(name for _, name in done) == ["fresh", "purge"]
    assert {int(pid) for pid, _ in done} == {worker.pid} != {os.getpid()}


def test_copy__a_worker_runs_what_only_web_processes_register(
    site: BlogPage, client: Client, start: Callable[..., Process]
) -> None:
    home = HomePage.objects.get()
    form = {"new_title": "Twin", "new_slug": "twin", "new_parent_page": str(home.pk)}
    response = client.post(reverse("wagtailadmin_pages:copy", args=[site.pk]), form)
    assert response.status_code == 302
    assert [row.hook for row in rows().values()] == ["after_copy_page"]

    worker = start("wagtail_worker", "--drain", DJANGO_SETTINGS_MODULE=SETTINGS)
    assert worker.wait() == 0, worker.said()

    assert [row.state for row in rows().values()] == [State.SUCCEEDED]


def test_command__that_makes_no_request(site: BlogPage, start: Callable[..., Process]) -> None:
    """Neither asks for hooks nor makes a request: its receivers are moved all the same."""
    Advert.objects.create(text="Tea")
    script = (
        "import django; django.setup()\n"
        "from tests.site.blog.models import Advert\n"
        "Advert.objects.filter(text='Tea').first().delete()\n"
    )
    process = start("shell", "-c", script, DJANGO_SETTINGS_MODULE=SETTINGS)
    assert process.wait() == 0, process.said()

    assert list(rows()) == ["tests.neighbour.caching.gone"]


def test_hooks_command__says_what_was_moved(site: BlogPage, start: Callable[..., Process]) -> None:
    process = start("wagtail_tasks", "hooks", DJANGO_SETTINGS_MODULE=SETTINGS)
    assert process.wait() == 0, process.said()

    for path in MOVED:
        moved = f'it was moved by WAGTAIL_TASKS["HOOKS"]["{path}"]["background"]'
        assert f"{path} in the background: {moved}" in " ".join(process.said().split())
