"""Tests of ``wagtail_tasks hooks``."""

from __future__ import annotations

from typing import Any

from wagtail import hooks as wagtail_hooks

from tests.management.conftest import Ask
from tests.neighbour import caching


def test_hooks__for_people(settings: Any, ask: Ask) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"after_publish_page": {"priority": 50}},
    }
    lines = ask("hooks")
    first = lines.index("hook after_publish_page")
    assert lines[first + 1].startswith("  tests.site.blog.wagtail_hooks.")
    assert lines[first + 2] == "  in the background: it was registered with background=True"
    assert lines[first + 3].split() == ["priority", "50"]
    assert lines[first + 4] == '      by WAGTAIL_TASKS["HOOKS"]["after_publish_page"]'
    assert any(line.startswith("    by default: ") and "retries 0" in line for line in lines)


def test_hooks__long_values_stand_apart_from_their_source(settings: Any, ask: Ask) -> None:
    title, source = "Draw the image of {page} for visitors", "after_publish_page"
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {source: {"title": title}}}

    lines = ask("hooks")

    first = lines.index(f"    title         {title}")
    assert lines[first + 1] == f'      by WAGTAIL_TASKS["HOOKS"]["{source}"]'


def test_hooks__kept_in_the_request(settings: Any, ask: Ask) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["after_publish_page"]
    told = "  in the request: it is kept in the request by WAGTAIL_TASKS_SYNC_HOOKS"
    assert told in ask("hooks")


def test_hooks__what_could_be_moved_comes_first(ask: Ask, registries: None) -> None:
    wagtail_hooks.register("after_publish_page", caching.purge)
    wagtail_hooks.register("after_edit_page", caching.posted)

    lines = ask("hooks")

    first = lines.index("  tests.neighbour.caching.purge")
    assert lines[first - 1] == "hook after_publish_page"
    assert lines[first + 1] == "  in the request: it could run in the background"
    assert (
        '    WAGTAIL_TASKS["HOOKS"]["tests.neighbour.caching.purge"] = {"background": True}'
        in lines
    )
    assert first < lines.index("  in the background: it was registered with background=True")
    assert "  It reads request.POST, which a worker does not have." in lines
    assert not any('caching.posted"]' in line for line in lines)


def test_hooks__all(ask: Ask) -> None:
    gate = "  wagtail_async_hooks.wagtail_hooks.copy_page"
    assert gate not in ask("hooks")
    lines = ask("hooks", "--all")
    assert lines[lines.index(gate) + 1] == (
        "  in the request: it must act before the change, which it may refuse"
    )


def test_hooks__as_json(ask_json: Ask) -> None:
    found = [each for each in ask_json("hooks") if each["hook"] == "after_publish_page"]
    assert found
    assert found[0]["kind"] == "hook"
    assert found[0]["where"] == "background"
    assert found[0]["reason"] == "was registered with background=True"
    assert {"name": "retries", "value": 0, "source": "default"} in found[0]["options"]
