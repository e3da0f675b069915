"""An editor in her browser: a page of hers, loading pages, publishing, and what works for her."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from wagtail import hooks as wagtail_hooks
from wagtail.models import Page

from tests.site.blog.models import HomePage
from wagtail_async_hooks import background
from wagtail_async_hooks import wagtail_hooks as ours

HTML = {"Accept": "text/html,application/xhtml+xml"}

_NO_COMMENTS = {"comments-TOTAL_FORMS": "0", "comments-INITIAL_FORMS": "0"}


@pytest.fixture
def spring(committed_db: None) -> Iterator[Page]:
    """A page that is edited."""
    home = Page.objects.get(depth=2)
    spring = home.add_child(instance=HomePage(title="Spring <menu>", slug="spring-menu"))
    yield spring
    Page.objects.get(pk=spring.pk).delete()


@pytest.fixture
def section(spring: Page) -> Iterator[Page]:
    """A page of another section."""
    other: Page = spring.add_sibling(instance=type(spring)(title="Autumn", slug="autumn"))
    yield other
    other.delete()


@pytest.fixture
def without_ours(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take away what the package registers for pages of Wagtail's."""

    def take_away() -> None:
        kept = {
            name: [entry for entry in found if entry[0].__module__ != ours.__name__]
            for name, found in wagtail_hooks._hooks.items()
        }
        for name in ("register_admin_urls", "register_log_actions"):
            kept[name] = wagtail_hooks._hooks[name]
        monkeypatch.setattr(wagtail_hooks, "_hooks", kept)

    return take_away


def page(browser: Client, path: str = "/admin/account/", **headers: str) -> str:
    """Return a page as a person loads it; one that says nothing of tasks but in messages."""
    return browser.get(path, headers={**HTML, **headers}).content.decode()


def edit_url(spring: Page) -> str:
    """Return where a page is edited."""
    return f"/admin/pages/{spring.pk}/edit/"


def publish(browser: Client, spring: Page, **data: str) -> Any:
    """Publish a page, as its editor does; return Wagtail's answer."""
    form = {"title": spring.title, "slug": spring.slug, "action-publish": "1"}
    return save(browser, spring, **form, **data)


def save(browser: Client, spring: Page, **data: str) -> Any:
    """Send the form of a page, as a browser does; return Wagtail's answer."""
    form = {"title": spring.title, "slug": spring.slug, **_NO_COMMENTS, **data}
    response = browser.post(edit_url(spring), form, headers=HTML)
    assert response.status_code == 302, response.context["form"].errors
    return response


def work() -> None:
    """Run what waits, as a worker would."""
    while (task := background.next()) is not None:
        background.execute(task)
