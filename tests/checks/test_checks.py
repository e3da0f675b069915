"""Tests of the system checks: each one when it should speak, and when it should not."""

import ast
import functools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections
from wagtail import hooks as wagtail_hooks

from tests.processes import Process
from wagtail_async_hooks import hooks
from wagtail_async_hooks.checks.hooks import check_hook_names, check_hooks
from wagtail_async_hooks.checks.integrations import check_tasks
from wagtail_async_hooks.utils.functions import label

IDS = (
    *(f"E00{number}" for number in range(1, 10)),
    "I001",
    *(f"W0{number:02}" for number in (*range(1, 21), *range(30, 36), 46)),
)


def said(*numbers: str) -> list[CheckMessage]:
    """Return what Django's ``check`` command says under some of our numbers."""
    names = {f"wagtail_async_hooks.{number}" for number in numbers}
    found = checks.run_checks(tags=[checks.Tags.compatibility])
    assert all(message.hint for message in found if message.id.startswith("wagtail_async_hooks."))
    return [message for message in found if message.id in names]


def hook_function(request: Any, page: Any) -> None:
    """A function that a worker can find again."""


pytestmark = pytest.mark.usefixtures("registries", "sources_read_once")


def test_checks__say_nothing_about_the_demo_site() -> None:
    assert said(*IDS) == []


def test_checks__say_nothing_about_a_site_without_settings(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    assert said(*set(IDS) - {"I001"}) == []


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

    def put(engine: str = "django.db.backends.sqlite3", **options: Any) -> None:
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


# W047 ---------------------------------------------------------------------------------------


def test_check_embedded_worker__that_none_can_run(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "", "WORKER": {"embedded": True}}
    [message] = said("W047")
    assert 'is True, but WAGTAIL_TASKS["BACKEND"] is blank' in message.msg

    settings.WAGTAIL_TASKS = {"BACKEND": "database", "WORKER": {"embedded": True}}
    assert said("W047") == []
    monkeypatch.setattr("wagtail_async_hooks.worker.embedded.lock.fcntl", None)
    [message] = said("W047")
    assert "this platform has no locks of files" in message.msg

    settings.WAGTAIL_TASKS = {"BACKEND": ""}
    assert said("W047") == []


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


# E003 ---------------------------------------------------------------------------------------

QUEUE = "wagtail_async_hooks.mail.BackgroundEmailBackend"
SMTP = "django.core.mail.backends.smtp.EmailBackend"
since_mailers = pytest.mark.skipif(django.VERSION < (6, 1), reason="Django has MAILERS since 6.1")
without_mailers = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


def queue_by_path(settings: Any, backend: str = "database", **email: Any) -> None:
    """Let the site queue its e-mails, as before Django 6.1."""
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS
    settings.EMAIL_BACKEND = QUEUE
    settings.EMAIL_TIMEOUT = 10
    settings.WAGTAIL_TASKS = {"BACKEND": backend, "EMAIL": email}


def queue_by_alias(settings: Any, sender: str = SMTP, **options: Any) -> None:
    """Let the site queue its e-mails, as since Django 6.1."""
    settings.MAILERS = {
        "default": {"BACKEND": QUEUE, "OPTIONS": options},
        "sender": {"BACKEND": sender, "OPTIONS": {"host": "127.0.0.1", "timeout": 10}},
    }


@without_mailers
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("no.such.Backend", "leads to 'no.such.Backend', which cannot be imported: "),
        (QUEUE, "leads back to the queue: it should name what really sends, such as SMTP."),
    ],
)
def test_check_email__nothing_sends(settings: Any, path: str, problem: str) -> None:
    queue_by_path(settings, BACKEND=path)

    [message] = said("E003")

    assert message.level == checks.ERROR
    assert message.msg.startswith(f'WAGTAIL_TASKS["EMAIL"]["BACKEND"] {problem}')


