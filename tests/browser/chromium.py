"""Chromium, as Debian packages it, driven by Playwright."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

PATH: Final = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))

ABSENT: Final = (
    f"There is no Chromium at {PATH}: install Debian's package chromium, or set CHROMIUM to the "
    "path of one."
)


def require() -> None:
    """Skip the test without a Chromium; fail where ``CI`` is set."""
    if PATH.exists():
        return
    if os.environ.get("CI"):
        pytest.fail(ABSENT, pytrace=False)
    pytest.skip(ABSENT)


@contextmanager
def started() -> Iterator[Browser]:
    """Start a Chromium that asks nobody but the site.

    Until it has ended, an event loop runs in this thread, where Django refuses to use the database.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=PATH,
            args=["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"],
        )
        try:
            yield browser
        finally:
            browser.close()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
