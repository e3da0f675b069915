"""``wagtail_worker`` told wrong things: one clear sentence, and no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.processes import Process
from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

DEAD_REDIS = '{"url": "redis://127.0.0.1:1/0"}'


def refusal(**options: Any) -> str:
    """Return the sentence with which the command ends."""
    with pytest.raises(CommandError) as refused:
        call_command("wagtail_worker", drain=True, **options)
    return str(refused.value)


def test_backend__blank(immediate: None) -> None:
    assert refusal() == (
        'WAGTAIL_TASKS["BACKEND"] is blank, so that hooks run in the request and there is nothing '
        'for a worker to do; set it to "database", "redis" or "celery".'
    )


def test_settings__all_mistakes_are_told(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "BACKND": 1, "WORKER": {"threads": 0}}
    said = refusal()
    assert 'WAGTAIL_TASKS has an unknown key "BACKND"; did you mean "BACKEND"?' in said
    assert 'WAGTAIL_TASKS["WORKER"]["threads"] should be a whole number from 1 to 1000' in said


def test_backend__that_does_not_exist(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "no.such.Storage"}
    assert refusal().startswith(
        "WAGTAIL_TASKS[\"BACKEND\"] is 'no.such.Storage', which cannot be imported"
    )


def test_backend__whose_options_do_not_fit(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "huey.storage.FileStorage",
        "BACKEND_OPTIONS": {"levels": 3},
    }
    said = refusal()
    assert "'huey.storage.FileStorage' does not work with WAGTAIL_TASKS" in said
    assert "missing 1 required positional argument: 'path'" in said


def test_redis__package_missing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    settings.WAGTAIL_TASKS = {"BACKEND": "redis"}
    assert 'run "pip install wagtail-async-hooks[redis]"' in refusal()


@pytest.mark.django_db
@pytest.mark.parametrize("option", ["--threads=0", "--threads=many", "--max-seconds=-1"])
def test_options__of_no_use(option: str) -> None:
    with pytest.raises(CommandError, match=option.partition("=")[0]):
        call_command("wagtail_worker", option)


@pytest.mark.slow
def test_tables__not_migrated(start: Callable[..., Process], tmp_path: Path) -> None:
    worker = start(
        "wagtail_worker",
        SITE_DATABASE="sqlite",
        SITE_DATABASE_NAME=str(tmp_path / "empty.sqlite3"),
    )
    assert worker.wait() == 1
    assert 'run "manage.py migrate wagtail_async_hooks' in worker.said()
    assert "Traceback" not in worker.said()


@pytest.mark.slow
def test_database__does_not_answer(start: Callable[..., Process]) -> None:
    # The demo's own settings: Django asks the database about a field of the tests' models.
    worker = start(
        "wagtail_worker",
        SITE_DATABASE="postgres",
        SITE_DATABASE_PORT="1",
        DJANGO_SETTINGS_MODULE="tests.site.settings",
    )
    assert worker.wait() == 1
    assert "The database 'default' of DATABASES does not answer" in worker.said()
    assert "Traceback" not in worker.said()


@pytest.mark.slow
def test_redis__does_not_answer(start: Callable[..., Process], committed_db: None) -> None:
    tasks.add(1, 2)
    worker = start(
        "wagtail_worker", "--drain", SITE_BACKEND="redis", SITE_BACKEND_OPTIONS=DEAD_REDIS
    )
    assert worker.wait() == 0
    assert "WAGTAIL_TASKS[\"BACKEND\"] is 'redis', which does not answer" in worker.said()
    assert worker.said().count("cannot be reached") == 1
    assert "Traceback" not in worker.said()
    assert BackgroundTask.objects.get().state == State.SUCCEEDED