@since_mailers
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "is missing: it should be the alias of the mailer by which workers send"),
        ({"using": "default"}, "leads back to the queue"),
        ({"using": "sender", "sender": QUEUE}, "leads back to the queue"),
        ({"using": "sendr"}, 'is "sendr", which MAILERS does not have.'),
        ({"using": "sender", "sender": "no.Backend"}, "which cannot be imported"),
    ],
)
def test_check_email__no_mailer_sends(settings: Any, options: Any, problem: str) -> None:
    queue_by_alias(settings, **options)

    message, *_ = said("E003")

    assert message.msg.startswith('MAILERS["default"]["OPTIONS"]["using"] ')
    assert problem in message.msg


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("shop.mail.is_secret", "which cannot be imported: No module named 'shop'."),
        ("tests.checks.test_checks.QUEUE", "which is not a function."),
    ],
)
def test_check_email__nobody_tells_what_to_send_at_once(
    settings: Any, path: str, problem: str
) -> None:
    settings.WAGTAIL_TASKS = {"EMAIL": {"at_once": path}}

    [message] = said("E003")

    assert message.msg == f'WAGTAIL_TASKS["EMAIL"]["at_once"] is {path!r}, {problem}'


@without_mailers
def test_check_email__all_is_well(settings: Any) -> None:
    queue_by_path(settings, BACKEND=SMTP, at_once="tests.checks.test_checks.said")

    assert said("E003") == said("W008") == []


@since_mailers
def test_check_email__all_is_well_with_mailers(settings: Any) -> None:
    queue_by_alias(settings, using="sender")

    assert said("E003") == said("W008") == []


@without_mailers
def test_check_email__only_if_the_queue_is_used(settings: Any) -> None:
    queue_by_path(settings, BACKEND="no.such.Backend")
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

    assert said("E003") == []


# E006 ---------------------------------------------------------------------------------------


def name_specs(settings: Any, *specs: str) -> None:
    """Let the site name filter specs."""
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "RENDITIONS": {"specs": specs}}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("fil-800x600", "Unrecognised operation: fil"),
        ("width-400|format-webp|nothing", "Unrecognised operation: nothing"),
        ("width-wide", "invalid literal for int() with base 10: 'wide'"),
        ("width-{400,wide}", "invalid literal for int() with base 10: 'wide'"),
        ("width", "missing 1 required positional argument: 'size'"),
        ("width-{400}{800}", "too many values to unpack (expected 2)"),
    ],
)
def test_check_renditions__a_spec_that_wagtail_cannot_parse(
    settings: Any, spec: str, problem: str
) -> None:
    name_specs(settings, "fill-800x600", spec)

    [message] = said("E006")

    assert message.level == checks.ERROR
    told = f'WAGTAIL_TASKS["RENDITIONS"]["specs"] names "{spec}", which Wagtail cannot parse: '
    assert message.msg.startswith(told)
    assert problem in message.msg


def test_check_renditions__specs_as_in_templates(settings: Any) -> None:
    name_specs(settings, "width-400", "fill-{80x60,90x60} format-webp preserve-svg", "original")

    assert said("E006") == []


