"""Tests of ``wagtail_tasks prune``."""

from __future__ import annotations

from typing import Any

from tests.management.conftest import Ask
from tests.worker.test_pruning import left, make
from wagtail_async_hooks.types import State


def test_prune__by_the_settings(ask: Ask) -> None:
    make(State.SUCCEEDED, 40)
    kept = make(State.FAILED, 8)
    assert ask("prune") == ["1 task pruned."]
    assert left() == [kept]


def test_prune__by_days(ask_json: Ask, refusal: Ask) -> None:
    make(State.SUCCEEDED, 6)
    make(State.FAILED, 8)
    assert ask_json("prune", "--days", 7.5) == {"pruned": 1}
    assert refusal("prune", "--days", -1) == "--days should be from 0 to 36500, not -1."


def test_prune__with_mistakes_in_the_settings(settings: Any, refusal: Ask) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HISTORY": {"failed": -1}}
    assert '"HISTORY"]["failed"] should be a number' in refusal("prune")
