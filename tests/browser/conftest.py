"""Fixtures: Chromium, and the site with its worker, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from playwright.sync_api import Browser

from tests.browser import chromium
from tests.browser.desk import Desk


@pytest.fixture(scope="module")
def browser(django_db_setup: None) -> Iterator[Browser]:
    """Chromium; skipped without one, or failed in CI."""
    if connection.vendor != "sqlite":
        pytest.skip("The site of the browser tests is on SQLite.")
    chromium.require()
    with chromium.started() as browser:
        yield browser


@pytest.fixture(scope="module")
def desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with a worker, on which nobody has done anything yet."""
    with Desk(tmp_path_factory.mktemp("desk"), browser) as desk:
        yield desk


@pytest.fixture(scope="module")
def quick_desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with a worker, and as little as can be beside, that starts soon."""
    commands = (("seed", "--pages", "1"),)
    with Desk(tmp_path_factory.mktemp("desk"), browser, commands, own=False) as desk:
        yield desk


@pytest.fixture(scope="module")
def history(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with a week of tasks, and no worker that would change them."""
    commands = (("seed", "--pages", "8"), ("seed_history",))
    with Desk(tmp_path_factory.mktemp("history"), browser, commands, worker=False) as desk:
        yield desk