def test_check_renditions__without_wagtails_app(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_specs(settings, "width-400")
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "wagtail.images")

    [message] = said("E006")

    assert '"wagtail.images" is not in INSTALLED_APPS' in message.msg


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
    assert first.obj == label(nested)
    assert first.msg == (
        f"{__name__}.test_check_hooks__a_function_that_a_worker_cannot_find.<locals>.nested "
        f"({__file__}:{nested.__code__.co_firstlineno}), "
        'registered for "after_edit_page" with background=True, runs in the request: a worker '
        "cannot find a function again that is defined inside another one."
    )
    assert second.msg.startswith(f"functools.partial of {__name__}.hook_function")
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
        ("before_edit_page", 'Remove background=True, or did you mean the hook "after_edit_page"?'),
    ],
)
def test_check_hooks__a_hook_that_is_not_background_safe(
    on: Callable[..., None], hook: str, hint: str
) -> None:
    on(hook, hook_function)

    [message] = said("W003")

    assert message.level == checks.WARNING
    assert message.obj == label(hook_function)
    assert message.msg == (
        f"{__name__}.hook_function ({__file__}:{hook_function.__code__.co_firstlineno}), "
        f'registered for "{hook}" with background=True, runs in the '
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
            "in the background, nor a task of TASKS."
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
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "transaction_mode IMMEDIATE and a timeout and journal_mode=WAL"),
        ({"transaction_mode": "IMMEDIATE", "timeout": 20}, "journal_mode=WAL"),
        ({**SERVES_SEVERAL, "transaction_mode": "DEFERRED"}, "transaction_mode IMMEDIATE"),
        ({**SERVES_SEVERAL, "init_command": "PRAGMA journal_mode=DELETE;"}, "journal_mode=WAL"),
        ({k: v for k, v in SERVES_SEVERAL.items() if k != "timeout"}, "a timeout"),
    ],
    ids=["nothing", "no WAL", "DEFERRED", "another journal", "no timeout"],
)
def test_check_sqlite__an_editor_and_a_worker_lock_each_other_out(
    elsewhere: Callable[..., None], options: dict[str, Any], missing: str
) -> None:
    elsewhere(**options)

    [message] = said("W005")

    assert message.level == checks.WARNING
    assert "SQLite database 'elsewhere'" in message.msg
    assert message.msg.endswith(f"; it lacks {missing}.")
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
        {**SERVES_SEVERAL, "transaction_mode": "immediate", "timeout": 5},
        {**SERVES_SEVERAL, "init_command": "pragma journal_mode = wal"},
    ],
)
def test_check_sqlite__that_serves_several(
    elsewhere: Callable[..., None], options: dict[str, Any]
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


# W006 ---------------------------------------------------------------------------------------


def count_fields(request: Any, page: Any) -> int:
    """Read what a worker does not have."""
    request.POST = {}  # setting it is fine
    return len(request.POST)


def test_check_sources__what_is_not_carried(on: Callable[..., None]) -> None:
    on("after_edit_page", count_fields)
    line = count_fields.__code__.co_firstlineno + 3

    [message] = said("W006")

    assert message.level == checks.WARNING
    assert message.obj == label(count_fields)
    assert message.msg == (
        f'{__name__}.count_fields, which runs in the background for "after_edit_page", reads '
        f"request.POST ({__file__}:{line}); a worker does not have it."
    )
    assert "WAGTAIL_TASKS_SYNC_HOOKS" in message.hint


def test_check_sources__a_function_that_is_kept_synchronous(
    on: Callable[..., None], settings: Any
) -> None:
    on("after_edit_page", count_fields)
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["after_edit_page"]

    assert said("W006") == []


# W007 ---------------------------------------------------------------------------------------


def too_few(page: Any) -> None:
    """Lack an argument."""


def any_number(*args: Any, **kwargs: Any) -> None:
    """Take all there is."""


def test_check_sources__arguments_that_do_not_fit(on: Callable[..., None]) -> None:
    on("after_edit_page", too_few)

    [message] = said("W007")

    assert message.level == checks.WARNING
    assert message.obj == label(too_few)
    assert message.msg == (
        f"{__name__}.too_few ({__file__}:{too_few.__code__.co_firstlineno}) takes "
        '(page), but "after_edit_page" passes (request, page).'
    )


@pytest.mark.parametrize("function", [hook_function, any_number])
def test_check_sources__arguments_that_fit(on: Callable[..., None], function: Any) -> None:
    on("after_edit_page", function)

    assert said("W007") == []


# E007, W010 ---------------------------------------------------------------------------------


def test_e007__what_cannot_be_imported(on: Callable[..., None], settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"HOOKS": {"after_edit_page": {"retry_on": ["shop.Gone"]}}}
    on("after_edit_page", hook_function, retries=1, discard_on=(ValueError, "builtins.int"))

    first, second = said("E007")

    assert first.level == checks.ERROR
    assert first.msg.startswith(
        'WAGTAIL_TASKS["HOOKS"]["after_edit_page"] has retry_on, of which '
        "'shop.Gone' cannot be imported: "
    )
    assert f"{__name__}.hook_function" in second.msg
    assert second.msg.endswith("of which 'builtins.int' is no class of exceptions.")


def test_w010__retries_are_missing(on: Callable[..., None], settings: Any) -> None:
    on("after_edit_page", hook_function, retry_delay=10, retry_on=ValueError)

    [message] = said("W010")

    assert (message.level, message.obj) == (checks.WARNING, label(hook_function))
    assert message.msg.endswith(
        'in the background for "after_edit_page", has retry_delay and retry_on, but no retries: '
        "it is not tried again."
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"retries": 1, "retry_backoff": 2},
            "retry_backoff, but no retry_delay for it to change",
        ),
        (
            {"retries": 1, "retry_jitter": 0.5},
            "retry_jitter, but no retry_delay for it to change",
        ),
        (
            {"retries": 1, "retry_on": OSError, "discard_on": ("OSError", KeyError)},
            "OSError in both retry_on and discard_on: it is not tried again after it",
        ),
    ],
)
def test_w010__contradictions(on: Callable[..., None], options: Any, told: str) -> None:
    on("after_edit_page", hook_function, **options)

    [message] = said("W010")

    assert message.msg.endswith(f"has {told}.")


