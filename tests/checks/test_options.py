"""Tests of the checks of what has no effect: each one when it should speak, and when not."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import checks
from django.core.checks import CheckMessage
from django.dispatch import Signal
from django_tasks import task as django_task

from tests.checks.test_checks import said
from wagtail_async_hooks import hooks, receiver
from wagtail_async_hooks.utils.functions import label

shipped = Signal()
OURS = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"

pytestmark = pytest.mark.usefixtures("registries", "sources_read_once")


def announce(request: Any, page: Any) -> None:
    """A background function."""


def forget(request: Any, page: Any) -> None:
    """One for what is deleted."""


@django_task
def draw(number: int) -> None:
    """A task of ``TASKS``."""


@django_task(takes_context=True)
def draw_more(context: Any, number: int) -> None:
    """One that is passed its context."""


ANNOUNCE = f"{announce.__module__}.announce"
DRAW = f"{announce.__module__}.draw"


def register(**options: Any) -> None:
    """Have the function run in the background; the fixture ``registries`` undoes it."""
    hooks.register("after_publish_page", announce, background=True, **options)


def only(number: str) -> CheckMessage:
    """Return the one warning that there is."""
    [message] = said(number)
    assert message.level == checks.WARNING
    return message


# W010 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem", "hint"),
    [
        (
            {"retry_delay": 10},
            "has retry_delay, but no retries: it is not tried again.",
            "Set retries as well, or remove retry_delay.",
        ),
        (
            {"retry_backoff": 2, "retries": 0},
            "has retry_backoff, but no retries: it is not tried again.",
            "Set retries as well, or remove retry_backoff.",
        ),
        (
            {"retry_backoff": 2, "retries": 3},
            "has retry_backoff, but no retry_delay for it to change.",
            "Set retry_delay as well, or remove retry_backoff.",
        ),
        (
            {"expires": 60, "delay": 90},
            "expires after 60 seconds and is not begun for 90, so it never runs.",
            "Let expires be longer than delay.",
        ),
    ],
)
def test_check_options__contradict_each_other(
    settings: Any, options: dict[str, Any], problem: str, hint: str
) -> None:
    register(**options)

    message = only("W010")

    assert message.msg == (
        f'{ANNOUNCE}, which runs in the background for "after_publish_page", {problem}'
    )
    assert (message.hint, message.obj) == (hint, label(announce))


def test_check_options__as_the_settings_overrule_them(settings: Any) -> None:
    register(expires=60)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {"after_publish_page": {"delay": 60}}}

    assert "expires after 60 seconds and is not begun for 60" in only("W010").msg
    settings.WAGTAIL_TASKS["HOOKS"][ANNOUNCE] = {"expires": 120}
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS}
    assert said("W010") == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"retries": 3},
        {"retries": 3, "retry_delay": 1, "retry_backoff": 2},
        {"retries": 3, "retry_backoff": 1},
        {"retry_delay": 0},
        {"expires": 60, "delay": 30},
        {"delay": 30},
        {"supersede": True},
    ],
)
def test_check_options__fit(options: dict[str, Any]) -> None:
    register(**options)

    assert said("W010") == []


def test_check_options__not_of_what_runs_in_the_request(settings: Any) -> None:
    register(retry_delay=10)
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["after_publish_page"]

    assert said("W010") == []


def test_check_options__what_no_revision_supersedes(settings: Any) -> None:
    hooks.register("after_delete_page", forget, background=True, supersede=True)

    assert only("W010").msg.endswith("has supersede, but what is deleted has no newer revision.")


def test_check_options__of_tasks_and_of_the_schedule(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": OURS}}
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {DRAW: {"supersede": True}},
        "SCHEDULE": {"tidy": {"command": "check", "crontab": "1 1 * * *", "retry_delay": 5}},
    }

    assert sorted(message.msg for message in said("W010")) == [
        f"The task {DRAW} has supersede, but a task of TASKS is about no revision.",
        'WAGTAIL_TASKS["SCHEDULE"]["tidy"] has retry_delay, but no retries: it is not tried again.',
    ]


# W011 ---------------------------------------------------------------------------------------


def by_page(request: Any, page: Any) -> str:
    """Return a key."""
    return str(page.pk)


def by_pages(request: Any, pages: Any) -> str:
    """Return a key of other arguments."""
    return ""


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("{pge.pk}", "asks for 'pge' ('{pge.pk}'), but the arguments are (request, page)"),
        ("{}", "asks for '' ('{}'), but the arguments are (request, page)"),
        ("{pages[0]}", "asks for 'pages' ('{pages[0]}'), but the arguments are (request, page)"),
        ("{page.pk", "is no template ('{page.pk': expected '}' before end of string)"),
        (by_pages, "takes (request, pages), but gets (request, page)"),
    ],
)
@pytest.mark.parametrize("name", ["coalesce", "exclusive"])
def test_check_keys__cannot_be_made(name: str, key: Any, problem: str) -> None:
    register(**{name: key})

    assert only("W011").msg == (
        f'{ANNOUNCE}, which runs in the background for "after_publish_page", has a key {name}= '
        f"that {problem}, so its tasks have none."
    )


@pytest.mark.parametrize("key", ["all", "{page.pk} {request.user.pk!r:>3} {{}}", by_page])
def test_check_keys__can_be_made(key: Any) -> None:
    register(coalesce=key, exclusive=key)

    assert said("W011") == []


def test_check_keys__of_a_signal_that_may_pass_anything() -> None:
    receiver(shipped, background=True, coalesce="{order.pk}")(announce)

    assert said("W011") == []


def test_check_keys__of_tasks_and_of_the_schedule(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": OURS}}
    daily = {"function": "tests.work.tasks.greet", "crontab": "1 1 * * *"}
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {
            DRAW: {"coalesce": "{numbr}", "exclusive": "{number}"},
            f"{DRAW}_more": {"coalesce": "{context}", "exclusive": "{number}"},
        },
        "SCHEDULE": {
            "greet": {**daily, "kwargs": {"name": "Ada"}, "exclusive": "{nme}"},
            "again": {**daily, "kwargs": {"name": "Ada"}, "exclusive": "{name}"},
        },
    }

    assert [message.msg.partition(" has a key")[0] for message in said("W011")] == [
        f"The task {DRAW}",
        f"The task {DRAW}_more",
        'WAGTAIL_TASKS["SCHEDULE"]["greet"]',
    ]


# W012 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["after_publish_page", ANNOUNCE])
def test_check_effect__options_of_what_runs_in_the_request(settings: Any, kept: str) -> None:
    register()
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {ANNOUNCE: {"priority": 5}}}
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [kept]

    assert only("W012").msg == (
        f'WAGTAIL_TASKS["HOOKS"] has options of "{ANNOUNCE}", which WAGTAIL_TASKS_SYNC_HOOKS keeps '
        "in the request."
    )


def test_check_effect__options_of_what_runs_in_the_background(settings: Any) -> None:
    register()
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {ANNOUNCE: {"priority": 5}, "after_move_page": {}, "on_order": {"arguments": []}},
    }
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["after_move_page", "on_order"]

    assert said("W012") == []


@pytest.mark.parametrize(
    ("backend", "told"),
    [(OURS, 0), ("django_tasks.backends.immediate.ImmediateBackend", 1), ("no.such.Backend", 1)],
)
def test_check_effect__options_of_a_task_that_runs_elsewhere(
    settings: Any, backend: str, told: int
) -> None:
    settings.TASKS = {"default": {"BACKEND": backend}}
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {DRAW: {"priority": 5}}}

    messages = said("W012")

    assert [message.msg for message in messages] == told * [
        f'WAGTAIL_TASKS["HOOKS"] has options of the task "{DRAW}", but TASKS["default"] does not '
        "lead to wagtail_async_hooks."
    ]
    assert all(OURS in message.hint for message in messages)


def test_check_effect__arguments_of_a_hook_of_wagtails_own(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"after_move_page": {"arguments": ["page"]}, "on_order": {"arguments": ["page"]}},
    }

    assert only("W012").msg == (
        'WAGTAIL_TASKS["HOOKS"]["after_move_page"]["arguments"] is about a hook of Wagtail\'s own, '
        "whose arguments are known."
    )


@pytest.mark.parametrize(
    "given",
    [
        {"SCHEDULE": {"tidy": {"command": "check", "crontab": "1 1 * * *"}}},
        {"SCHEDULED_PUBLISHING": True},
    ],
)
def test_check_effect__what_only_a_worker_does(settings: Any, given: dict[str, Any]) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "", **given}

    [name] = given
    assert only("W012").msg == (
        f'WAGTAIL_TASKS["{name}"] is set, but WAGTAIL_TASKS["BACKEND"] is blank: there is no '
        "worker that does it."
    )
    settings.WAGTAIL_TASKS = {"BACKEND": "database", **given}
    assert said("W012") == []


# W013 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("WAGTAIL_TASK", "Did you mean WAGTAIL_TASKS?"),
        ("WAGTAILTASKS", "Did you mean WAGTAIL_TASKS?"),
        ("WAGTAIL_TASKS_SYNC_HOOK", "Did you mean WAGTAIL_TASKS_SYNC_HOOKS?"),
        ("WAGTAIL_TASKS_WORKER", "Known are: WAGTAIL_TASKS, WAGTAIL_TASKS_SYNC_HOOKS."),
    ],
)
def test_check_setting_names__almost_as_ours(settings: Any, name: str, hint: str) -> None:
    setattr(settings, name, {})

    message = only("W013")

    assert message.msg.startswith(f"There is no setting {name} of wagtail_async_hooks")
    assert message.hint == hint


def test_check_setting_names__of_others(settings: Any) -> None:
    settings.WAGTAIL_SITE_NAME = settings.TASKS_OF_WAGTAIL = "ours"

    assert said("W013") == []
