"""Tests of what is known of functions: which of them a name leads to."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from tests.work import jobs
from wagtail_async_hooks.utils import functions


def test_find__a_function_of_an_installed_app() -> None:
    assert functions.find("tests.work.jobs.note") is jobs.note


@pytest.mark.parametrize(
    "path",
    [
        "subprocess.run",  # of no app
        "tests.utils.test_functions.test_find__nothing_else",
        "tests.work.jobs.leave_trace",  # imported there, not defined
        "tests.work.jobs.calls",  # no function
        "tests.work.jobs.nothing",
        "tests.work.jobs.note.__call__",
        "tests.site.blog.models.BlogPage",
        "tests.site.blog.models.BlogPage.get_context",
        "tests.work",
        "note",
        "",
    ],
)
def test_find__nothing_else(path: str) -> None:
    assert functions.find(path) is None


def test_find__imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tests.work.jobs")

    assert functions.find("tests.work.jobs.note") is None
    assert "tests.work.jobs" not in sys.modules


def test_find__asks_no_module_for_what_it_has_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    lazy = ModuleType("tests.work.lazy")
    lazy.__getattr__ = asked.append  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, lazy.__name__, lazy)

    assert functions.find("tests.work.lazy.note") is None
    assert "note" not in asked