def test_w010__silent_if_the_settings_have_what_is_missing(
    on: Callable[..., None], settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {"HOOKS": {"after_edit_page": {"retries": 3}}}
    on("after_edit_page", hook_function, retry_delay=10, retry_backoff=2, retry_on=ValueError)

    assert said("W010") == []


# TASKS --------------------------------------------------------------------------------------

OURS = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"
A_NAME = "a name of 1 to 64 printable characters, with no space around it"


def test_e005__names_what_our_backend_does_not_take(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": OURS, "QUEUES": ["a"], "OPTIONS": {}}}

    [message] = said("E005")

    assert message.msg == f'TASKS["default"] has OPTIONS, which {OURS} does not take.'


def test_e005__is_silent_about_other_backends_and_about_queues(settings: Any) -> None:
    other = "django_tasks.backends.immediate.ImmediateBackend"
    settings.TASKS = {
        "default": {"BACKEND": OURS, "QUEUES": ["a"]},
        "other": {"BACKEND": other, "OPTIONS": {}},
    }

    assert said("E005") == []


@pytest.mark.parametrize(
    ("params", "problem", "hint"),
    [
        ({"QUEUE": []}, f"has QUEUE, which {OURS} does not take.", "Did you mean QUEUES?"),
        (
            {"QUEUES": "slow"},
            "[\"QUEUES\"] should be a list of names, but is 'slow'.",
            "Make it a list.",
        ),
        (
            {"QUEUES": ["a", "q" * 65]},
            f"[\"QUEUES\"] has '{'q' * 65}', which should be {A_NAME}.",
            "Give the queue such a name.",
        ),
        (
            {"QUEUES": [7]},
            f'["QUEUES"] has 7, which should be {A_NAME}.',
            "Give the queue such a name.",
        ),
    ],
)
def test_e005__queues(settings: Any, params: dict[str, Any], problem: str, hint: str) -> None:
    settings.TASKS = {"default": {"BACKEND": OURS, **params}}

    [message] = said("E005")

    assert message.level == checks.ERROR
    assert message.msg.removeprefix('TASKS["default"]').strip() == problem
    assert message.hint == hint


@pytest.mark.parametrize("tasks", [None, [], {"default": OURS}, {"default": {"BACKEND": None}}])
def test_e005__leaves_other_mistakes_to_django(settings: Any, tasks: Any) -> None:
    settings.TASKS = tasks

    assert list(check_tasks()) == []


def test_w004__a_task_of_tasks_may_be_named(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "HOOKS": {
            "wagtail.tasks.update_reference_index_task": {"priority": 1},
            "wagtail.tasks.x": {},
        }
    }

    [message] = said("W004")

    assert '"wagtail.tasks.x"' in message.msg


# W008 ---------------------------------------------------------------------------------------


@without_mailers
@pytest.mark.parametrize(("backend", "told"), [("database", 1), ("", 0)])
def test_check_email_timeout__none(settings: Any, backend: str, told: int) -> None:
    queue_by_path(settings, backend)
    settings.EMAIL_TIMEOUT = None

    messages = said("W008")

    assert len(messages) == told
    for message in messages:
        assert message.level == checks.WARNING
        assert message.msg.startswith('WAGTAIL_TASKS["EMAIL"]["BACKEND"] leads to SMTP without')
        assert "EMAIL_TIMEOUT" in message.hint


@without_mailers
def test_check_email_timeout__not_of_other_backends(settings: Any) -> None:
    queue_by_path(settings, BACKEND="django.core.mail.backends.dummy.EmailBackend")
    settings.EMAIL_TIMEOUT = None

    assert said("W008") == []


@since_mailers
def test_check_email_timeout__none_in_mailers(settings: Any) -> None:
    queue_by_alias(settings, using="sender")
    settings.MAILERS["sender"]["OPTIONS"] = {"host": "127.0.0.1"}

    [message] = said("W008")

    assert message.msg.startswith('MAILERS["default"]["OPTIONS"]["using"] leads to SMTP without')


# W046 ---------------------------------------------------------------------------------------

RECEIVERS = "tests.monitoring.alerts.receivers"


@pytest.mark.parametrize(
    ("to", "problem"),
    [
        ("tests.no_such.tell", "which cannot be imported: No module named 'tests.no_such'"),
        (f"{RECEIVERS}.no_such", "which cannot be imported: "),
        (f"{RECEIVERS}.NO_FUNCTION", "which is not a function"),
        (f"{RECEIVERS}.tell_later", "which is a coroutine function: nothing would await it"),
        (
            f"{RECEIVERS}.tell_in_background",
            "which is a background task: without a worker, nobody would be told",
        ),
        (f"{RECEIVERS}.tell", ""),
    ],
)
def test_check_alerts__a_function(settings: Any, to: str, problem: str) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "ALERTS": {"to": [to]}}

    messages = said("W046", "E001")

    assert len(messages) == bool(problem)
    for message in messages:
        beginning = f'WAGTAIL_TASKS["ALERTS"]["to"] names {to}, {problem}'
        assert message.msg.startswith(beginning)
        assert message.level == checks.WARNING
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "BACKEND": ""}
    assert said("W046") == []


