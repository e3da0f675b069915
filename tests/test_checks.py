"""Tests of the system checks: each one when it should speak, and when it should not."""

import ast
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import background, dispatch, hooks
from wagtail_async_hooks.checks import check_hook_names, check_hooks

IDS = ("E001", "E002", "W001", "W002", "W003", "W004", "W005")


def said(number: str) -> list[CheckMessage]:
    """Return what Django's ``check`` command says under one of our numbers."""
    name = f"wagtail_async_hooks.{number}"
    found = checks.run_checks(tags=[checks.Tags.compatibility])
    return [message for message in found if message.id == name]


def hook_function(request: Any, page: Any) -> None:
    """A function that a worker can find again."""


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """Forget afterwards what a test registers."""
    known = (dispatch.registry, background._registry._registry)
    before = [dict(registry) for registry in known]
    kept = list(dispatch.kept_synchronous)
    yield
    for registry, contents in zip(known, before, strict=True):
        registry.clear()
        registry.update(contents)
    dispatch.kept_synchronous[:] = kept


@pytest.fixture
def on() -> Iterator[Callable[..., None]]:
    """Register functions to run in the background, until the test ends."""
    with ExitStack() as stack:

        def register(hook: str, function: Any) -> None:
            stack.enter_context(hooks.register_temporarily(hook, function, background=True))

        yield register


@pytest.mark.parametrize("number", IDS)
def test_checks__say_nothing_about_the_demo_site(number: str) -> None:
    assert said(number) == []


@pytest.mark.parametrize("number", IDS)
def test_checks__say_nothing_about_a_site_without_settings(settings: Any, number: str) -> None:
    settings.WAGTAIL_TASKS = {}

    assert said(number) == []


@pytest.mark.parametrize("check", [check_hooks, check_hook_names])
def test_checks__look_for_hooks_first(
    monkeypatch: pytest.MonkeyPatch, check: Callable[..., Any]
) -> None:
    monkeypatch.setattr(wagtail_hooks, "_searched_for_hooks", False)

    list(check())

    assert wagtail_hooks._searched_for_hooks


@pytest.fixture
def elsewhere(settings: Any) -> Iterator[Callable[..., None]]:
    """Let there be another database, which is never connected to; all tables are in it."""

    def put(engine: str = "django.db.backends.sqlite3", **options: str) -> None:
        remove()
        database = {"ENGINE": engine, "NAME": "never made", "OPTIONS": options}
        configured = connections.configure_settings({"default": {}, "elsewhere": database})
        connections.settings["elsewhere"] = configured["elsewhere"]
        settings.DATABASE_ROUTERS = [f"{__name__}.AllElsewhere"]

    def remove() -> None:
        if hasattr(connections._connections, "elsewhere"):
            del connections["elsewhere"]
        connections.settings.pop("elsewhere", None)

    yield put
    remove()


# E001 ---------------------------------------------------------------------------------------


def test_check_settings__every_mistake(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKND": "database", "WORKER": {"threads": 0}}
    settings.WAGTAIL_TASKS_SYNC_HOOKS = "after_edit_page"

    found = said("E001")

    assert [message.level for message in found] == [checks.ERROR] * 3
    assert [message.msg.split(" ")[0] for message in found] == [
        "WAGTAIL_TASKS",
        'WAGTAIL_TASKS["WORKER"]["threads"]',
        "WAGTAIL_TASKS_SYNC_HOOKS",
    ]
    assert 'did you mean "BACKEND"?' in found[0].msg
    assert "Settings" in found[0].hint


# E002 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "problem"),
    [
        ("databse", "cannot be imported"),
        ("huey.NoSuchHuey", "cannot be imported"),
        ("huey.storage", "neither a Huey storage nor a Huey class"),
        ("collections.OrderedDict", "neither a Huey storage nor a Huey class"),
        ("huey.crontab", "neither a Huey storage nor a Huey class"),
    ],
)
def test_check_backend__does_not_exist(settings: Any, backend: str, problem: str) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": backend}

    [message] = said("E002")

    assert message.level == checks.ERROR
    assert message.msg.startswith(f'WAGTAIL_TASKS["BACKEND"] is {backend!r}, which ')
    assert problem in message.msg


def test_check_backend__redis_is_not_installed(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "redis"}
    monkeypatch.setitem(sys.modules, "redis", None)

    [message] = said("E002")

    assert 'run "pip install wagtail-async-hooks[redis]"' in message.msg


@pytest.mark.parametrize(
    "backend", ["", "database", "redis", "huey.storage.FileStorage", "huey.MemoryHuey"]
)
def test_check_backend__exists(settings: Any, backend: str) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": backend}

    assert said("E002") == []


# W001 ---------------------------------------------------------------------------------------


class LedgerElsewhere:
    """Sends the package's tables to a database of their own."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere" if model._meta.app_label == "wagtail_async_hooks" else None


class AllElsewhere:
    """Sends all tables to the same other database."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere"


def test_check_database__the_ledger_is_not_where_the_pages_are(
    settings: Any, elsewhere: Callable[..., None]
) -> None:
    elsewhere()
    settings.DATABASE_ROUTERS = [f"{__name__}.LedgerElsewhere"]

    [message] = said("W001")

    assert message.level == checks.WARNING
    assert "database 'elsewhere', pages to 'default'" in message.msg
    assert "DATABASE_ROUTERS" in message.hint


def test_check_database__both_are_elsewhere(elsewhere: Callable[..., None]) -> None:
    elsewhere()

    assert said("W001") == []


