"""``wagtail_tasks`` itself: which subcommands there are, and what all of them need."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.management.conftest import Ask
from tests.processes import Process
from wagtail_async_hooks.management import subcommands
from wagtail_async_hooks.management.commands.wagtail_tasks import known


def test_known__is_a_module_each() -> None:
    folder = Path(subcommands.__path__[0])
    modules = {path.stem.replace("_", "-") for path in folder.glob("[!_]*.py")}
    assert set(known()) == modules
    assert {"cancel", "discard", "hooks", "list", "retry", "run", "show", "status"} <= modules
    assert [name for name, subcommand in known().items() if not subcommand.help] == []


def test_subcommand__that_does_not_exist() -> None:
    with pytest.raises(CommandError, match="invalid choice: 'lst'"):
        call_command("wagtail_tasks", "lst")


def test_backend__blank(immediate: None, refusal: Ask) -> None:
    assert refusal("list") == (
        'WAGTAIL_TASKS["BACKEND"] is blank, so that there are no background tasks; set it to '
        '"database", "redis" or "celery".'
    )


def test_backend__blank_does_not_matter_to_hooks(immediate: None, ask: Ask) -> None:
    assert "hook after_publish_page" in ask("hooks")


def test_settings__all_mistakes_are_told(settings: Any, refusal: Ask) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "BACKND": 1}
    assert refusal("list") == ('WAGTAIL_TASKS has an unknown key "BACKND"; did you mean "BACKEND"?')


def test_tables__missing(no_table: None) -> None:
    with pytest.raises(CommandError, match=r'lacks the tables .*"manage.py migrate'):
        call_command("wagtail_tasks", "list", stdout=io.StringIO())


@pytest.mark.slow
def test_mistakes__in_a_shell_are_one_sentence(start: Callable[..., Process]) -> None:
    process = start("wagtail_tasks", "list", "--state", "faild")
    assert process.wait() == 1
    assert process.said() == 'CommandError: There is no state "faild"; did you mean "failed"?\n'