@without_mailers
@pytest.mark.parametrize(
    ("backend", "debug", "problem"),
    [
        (SMTP, False, ""),
        ("django.core.mail.backends.console.EmailBackend", True, ""),
        (
            "django.core.mail.backends.console.EmailBackend",
            False,
            "but django.core.mail.backends.console.EmailBackend sends e-mails nowhere",
        ),
        ("no.such.Backend", False, "but e-mails cannot be sent: No module named 'no'"),
    ],
)
def test_check_alerts__an_address(settings: Any, backend: str, debug: bool, problem: str) -> None:
    queue_by_path(settings, BACKEND=backend)
    settings.WAGTAIL_TASKS = {
        **settings.WAGTAIL_TASKS,
        "ALERTS": {"to": ["ops@example.com", "me@example.com"]},
    }
    settings.DEBUG = debug

    messages = said("W046")

    assert [message.msg for message in messages] == (
        [f'WAGTAIL_TASKS["ALERTS"]["to"] names ops@example.com, me@example.com, {problem}.']
        if problem
        else []
    )


@since_mailers
def test_check_alerts__by_mailers(settings: Any) -> None:
    queue_by_alias(settings, using="sender")
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "ALERTS": {"to": ["ops@example.com"]}}
    assert said("W046") == []
    queue_by_alias(settings, using="no-such")
    [message] = said("W046")
    assert "but e-mails cannot be sent: " in message.msg


