"""Tests of how subcommands choose tasks, and of what they say to names that cannot be right."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.core.management import CommandError
from django.utils import timezone

from tests.draining import run_all
from tests.management.conftest import Ask
from tests.work import tasks
from wagtail_async_hooks.management.filters import duration
from wagtail_async_hooks.models import BackgroundTask


@pytest.fixture
def some(db: None) -> None:
    """A task that has succeeded, one that has failed, and one that waits in another queue."""
    tasks.add(1, 2)
    tasks.fail()
    run_all()
    tasks.add(3, 4)
    BackgroundTask.objects.filter(state="waiting").update(queue="slow", hook="after_edit_page")
    BackgroundTask.objects.filter(state="failed").update(
        enqueued_at=timezone.now() - datetime.timedelta(days=8)
    )


@pytest.mark.parametrize(
    ("options", "states"),
    [
        ((), ["waiting", "failed", "succeeded"]),
        (("--state=failed",), ["failed"]),
        (("--state=failed", "--state=waiting"), ["waiting", "failed"]),
        (("--hook=after_edit_page",), ["waiting"]),
        (("--function=tests.work.tasks.add",), ["waiting", "succeeded"]),
        (("--queue=slow",), ["waiting"]),
        (("--older-than=7d",), ["failed"]),
        (("--older-than=2w",), []),
        (("--state=succeeded", "--queue=slow"), []),
    ],
)
def test_chosen(options: Any, states: list[str], some: None, ask_json: Ask) -> None:
    assert [task["state"] for task in ask_json("list", *options)] == states


def test_chosen__a_command_by_its_name(ask: Ask, ask_json: Ask) -> None:
    ask("run", "check")
    assert [task["function"] for task in ask_json("list", "--function=check")] == [
        "manage.py check"
    ]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--state=faild", 'There is no state "faild"; did you mean "failed"?'),
        (
            "--hook=after_publish_pge",
            'No hook is named "after_publish_pge"; did you mean "after_publish_page"?',
        ),
        (
            "--function=tests.work.tasks.ad",
            'No function is named "tests.work.tasks.ad"; did you mean "tests.work.tasks.add"?',
        ),
        ("--queue=slwo", 'No queue is named "slwo"; did you mean "slow"?'),
        ("--queue=nothing-like-it", 'No queue is named "nothing-like-it".'),
        (
            "--older-than=soon",
            '--older-than should be a time such as 90s, 30m, 12h or 7d, not "soon".',
        ),
    ],
)
def test_chosen__what_cannot_be_right(option: str, told: str, some: None, refusal: Ask) -> None:
    assert refusal("list", option) == told


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5m", 90), ("12h", 43_200), ("7d", 604_800), ("0s", 0)]
)
def test_duration(text: str, seconds: float) -> None:
    assert duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "7 d", "7y", "9" * 400 + "d"])
def test_duration__is_none(text: str) -> None:
    with pytest.raises(CommandError, match="should be a time"):
        duration(text)
