"""What those do in the reports who look after all tasks: retry a group of a thousand, and pause."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.desk import Desk
from tests.limits import PATIENCE
from tests.processes import wait_until

pytestmark = pytest.mark.slow

expect.set_options(timeout=PATIENCE * 1000 / 6)

FRAGILE = "function LIKE '%.fragile'"


def test_errors__a_group_of_a_thousand_is_retried_with_two_clicks(desk: Desk) -> None:
    with desk.hook("down"):
        desk.run("enqueue_fragile", "1000")
        wait_until(lambda: desk.count(f"{FRAGILE} AND state = 'failed'") == 1000, "all have failed")

    with desk.as_user("admin") as page:
        page.goto("/admin/background-tasks/errors/")
        row = page.locator("tr", has_text="Fragile")
        expect(row).to_contain_text("1,000")
        row.get_by_role("link").first.click()
        page.get_by_role("button", name="Retry").click()
        expect(page.locator(".messages .success")).to_contain_text("1000 tasks")
        wait_until(
            lambda: desk.count(f"{FRAGILE} AND state = 'succeeded'") == 1000, "all have succeeded"
        )
        page.goto("/admin/background-tasks/errors/")
        assert "Fragile" not in page.locator("main").inner_text()


def test_selection__all_that_match_is_told_before_it_is_done(desk: Desk) -> None:
    with desk.hook("down"):
        desk.run("enqueue_fragile", "60")
        wait_until(lambda: desk.count(f"{FRAGILE} AND state = 'failed'") == 60, "all have failed")

    with desk.as_user("admin") as page:
        page.goto("/admin/background-tasks/?state=failed")
        page.get_by_label("All 60 that match").check()
        page.get_by_role("button", name="Do something").click()
        page.get_by_role("button", name="Retry 60").click()
        wait_until(lambda: not desk.count(f"{FRAGILE} AND state = 'failed'"), "they run again")
    wait_until(desk.is_empty, "all tasks have ended")


def test_pause__holds_a_queue_until_it_is_resumed(desk: Desk) -> None:
    wait_until(desk.is_empty, "all tasks have ended")
    with desk.as_user("admin") as page:
        page.goto("/admin/background-tasks/queues/")
        queue = page.locator("tr", has_text="default")
        queue.get_by_role("link", name="Pause").click()
        page.fill("[name=reason]", "The CDN is moved.")
        page.locator("main").get_by_role("button", name="Pause").click()
        expect(page.locator(".messages .success")).to_contain_text("Paused")
        expect(queue).to_contain_text("The CDN is moved.")

        wait_for_workers(desk)
        desk.run("enqueue_fragile", "3")
        page.goto("/admin/background-tasks/?state=waiting")
        expect(page.locator("table.listing")).to_contain_text("Fragile")
        assert desk.count(f"{FRAGILE} AND state = 'waiting'") == 3

        page.goto("/admin/background-tasks/queues/")
        queue.get_by_role("button", name="Resume").click()
        wait_until(desk.is_empty, "all tasks have ended")


def wait_for_workers(desk: Desk) -> None:
    """Return once the worker has seen the pause: at its next heartbeat but one, at the latest."""
    heartbeat = "SELECT MAX(heartbeat_at) at FROM wagtail_async_hooks_worker"
    for _ in range(2):
        [before] = desk.rows(heartbeat)
        wait_until(lambda before=before: desk.rows(heartbeat) != [before], "the worker lives")


def test_test_task__times_each_hop(desk: Desk) -> None:
    with desk.as_user("admin") as page:
        page.goto("/admin/background-tasks/workers/")
        page.get_by_role("button", name="test task").first.click()
        expect(page.locator("main")).to_contain_text("Background tasks are run.")
