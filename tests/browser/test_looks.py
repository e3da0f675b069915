"""All of our pages: accessible in both themes, on a phone, from right to left, by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import pytest
from PIL import Image, ImageStat
from playwright.sync_api import Page

from tests.browser import looking
from tests.browser.crawl import crawl, name_of
from tests.browser.desk import TASKS, Desk
from wagtail_async_hooks.admin.sections import SECTIONS

pytestmark = pytest.mark.slow

PHONE: Final = {"width": 375, "height": 812}


def beside(history: Desk) -> tuple[str, ...]:
    """Return addresses to which no link leads."""
    tasks = "/admin/background-tasks/"
    [action] = history.rows(f"SELECT task_id FROM {TASKS} WHERE function LIKE '%bulk%'")
    states = history.rows(f"SELECT MAX(id) id FROM {TASKS} GROUP BY state")
    chosen = "&".join(f"id={row['id']}" for row in states)
    return (
        f"{tasks}?state=failed",
        f"{tasks}bulk-action/{action['task_id']}/",
        f"{tasks}selected/?{chosen}",
        *(f"{tasks}task/{row['id']}/" for row in states),
    )


def on_each(history: Desk, page: Page, look: Callable[[Page], list[str]]) -> dict[str, list[str]]:
    """Return what is wrong with each of our pages, of those that have something.

    A page of each kind, and all that :func:`beside` names.
    """
    seen, wrong = set(), {}
    for name, url in crawl(page, beside(history)):
        seen.add(name)
        wrong[url] = look(page)
    for url in beside(history):
        if url not in wrong:
            page.goto(url)
            wrong[url] = look(page)
    assert seen >= {section.name for section in SECTIONS}, "no link leads to the others"
    return {f"{name_of(url)} {url}": found for url, found in wrong.items() if found}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages__have_nothing_that_axe_finds(history: Desk, scheme: Any) -> None:
    with history.as_user("admin", color_scheme=scheme, reduced_motion="reduce") as page:
        stock = looking.stock_violations(page)

        assert on_each(history, page, lambda page: looking.violations(page, stock)) == {}


def test_pages__fit_on_a_phone(history: Desk) -> None:
    with history.as_user("admin", viewport=PHONE, has_touch=True) as page:
        page.goto(looking.STOCK)
        assert looking.overflow(page) == [], "Wagtail's own report does not"

        assert on_each(history, page, looking.overflow) == {}


def test_pages__of_somebody_who_reads_from_right_to_left(history: Desk) -> None:
    history.speak("moderator", "ar")
    history.execute("UPDATE auth_user SET is_superuser = 1 WHERE username = 'moderator'")
    with history.as_user("moderator", viewport=PHONE) as page:

        def look(page: Page) -> list[str]:
            turned = page.locator("html[dir=rtl]").count()
            return looking.overflow(page) + ([] if turned else ["It goes from left to right."])

        assert on_each(history, page, look) == {}


def test_pages__by_keyboard(history: Desk) -> None:
    with history.as_user("admin", reduced_motion="reduce") as page:
        page.goto(looking.STOCK)
        assert looking.unreachable(page) == [], "Wagtail's own report is not"

        assert on_each(history, page, looking.unreachable) == {}


def test_pages__that_follow_what_runs_leave_what_is_the_same(history: Desk) -> None:
    running = [row["id"] for row in history.rows(f"SELECT id FROM {TASKS} WHERE state = 'running'")]
    with history.as_user("admin") as page:
        for url in (beside(history)[1], f"/admin/background-tasks/task/{running[0]}/"):
            page.goto(url)
            content = page.locator("[data-part=results], [data-live-content]").first
            first = content.locator("> *").first.element_handle()
            assert first.evaluate("element => element.isConnected")
            for _ in range(2):  # what the first brought is shown before the second is asked for
                with page.expect_response(
                    lambda response: "json" in response.headers["content-type"]
                ):
                    pass
            assert first.evaluate("element => element.isConnected"), url


def test_pages__without_javascript(history: Desk) -> None:
    with history.as_user("admin", java_script_enabled=False) as page:
        seen = [name for name, _ in crawl(page, beside(history))]

    assert {section.name for section in SECTIONS} <= set(seen)


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_theme__is_that_of_the_system(history: Desk, scheme: Any, is_dark: bool) -> None:
    with history.as_user("admin", color_scheme=scheme) as page:
        page.goto("/admin/background-tasks/")
        picture = Image.open(BytesIO(page.locator("main").screenshot())).convert("L")

    assert (ImageStat.Stat(picture).median[0] < 80) is is_dark