# The schedule -------------------------------------------------------------------------------


@pytest.fixture
def recur(settings: Any) -> Callable[..., None]:
    """Let something recur."""

    def recur(**entry: Any) -> None:
        schedule = {"daily": {"crontab": "@daily", **entry}}
        settings.WAGTAIL_TASKS = {"BACKEND": "database", "SCHEDULE": schedule}

    return recur


DAILY = 'WAGTAIL_TASKS["SCHEDULE"]["daily"]'


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "publish_scheduled"},
        {"function": "tests.work.tasks.add", "args": [1], "kwargs": {"b": 2}},
        {"function": "tests.work.tasks.greet", "args": ["Ada"]},
        {"function": "tests.work.tasks.with_context", "args": [1]},
        {"function": "builtins.print", "args": [1]},
    ],
)
def test_schedule__what_exists_and_fits(recur: Callable[..., None], entry: Any) -> None:
    recur(**entry)

    assert said("E004") == []
    assert said("W009") == []


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        (
            {"command": "publish_schedule"},
            'names the command "publish_schedule", which no installed app has.',
            'Did you mean "publish_scheduled"?',
        ),
        (
            {"command": "xyzzy"},
            'names the command "xyzzy", which no installed app has.',
            "Correct or remove it.",
        ),
        (
            {"function": "tests.work.tasks.os"},
            'names the function "tests.work.tasks.os", which cannot be imported: it is a module.',
            "Give the dotted path of a function, or of a background task.",
        ),
        (
            {"function": "tests.wrk.greet"},
            'names the function "tests.wrk.greet", which cannot be imported: No module named '
            "'tests.wrk'.",
            "Give the dotted path of a function, or of a background task.",
        ),
    ],
)
def test_schedule__what_does_not_exist(
    recur: Callable[..., None], entry: Any, message: str, hint: str
) -> None:
    recur(**entry)

    [told] = said("E004")
    assert (told.msg, told.hint) == (f"{DAILY} {message}", hint)
    assert told.level == checks.ERROR


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"function": "tests.work.tasks.greet"},
            "does not fit tests.work.tasks.greet, which takes (name, mark='!').",
        ),
        (
            {"function": "tests.work.tasks.add", "args": [1, 2], "kwargs": {"c": 3}},
            "does not fit tests.work.tasks.add, which takes (a, b).",
        ),
        (
            {"command": "check", "options": {"tags": ["models", object()]}},
            "has an argument that cannot be carried: ",
        ),
    ],
)
def test_schedule__what_does_not_fit(recur: Callable[..., None], entry: Any, message: str) -> None:
    recur(**entry)

    [told] = said("W009")
    assert told.msg.startswith(f"{DAILY} {message}")
    assert told.hint == 'Correct "args", and "kwargs" or "options".'
    assert told.level == checks.WARNING


