"""Tests of ``wagtail_tasks hooks``."""

from __future__ import annotations

from typing import Any

from tests.management.conftest import Ask


def test_hooks__for_people(settings: Any, ask: Ask) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"after_publish_page": {"priority": 50}},
    }
    lines = ask("hooks")
    first = lines.index("hook after_publish_page")
    assert lines[first + 1].startswith("  tests.site.blog.wagtail_hooks.")
    assert lines[first + 2].split() == [
        "priority",
        "50",
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"]',
    ]
    assert any(line.startswith("    by default: ") and "retries 0" in line for line in lines)


def test_hooks__long_values_stand_apart_from_their_source(settings: Any, ask: Ask) -> None:
    title, source = "Draw the image of {page} for visitors", "after_publish_page"
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {source: {"title": title}}}

    assert f'    title         {title} WAGTAIL_TASKS["HOOKS"]["{source}"]' in ask("hooks")


def test_hooks__kept_in_the_request(settings: Any, ask: Ask) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["after_publish_page"]
    assert "  in the request: WAGTAIL_TASKS_SYNC_HOOKS" in ask("hooks")


def test_hooks__as_json(ask_json: Ask) -> None:
    found = [each for each in ask_json("hooks") if each["hook"] == "after_publish_page"]
    assert found
    assert found[0]["kind"] == "hook"
    assert {"name": "retries", "value": 0, "source": "default"} in found[0]["options"]
