"""What editors are shown of what follows their changes, and do about it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.desk import Desk
from tests.limits import PATIENCE
from tests.processes import wait_until

pytestmark = pytest.mark.slow

PURGED = "function LIKE '%.purge_cache' AND state = 'succeeded'"
FAILED = "function LIKE '%.purge_cache' AND state = 'failed'"

expect.set_options(timeout=PATIENCE * 1000 / 6)


@pytest.fixture(autouse=True)
def nothing_left(desk: Desk) -> None:
    """Have all tasks of the test before end, and forget them and what is to be told of them."""
    wait_until(desk.is_empty, "all tasks have ended")
    desk.execute("DELETE FROM wagtail_async_hooks_notice")
    desk.execute("DELETE FROM wagtail_async_hooks_backgroundtask")


OPEN = "[data-live-content] :is(.icon-time, .icon-spinner)"
"""Steps that are not done."""


def test_publish__and_watch_the_receipt_complete(desk: Desk) -> None:
    with desk.as_user("moderator") as page:
        with desk.hook("slow"):
            desk.publish(page)
            message = page.locator("[data-background-live]")
            before = message.inner_text()
            page.get_by_role("link", name="Receipt", exact=True).first.click()
            steps = page.locator(".background-timeline > li")
            expect(steps.filter(has_text="Purge cache")).to_have_count(1)
            expect(page.locator("[data-live-content] .icon-check").first).to_be_attached()
            assert page.locator(OPEN).count()
        # Nobody loads the page again: it does so by itself.
        expect(page.locator(OPEN)).to_have_count(0)
        assert page.locator("[data-live-content]").inner_text() != before
        assert page.locator("[data-live-said]").inner_text(), "the end is read out"
        assert desk.is_empty()

        page.goto(f"/admin/pages/{desk.post()}/history/")
        assert page.get_by_role("link", name="Receipts").count()


def test_publish__says_in_its_message_how_it_went_on(desk: Desk) -> None:
    with desk.as_user("moderator") as page, desk.hook("slow"):
        desk.publish(page)
        message = page.locator("[data-background-live] [data-live-content]")
        before = message.inner_text()
        (desk.folder / "hooks" / "slow").rename(desk.folder / "hooks" / "quick")
        expect(message).not_to_have_text(before)
        wait_until(desk.is_empty, "all tasks have ended")
        (desk.folder / "hooks" / "quick").rename(desk.folder / "hooks" / "slow")


@pytest.mark.parametrize("scripts", [True, False], ids=["", "without-javascript"])
def test_failure__is_told_and_leads_to_the_task_and_its_retry(desk: Desk, scripts: bool) -> None:
    with desk.as_user("moderator") as page, desk.hook("down"):
        with desk.hook("slow"):  # it fails after the page that Wagtail shows then
            desk.publish(page)
        wait_until(lambda: desk.count(FAILED), "the hook has failed")

    with desk.as_user("moderator", java_script_enabled=scripts) as page:
        told = open_next_page(page)
        expect(told).to_contain_text("Purge cache")
        assert not re.search(r"Traceback|purge_cache|ConnectionError", told.inner_text())
        link = told.get_by_role("link").first.get_attribute("href")
        assert link is not None
        page.goto(link)  # without scripts, Wagtail's words about that cover the message
        expect(page.locator(".background-task__sentence")).to_contain_text("the CDN answered 503")
        assert "Traceback" not in page.locator("main").inner_text()

        page.get_by_role("button", name="Retry").click()
        wait_until(lambda: desk.count(PURGED), "it has run again")
        if not scripts:
            expect(page.get_by_role("button", name="Retry")).to_have_count(0)  # the next page
            page.reload()
        expect(page.locator(".background-task__state")).to_contain_text("Succeeded")

        page.goto("/admin/")
        assert page.locator(".messages .error").count() == 0, "it is told once"


def open_next_page(page: Page) -> Locator:
    """Open Wagtail's home page; return the message of the failure."""
    page.goto("/admin/")
    told = page.locator(".messages .error")
    expect(told).to_have_count(1)
    return told


def test_listing__marks_a_page_of_which_a_task_failed(desk: Desk) -> None:
    with desk.as_user("moderator") as page:
        with desk.hook("down"):
            desk.publish(page)
            wait_until(lambda: desk.count(FAILED), "the hook has failed")
            wait_until(desk.is_empty, "all tasks have ended")
        [row] = desk.rows("SELECT page_ptr_id pk FROM blog_homepage")
        page.goto(f"/admin/pages/{row['pk']}/")
        mark = page.locator(".listing a.w-status:has(.icon-warning)")
        expect(mark).to_have_count(1)
        mark.click()
        expect(page.locator("main")).to_contain_text("Purge cache")


def test_no_worker__is_said_with_what_it_means(desk: Desk) -> None:
    with desk.as_user("admin") as page:
        desk.stop_worker()
        desk.publish(page)
        # Nothing is wrong yet: a worker may be about to be started again.
        desk.execute(
            "UPDATE wagtail_async_hooks_backgroundtask "
            "SET enqueued_at = datetime(enqueued_at, '-1 hour')"
        )
        page.goto("/admin/")
        banner = page.locator("main").get_by_text("no worker")
        expect(banner.first).to_be_visible()
        assert "search" in page.locator("main").inner_text(), "what it means for the site"
        page.goto("/admin/background-tasks/")
        expect(page.locator(".background-banner")).to_contain_text("no worker")

        desk.start_worker()
        wait_until(desk.is_empty, "all tasks have ended")
        page.goto("/admin/")
        expect(page.locator("main").get_by_text("no worker")).to_have_count(0)


def test_bulk_action__of_300_pages_shows_its_progress(desk: Desk) -> None:
    desk.run("make_drafts", "300")
    wait_until(desk.is_empty, "all tasks have ended")
    [parent] = desk.rows("SELECT id FROM wagtailcore_page WHERE slug = 'letters'")
    published = "SELECT COUNT(*) number FROM wagtailcore_page WHERE live AND slug LIKE 'post-%'"
    with desk.as_user("moderator") as page:
        action = "/admin/bulk/wagtailcore/page/publish/"
        page.goto(f"{action}?id=all&childOf={parent['id']}&next=/admin/pages/")
        page.locator("main form button[type=submit]").first.click()
        page.wait_for_url(re.compile(r"/background-tasks/bulk-action/|/admin/pages/"))
        if "bulk-action" not in page.url:
            page.locator(".messages a[href*=bulk-action]").click()
        bar = page.locator("progress")
        expect(bar).to_have_attribute("max", "300")
        seen = set()

        def is_full() -> bool:
            seen.add(int(bar.get_attribute("value") or 0))
            return 300 in seen

        wait_until(is_full, "all pages are published")
        assert len(seen) > 2, "it has moved on while somebody looked"
        expect(page.locator("[data-part=text]")).to_contain_text("300 of 300")
    assert desk.rows(published) == [{"number": 300}]
