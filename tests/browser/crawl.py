"""Finds all pages of ours by following links, one for each name of a URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from django.urls import Resolver404, resolve
from playwright.sync_api import Page

START: Final = ("/admin/background-tasks/",)

OURS: Final = "wagtail_async_hooks"


def name_of(url: str) -> str:
    """Return the name of a URL of ours; blank for any other."""
    try:
        match = resolve(urlsplit(url).path)
    except Resolver404:
        return ""
    if match.namespace.rpartition(":")[2] != OURS:
        return ""
    action = match.kwargs.get("action", "")
    return f"{match.url_name}_{action}" if action else str(match.url_name)


def crawl(page: Page, also: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Open each of our pages; yield its name and address while it is shown.

    :param also: addresses to which no link leads.
    """
    known: set[str] = set()
    waiting = [*START, *also]
    while waiting:
        url = waiting.pop(0)
        name = name_of(url)
        if not name or name in known:
            continue
        known.add(name)
        response = page.goto(url)
        assert response is not None
        kind = response.headers.get("content-type", "")
        if response.status == 405 or not kind.startswith("text/html") or not is_page(page):
            continue
        assert response.status == 200, f"{url}: {response.status}"
        yield name, url
        waiting += links(page)


def is_page(page: Page) -> bool:
    """Return whether a whole page of Wagtail's admin is shown, and not a part of one."""
    return page.locator("body main, body .w-main, body #main").count() > 0


def links(page: Page) -> list[str]:
    """Return the addresses on the same site to which a page leads, without downloads."""
    script = """links => links
        .filter(link => link.origin === location.origin && !/export=/.test(link.search))
        .map(link => link.pathname + link.search)"""
    found: list[str] = page.locator("main a[href], .w-main a[href], #main a[href]").evaluate_all(
        script
    )
    return found


def each(page: Page, check: Callable[[str], None], also: tuple[str, ...] = ()) -> list[str]:
    """Call something on each page; return the names of the pages."""
    names = []
    for name, _ in crawl(page, also):
        check(name)
        names.append(name)
    return names
