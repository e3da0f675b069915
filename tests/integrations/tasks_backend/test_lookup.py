"""Tests of finding the task that a message names."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

import tests.work
from tests.limits import PATIENCE
from wagtail_async_hooks.exceptions import UnknownTask
from wagtail_async_hooks.integrations.tasks_backend.apis import APIS
from wagtail_async_hooks.integrations.tasks_backend.lookup import find

MODULE = "tests.work.imported_late"

begun, opened = threading.Event(), threading.Event()


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of an installed app, whose import stops halfway until ``opened`` is set."""
    (tmp_path / "imported_late.py").write_text(
        "from django_tasks import task\n"
        "from tests.integrations.tasks_backend.test_lookup import begun, opened\n"
        "begun.set()\n"
        "opened.wait(180)\n"
        "@task()\n"
        "def late(): ...\n"
    )
    monkeypatch.setattr(tests.work, "__path__", [*tests.work.__path__, str(tmp_path)])
    yield
    opened.set()
    sys.modules.pop(MODULE, None)
    vars(tests.work).pop("imported_late", None)


def test_find__awaits_another_threads_import(late: None) -> None:
    """The first two tasks of a module come to two threads of a worker at once."""

    def find_late() -> Any:
        return find(f"{MODULE}.late", APIS["django_tasks"])

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(find_late)
        assert begun.wait(PATIENCE)
        second = threads.submit(find_late)
        wait([second], timeout=0.2)  # what does not wait for the import fails at once
        opened.set()

        assert first.result(60) is second.result(60)


@pytest.mark.parametrize("path", ["os.system", "antigravity.fly", "late", ""])
def test_find__imports_nothing_but_the_sites_own(path: str) -> None:
    with pytest.raises(UnknownTask, match="is no task of django_tasks in this process"):
        find(path, APIS["django_tasks"])

    assert "antigravity" not in sys.modules
