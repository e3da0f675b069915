"""Tests of modules that are loaded again, or that cannot be loaded."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.apps import AppConfig, apps
from django.core.management import call_command
from django.db.models.signals import post_save
from django.http import HttpRequest
from wagtail import hooks as wagtail_hooks
from wagtail.models import Page

from wagtail_async_hooks import background
from wagtail_async_hooks.checks.modules import check_task_modules
from wagtail_async_hooks.hooks import discovery, registry
from wagtail_async_hooks.models import BackgroundTask

HOOKS = """
from django.db.models.signals import post_save
from wagtail.models import Site
from wagtail_async_hooks import background, hooks, receiver

@hooks.register("after_publish_page", background=True)
def purge(request, page):
    pass

@receiver(post_save, sender=Site, background=True)
def hear(sender, instance, **kwargs):
    pass

@background.task()
def work():
    return {number}
"""


@pytest.fixture
def module(tmp_path: Path, registries: None, monkeypatch: Any) -> Iterator[ModuleType]:
    """A module with a hook, a receiver and a task, in a file that can be changed."""
    (tmp_path / "reloaded_hooks.py").write_text(HOOKS.format(number=1))
    monkeypatch.syspath_prepend(str(tmp_path))
    receivers = list(post_save.receivers)
    yield importlib.import_module("reloaded_hooks")
    post_save.receivers[:] = receivers
    post_save.sender_receivers_cache.clear()
    del sys.modules["reloaded_hooks"]


@pytest.mark.django_db
def test_reload__takes_the_place_of_what_was_registered(
    module: ModuleType, editor_request: HttpRequest, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    kept = len(registry.kept_synchronous)
    assert module.__file__ is not None
    Path(module.__file__).write_text(HOOKS.format(number=22))
    importlib.reload(module)

    for function in wagtail_hooks.get_hooks("after_publish_page"):
        if getattr(getattr(function, "__wrapped__", None), "__module__", "") == "reloaded_hooks":
            function(editor_request, Page.get_first_root_node())
    from wagtail.models import Site

    Site.objects.get().save()
    module.work()

    assert len(registry.kept_synchronous) == kept
    ours = BackgroundTask.objects.filter(name__contains="reloaded_hooks")
    assert sorted(ours.values_list("function", flat=True)) == [
        "reloaded_hooks.hear",
        "reloaded_hooks.purge",
        "reloaded_hooks.work",
    ]
    while (task := background.next()) is not None:
        value = background.execute(task)
    assert value == 22


def test_task__made_twice_by_one_module_is_refused(registries: None) -> None:
    def twice() -> None:
        """Do nothing."""

    background.task()(twice)
    with pytest.raises(ValueError, match=r"Specify a different name="):
        background.task()(twice)


class Nameless:
    """Callable, and without a name."""

    def __call__(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("given", [functools.partial(print, 1), Nameless()])
def test_task__of_what_has_no_name(given: Any) -> None:
    with pytest.raises(TypeError, match=r"has no name by which a worker could find it"):
        background.task()(given)


# Modules that cannot be imported ------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path, monkeypatch: Any) -> Iterator[Callable[[str], None]]:
    """Install an app with such a module of tasks."""
    (tmp_path / "brokenapp").mkdir()
    (tmp_path / "brokenapp" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(source: str) -> None:
        (tmp_path / "brokenapp" / "tasks.py").write_text(source)
        # Not by INSTALLED_APPS: other apps cannot be loaded twice in a process.
        configs = [*apps.get_app_configs(), AppConfig.create("brokenapp")]
        installed = SimpleNamespace(get_app_configs=lambda: configs)
        monkeypatch.setattr(discovery, "apps", installed)

    yield install
    for name in [name for name in sys.modules if name.startswith("brokenapp")]:
        del sys.modules[name]


BROKEN = {
    "from celery_that_is_not_there import shared_task": "ModuleNotFoundError: No module named",
    "def broken(:": "SyntaxError: invalid syntax",
    "import sys; sys.exit(3)": "SystemExit: 3",
    "class Own(BaseException): pass\nraise Own('no')": "Own: no",
    "raise ValueError('a\\x1b[31m\\nb')": r"ValueError: a\x1b[31m b",
    "from wagtail_async_hooks import background\n"
    "@background.task()\ndef half(): pass\n"
    "raise ValueError('half')": "ValueError: half",
}


@pytest.mark.django_db
@pytest.mark.parametrize("source", BROKEN)
def test_tasks__that_cannot_be_imported_are_named(
    app: Callable[[str], None],
    registries: None,
    settings: Any,
    source: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    app(source)

    [warning] = check_task_modules()
    assert "brokenapp.tasks cannot be imported" in warning.msg
    assert BROKEN[source] in warning.msg
    assert len(warning.msg.splitlines()) == 1

    said = StringIO()
    call_command("wagtail_tasks", "list", "--json", stdout=said)
    assert json.loads(said.getvalue()) == []
    [line] = [r.getMessage() for r in caplog.records if "brokenapp" in r.getMessage()]
    assert BROKEN[source] in line
    assert len(line.splitlines()) == 1


@pytest.mark.django_db
def test_tasks__that_print_do_not_spoil_json(
    app: Callable[[str], None], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    app("print('hello')")

    call_command("wagtail_tasks", "list", "--json")

    printed = capsys.readouterr()
    assert json.loads(printed.out) == []
    assert "hello" in printed.err


def test_tasks__there_are_none_that_fail(registries: None) -> None:
    assert discovery.import_tasks() == []
