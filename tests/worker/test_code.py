"""Tests of the hashes by which a worker says which code it runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.processes import wait_until
from wagtail_async_hooks.hooks import discovery
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.worker import code, identity

HOOKS = """
from wagtail_async_hooks import background, hooks

@hooks.register("after_publish_page", background=True)
def purge(request, page):
    pass

@background.task()
def work():
    return {number}
"""


@pytest.fixture
def module(tmp_path: Path, registries: None, monkeypatch: Any) -> Iterator[ModuleType]:
    """A module with a hook and a task, in a file that can be changed."""
    (tmp_path / "changed_hooks.py").write_text(HOOKS.format(number=1))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("changed_hooks")
    del sys.modules["changed_hooks"]


def test_hashes__are_of_what_workers_import() -> None:
    discovery.import_all()
    found = code.hashes()
    assert {"tests.site.blog.wagtail_hooks", "tests.site.blog.tasks", "tests.work.tasks"} <= set(
        found
    )
    # Another test may have imported the benchmarks' tasks into this process.
    assert {name.partition(".")[0] for name in found} <= {"tests", "benchmarks"}


def test_hashes__of_a_module_that_is_changed(module: ModuleType) -> None:
    before = code.hashes()
    assert module.__name__ in before
    assert module.__file__ is not None

    Path(module.__file__).write_text(HOOKS.format(number=2))

    assert code.changed(before, code.hashes()) == [module.__name__]
    Path(module.__file__).unlink()
    assert module.__name__ not in code.hashes()


def test_changed__compares_what_both_have_imported() -> None:
    assert code.changed({"a": "1", "b": "2"}, {"a": "1", "c": "3"}) == []
    assert code.changed({"a": "1", "b": "2"}, {"a": "9", "b": "2"}) == ["a"]


@pytest.mark.django_db
def test_register__says_which_code_it_is() -> None:
    row = identity.register(1, "", 0)
    assert Worker.objects.get(pk=row.pk).code == code.hashes()


@pytest.mark.slow
def test_worker__runs_the_same_code_as_another_process(start: Any) -> None:
    start("wagtail_worker")
    row = wait_until(Worker.objects.first, "a worker is there")
    discovery.import_all()
    here = code.hashes()
    assert "tests.site.blog.wagtail_hooks" in row.code
    assert code.changed(row.code, here) == []
