"""Tests of the listing: which functions run in the background, and where options came from."""

from __future__ import annotations

from typing import Any

import pytest
from wagtail.signals import page_published

from wagtail_async_hooks import background, hooks, receiver
from wagtail_async_hooks.monitoring import registered
from wagtail_async_hooks.monitoring.registered import Listed, Option

pytestmark = pytest.mark.usefixtures("registries")


def warm_cache(request: Any, page: Any) -> None:
    """Never called."""


def key_of(page: Any) -> str:
    """Never called."""
    return ""


def listed(function: str) -> list[Listed]:
    """Return what is listed of a function."""
    return [each for each in registered.listed() if each.function.endswith(function)]


def options(each: Listed) -> dict[str, Any]:
    """Return value and source of the options that somebody has set."""
    return {o.name: (o.value, o.source) for o in each.options if o.source != "default"}


def test_listed__all_that_a_task_was_given(registries: None) -> None:
    @background.task(queue="slow", coalesce="{a}", discard_on="OSError", title="Add {a}")
    def kept_apart(a: int) -> None:
        """Never called."""

    [each] = listed("kept_apart")

    assert options(each) == {
        "queue": ("slow", "task()"),
        "coalesce": ("{a}", "task()"),
        "discard_on": ("OSError", "task()"),
        "title": ("Add {a}", "task()"),
    }
    assert "slow" in registered.queues()


def test_listed__the_strongest_says_it(settings: Any) -> None:
    path = f"{__name__}.warm_cache"
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {
            "after_publish_page": {"priority": 5, "retries": 2, "retry_delay": 9},
            path: {"priority": 7},
        },
    }
    hooks.register(
        "after_publish_page",
        warm_cache,
        background=True,
        priority=1,
        retries=1,
        delay=3,
        coalesce="{page.pk}",
        exclusive=key_of,
    )

    [each] = listed("warm_cache")

    assert (each.kind, each.hook, each.function) == ("hook", "after_publish_page", path)
    assert options(each) == {
        "priority": (7, f'WAGTAIL_TASKS["HOOKS"]["{path}"]'),
        "retries": (2, 'WAGTAIL_TASKS["HOOKS"]["after_publish_page"]'),
        "retry_delay": (9, 'WAGTAIL_TASKS["HOOKS"]["after_publish_page"]'),
        "delay": (3, "register()"),
        "coalesce": ("{page.pk}", "register()"),
        "exclusive": (f"{__name__}.key_of", "register()"),
    }
    defaults = {o.name: o.value for o in each.options if o.source == "default"}
    assert (defaults["retry_backoff"], defaults["expires"]) == (0, None)


def test_listed__is_what_a_task_gets(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"after_publish_page": {"priority": 5}},
    }
    hooks.register("after_publish_page", warm_cache, background=True, retries=4)
    from wagtail_async_hooks.hooks import registry

    entry = registry.entries["after_publish_page", f"{__name__}.warm_cache"]
    [each] = listed("warm_cache")
    in_force = {o.name: o.value for o in each.options if o.source != "default"}
    assert in_force == {n: v for n, v in entry.options_now().items().items() if v is not None}


def test_listed__a_receiver() -> None:
    def connect() -> None:
        receiver(page_published, background=True, priority=3)(warm_cache)

    before = list(page_published.receivers)
    try:
        connect()
        [each] = listed("warm_cache")
    finally:
        page_published.receivers[:] = before
        page_published.sender_receivers_cache.clear()
    assert (each.kind, each.hook) == ("signal", "page_published")
    assert options(each) == {"priority": (3, "receiver()")}


def test_listed__a_task_of_ours() -> None:
    background.task(retries=2, priority=4, name="a_task")(warm_cache)
    [each] = listed("warm_cache")
    assert (each.kind, each.hook) == ("task", "")
    assert options(each) == {"retries": (2, "task()"), "priority": (4, "task()")}


def test_listed__a_task_of_tasks(settings: Any) -> None:
    path = "wagtail.tasks.update_reference_index_task"
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {path: {"priority": 4}}}
    [each] = listed(path)
    assert each.kind == "TASKS"
    assert options(each)["priority"] == (4, f'WAGTAIL_TASKS["HOOKS"]["{path}"]')
    assert options(each)["retries"] == (3, "wagtail_async_hooks")


def test_listed__what_runs_in_the_request_says_why(settings: Any) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["after_edit_page"]
    hooks.register("after_edit_page", warm_cache, background=True)
    hooks.register("construct_main_menu", warm_cache, background=True)
    hooks.register("after_edit_page", lambda request, page: None, background=True)

    told = {each.hook: each.synchronous for each in listed("warm_cache")}
    [unnamed] = listed("<lambda>")

    assert told == {
        "after_edit_page": "WAGTAIL_TASKS_SYNC_HOOKS",
        "construct_main_menu": (
            "the hook is not background-safe: Wagtail needs its answer, or its timing"
        ),
    }
    assert unnamed.synchronous == "a worker cannot find a lambda again, it has no name"


def test_functions_known() -> None:
    known = registered.functions_known()
    assert {"tests.work.tasks.add", "manage.py check"} <= known
    assert "wagtail_async_hooks.run_command" not in known
    assert Option("priority", 0, "default").source == registered.DEFAULT
