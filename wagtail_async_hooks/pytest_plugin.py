"""The fixture ``background_tasks`` for pytest-django; name this module in ``pytest_plugins``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wagtail_async_hooks.testing import BackgroundTasks


@pytest.fixture
def background_tasks(db: None) -> Iterator[BackgroundTasks]:
    """Record background tasks, and run none until the test says so."""
    from wagtail_async_hooks.testing import BackgroundTasks  # not above: the apps may not be ready

    with BackgroundTasks() as tasks:
        yield tasks