def test_bulk_actions__a_name_that_is_not_registered(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BULK_ACTIONS": {"actions": ["wagtailcore.page.publsh"]}}

    [message] = said("W014")

    assert 'names "wagtailcore.page.publsh"' in message.msg
    assert message.hint == 'Did you mean "wagtailcore.page.publish"?'


def test_bulk_actions__a_class_that_works_in_its_own_way(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.integrations.bulk_actions.test_moving import OwnFormValid

    settings.WAGTAIL_TASKS = {"BULK_ACTIONS": {"actions": ["wagtailcore.page.publish"]}}
    wagtail_hooks.register("register_bulk_action", OwnFormValid, order=20_000)

    [message] = said("W015")

    assert f"{OwnFormValid.__module__}.OwnFormValid does work of its own" in message.msg


# Many mistakes ------------------------------------------------------------------------------

MISTAKES = [
    ("E001", 'WAGTAIL_TASKS has an unknown key "HOKS"; did you mean "HOOKS"?'),
    (
        "E001",
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"] has an unknown key "retry_dely"; did you '
        'mean "retry_delay"?',
    ),
    (
        "E001",
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"]["priority"] should be a whole number that '
        "fits 32 bits, but is 'high'.",
    ),
    (
        "E002",
        "WAGTAIL_TASKS[\"BACKEND\"] is 'databse', which cannot be imported (databse doesn't look "
        'like a module path); use "database", "redis", "celery", the dotted path of a Huey storage '
        'or Huey class, or "" for immediate mode. → Did you mean "database"?',
    ),
    (
        "E004",
        'WAGTAIL_TASKS["SCHEDULE"]["publish"] names the command "publish_schedule", which no '
        'installed app has. → Did you mean "publish_scheduled"?',
    ),
    (
        "E005",
        'TASKS["default"] has QUEUE, which wagtail_async_hooks.tasks_backend.WagtailTasksBackend '
        "does not take. → Did you mean QUEUES?",
    ),
    (
        "W004",
        'WAGTAIL_TASKS["HOOKS"] names "after_publish_pge", which is neither a background-safe hook '
        "nor a function that is registered to run in the background, nor a task of TASKS. → Did "
        'you mean "after_publish_page"?',
    ),
    (
        "W005",
        "The SQLite database 'default' is not set up for a worker beside the site, so an editor "
        'may see "database is locked"; it lacks journal_mode=WAL.',
    ),
    (
        "W010",
        "tests.site.blog.wagtail_hooks.remove_static_copy, which runs in the background for "
        '"after_unpublish_page", has retry_delay, but no retries: it is not tried again. → Set '
        "retries as well, or remove retry_delay.",
    ),
    (
        "W013",
        "There is no setting WAGTAIL_TASKS_SYNC_HOOK of wagtail_async_hooks, so it has no effect. "
        "→ Did you mean WAGTAIL_TASKS_SYNC_HOOKS?",
    ),
]
"""What is said of the settings in :mod:`tests.mistakes`; some with the hint."""


@pytest.mark.slow
def test_check__ten_mistakes_give_ten_messages(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    settings = {
        "DJANGO_SETTINGS_MODULE": "tests.mistakes",
        "SITE_DATABASE_NAME": str(tmp_path / "site.sqlite3"),
    }
    with Process.manage("check", output=output, **settings) as check:
        assert check.wait() == 1

    pattern = r"\(wagtail_async_hooks\.(\w+)\) (.*)\n\tHINT: (.*)"
    told = sorted((n, f"{said} → {hint}") for n, said, hint in re.findall(pattern, check.said()))
    assert len(MISTAKES) == 10
    for (number, message), (expected, begins) in zip(told, sorted(MISTAKES), strict=True):
        assert (number, message[: len(begins)]) == (expected, begins)
    assert "Traceback" not in check.said()


# W016, I001 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["W016"]),
        ({"HOOKS": {}}, ["W016"]),
        ({"BACKEND": ""}, ["I001"]),
        ({"BACKEND": None}, ["E001"]),
        ("database", ["E001"]),
        ({"backend": "database"}, ["E001", "W016"]),
        ({"BACKEND": "database"}, []),
    ],
    ids=str,
)
def test_no_backend(
    settings: Any, on: Callable[..., None], given: Any, expected: list[str]
) -> None:
    on("after_edit_page", hook_function)
    settings.WAGTAIL_TASKS = given

    found = said("E001", "I001", "W016")
    assert sorted({message.id.rpartition(".")[2] for message in found}) == expected
    for message in found:
        assert (
            message.id.endswith("E001")
            or "functions with background=True run in the request: " in message.msg
        )


def test_no_backend__nothing_that_asks(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from wagtail_async_hooks.hooks import registry

    monkeypatch.setattr(registry, "entries", {})
    del settings.WAGTAIL_TASKS
    assert said("W016") == said("I001") == []


# W019 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "hint"),
    [
        ("after_publish_pge", 'Did you mean "after_publish_page"?'),
        ("after_publish_pages", 'Did you mean "after_publish_page"?'),
        ("After_Publish_Page", 'Did you mean "after_publish_page"?'),
        (" after_publish_page", 'Did you mean "after_publish_page"?'),
        ("after_page_published", 'Did you mean "after_publish"?'),
        ("before_edit_pages", 'Did you mean "before_edit_page"?'),
        (
            "shop_paid",
            "If your own code or a package fires it, add it to the catalogue: "
            'WAGTAIL_TASKS["HOOKS"]["shop_paid"] = {"arguments": […]}.',
        ),
    ],
)
def test_check_hook_exists__there_is_no_such_hook(
    on: Callable[..., None], hook: str, hint: str
) -> None:
    on(hook, hook_function)

    [message] = said("W019")

    assert message.msg.endswith(
        f'registered for "{hook}" with background=True, is never called by Wagtail, which has no '
        "such hook."
    )
    assert message.hint == hint
    assert said("W003") == said("W002") == []
    assert str(message).startswith(f"{__name__}.hook_function: (wagtail_async_hooks.W019)")


def test_known_hooks__are_all_that_wagtail_fires() -> None:
    """By Wagtail's source: a hook that a later Wagtail adds is noticed."""
    import wagtail

    from wagtail_async_hooks.hooks import catalogue
    from wagtail_async_hooks.hooks.known_hooks import UNSUITABLE_HOOKS

    fired = re.compile(r"""(?:get_hooks|run_hook|hook_name\s*=)\(?\s*["']([a-z_]+)["']""")
    found = {
        name
        for file in Path(wagtail.__file__).parent.rglob("*.py")
        if not {"test", "tests"} & set(file.parts)
        for name in fired.findall(file.read_text())
    }
    assert len(found) > 70
    assert found - UNSUITABLE_HOOKS - set(catalogue.BACKGROUND_SAFE) == set()
    assert not UNSUITABLE_HOOKS & set(catalogue.BACKGROUND_SAFE)


# What stands at the head of a message -------------------------------------------------------


def test_messages__have_no_addresses(on: Callable[..., None]) -> None:
    class Odd:
        def __call__(self, request: Any, page: Any) -> None: ...

    on("after_edit_page", lambda request, page: None)
    on("after_edit_page", functools.partial(hook_function))
    on("after_edit_page", Odd())
    on("register_admin_urls", hook_function)
    on("after_edit_pge", hook_function)
    on("after_publish_page", hook_function, retry_delay=5, coalesce="{nobody.pk}")
    on("after_move_page", lambda: None)

    found = checks.run_checks(tags=[checks.Tags.compatibility])

    assert len(found) >= 7
    assert not [str(message) for message in found if " at 0x" in str(message)]


@pytest.mark.parametrize(
    ("backend", "hint"),
    [
        ("redis", 'Run "pip install wagtail-async-hooks[redis]".'),
        ("Redis", 'Did you mean "redis"?'),
        (" redis", 'Did you mean "redis"?'),
        ("REDIS", 'Did you mean "redis"?'),
        ("Database", 'Did you mean "database"?'),
        ("shop.Nothing", "See the page “Storages”."),
    ],
)
def test_backend__is_not_what_was_written(
    settings: Any, monkeypatch: pytest.MonkeyPatch, backend: str, hint: str
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "redis" else find(name)
    )
    settings.WAGTAIL_TASKS = {"BACKEND": backend}

    [message] = said("E002")
    assert message.hint == hint