def test_check_database__immediate_mode_has_no_ledger(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.LedgerElsewhere"]
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    assert said("W001") == []


# W002 ---------------------------------------------------------------------------------------


def test_check_hooks__a_function_that_a_worker_cannot_find(on: Callable[..., None]) -> None:
    def nested(request: Any, page: Any) -> None:
        """Nobody can import this."""

    on("after_edit_page", nested)
    on("after_edit_page", functools.partial(hook_function))

    first, second = said("W002")

    assert first.level == second.level == checks.WARNING
    assert first.obj is nested
    assert first.msg == (
        f"{__name__}.test_check_hooks__a_function_that_a_worker_cannot_find.<locals>.nested, "
        'registered for "after_edit_page" with background=True, runs in the request: a worker '
        "cannot find a function again that is defined inside another one."
    )
    assert second.msg.startswith("functools.partial(<function hook_function")
    assert first.hint == "Move it to the top level of a module, and give it a name."
    assert said("W003") == []


def test_check_hooks__a_function_that_a_worker_finds(on: Callable[..., None]) -> None:
    on("after_edit_page", hook_function)

    assert said("W002") == []


# W003 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "hint"),
    [
        ("register_admin_urls", "Remove background=True."),
        (
            "after_publish_pages",
            'Remove background=True, or did you mean the hook "after_publish_page"?',
        ),
    ],
)
def test_check_hooks__a_hook_that_is_not_background_safe(
    on: Callable[..., None], hook: str, hint: str
) -> None:
    on(hook, hook_function)

    [message] = said("W003")

    assert message.level == checks.WARNING
    assert message.obj is hook_function
    assert message.msg == (
        f'{__name__}.hook_function, registered for "{hook}" with background=True, runs in the '
        "request: the hook is not background-safe: Wagtail needs its answer, or its timing."
    )
    assert message.hint == hint
    assert said("W002") == []


def test_check_hooks__a_hook_that_was_not_asked_into_the_background() -> None:
    with hooks.register_temporarily("register_admin_urls", hook_function):
        assert said("W003") == []


# W004 ---------------------------------------------------------------------------------------


def test_check_hook_names__unknown_ones_in_both_settings(
    settings: Any, on: Callable[..., None]
) -> None:
    on("after_edit_page", hook_function)
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"after_publish_pge": {"priority": 1}, f"{__name__}.hook_functoin": {}},
    }
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["xyz"]

    found = {message.msg.partition(", which")[0]: message for message in said("W004")}

    assert {said: message.hint for said, message in found.items()} == {
        'WAGTAIL_TASKS["HOOKS"] names "after_publish_pge"': 'Did you mean "after_publish_page"?',
        f'WAGTAIL_TASKS["HOOKS"] names "{__name__}.hook_functoin"': (
            f'Did you mean "{__name__}.hook_function"?'
        ),
        'WAGTAIL_TASKS_SYNC_HOOKS names "xyz"': "Remove it, or correct it.",
    }
    for message in found.values():
        assert message.level == checks.WARNING
        assert message.msg.endswith(
            ", which is neither a background-safe hook nor a function that is registered to run "
            "in the background."
        )


def test_check_hook_names__hooks_and_functions_that_are_known(
    settings: Any, on: Callable[..., None]
) -> None:
    on("after_edit_page", hook_function)
    names = ["after_move_page", f"{__name__}.hook_function"]
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {name: {} for name in names}}
    settings.WAGTAIL_TASKS_SYNC_HOOKS = names

    assert said("W004") == []


# W005 ---------------------------------------------------------------------------------------

SERVES_SEVERAL = {
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"transaction_mode": "IMMEDIATE"},
        {"init_command": SERVES_SEVERAL["init_command"]},
        {**SERVES_SEVERAL, "transaction_mode": "DEFERRED"},
        {**SERVES_SEVERAL, "init_command": "PRAGMA journal_mode=DELETE;"},
    ],
    ids=["neither", "no WAL", "not IMMEDIATE", "DEFERRED", "another journal"],
)
def test_check_sqlite__an_editor_and_a_worker_lock_each_other_out(
    elsewhere: Callable[..., None], options: dict[str, str]
) -> None:
    elsewhere(**options)

    [message] = said("W005")

    assert message.level == checks.WARNING
    assert "SQLite database 'elsewhere'" in message.msg
    assert "database is locked" in message.msg
    assert 'DATABASES["elsewhere"]' in message.hint


def test_check_sqlite__the_hint_is_what_it_asks_for(elsewhere: Callable[..., None]) -> None:
    elsewhere()
    _, _, setting = said("W005")[0].hint.partition(": ")

    elsewhere(**ast.literal_eval("{" + setting + "}")["OPTIONS"])

    assert said("W005") == []


@pytest.mark.parametrize(
    "options",
    [
        SERVES_SEVERAL,
        {"transaction_mode": "immediate", "init_command": "pragma journal_mode = wal"},
    ],
)
def test_check_sqlite__that_serves_several(
    elsewhere: Callable[..., None], options: dict[str, str]
) -> None:
    elsewhere(**options)

    assert said("W005") == []


def test_check_sqlite__is_about_sqlite_only(elsewhere: Callable[..., None]) -> None:
    elsewhere(engine="django.db.backends.dummy")

    assert said("W005") == []


def test_check_sqlite__immediate_mode_has_no_worker(
    elsewhere: Callable[..., None], settings: Any
) -> None:
    elsewhere()
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    assert said("W005") == []
