"""Tests of the settings: what they mean, and what is said about each mistake."""

from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf import (
    BulkActionOptions,
    EmailOptions,
    ScheduleEntry,
    Settings,
    WorkerOptions,
    parse,
)
from wagtail_async_hooks.conf.options import Options, TaskOptions
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.utils.crontab import Crontab

TEXT = 'a text such as "database", "redis", "celery" or a dotted path'
ENTRY = 'WAGTAIL_TASKS["SCHEDULE"]["daily"]'
ACTIONS = 'a list of names such as "wagtailcore.page.publish"'
NAMES = "a list of hook names or dotted function paths"

MISTAKES: dict[str, tuple[Any, str]] = {
    "not a dict": (
        ["database"],
        "WAGTAIL_TASKS should be a dict, but is ['database'].",
    ),
    "an address": (
        "redis://ada:s3cret@localhost",
        "WAGTAIL_TASKS should be a dict, but is 'redis://…@localhost'.",
    ),
    "a None": (None, "WAGTAIL_TASKS should be a dict, but is None."),
    "a mistyped key": (
        {"BACKND": "database"},
        'WAGTAIL_TASKS has an unknown key "BACKND"; did you mean "BACKEND"?',
    ),
    "a key in lower case": (
        {"worker": {}},
        'WAGTAIL_TASKS has an unknown key "worker"; did you mean "WORKER"?',
    ),
    "a key like no other": (
        {"XYZ": 1},
        'WAGTAIL_TASKS has an unknown key "XYZ"; '
        "known are: BACKEND, BACKEND_OPTIONS, HOOKS, WORKER, QUEUES, HEALTH, ALERTS, EMAIL, "
        "RENDITIONS, SCHEDULE, SCHEDULED_PUBLISHING, HISTORY, BULK_ACTIONS, MEASURE_HOOKS, "
        "TELL_FAILURES, PROMETHEUS, OPENTELEMETRY, RELEASE.",
    ),
    "a key that is no text": (
        {7: 1},
        'WAGTAIL_TASKS has an unknown key "7"; '
        "known are: BACKEND, BACKEND_OPTIONS, HOOKS, WORKER, QUEUES, HEALTH, ALERTS, EMAIL, "
        "RENDITIONS, SCHEDULE, SCHEDULED_PUBLISHING, HISTORY, BULK_ACTIONS, MEASURE_HOOKS, "
        "TELL_FAILURES, PROMETHEUS, OPENTELEMETRY, RELEASE.",
    ),
    "MEASURE_HOOKS as a text": (
        {"MEASURE_HOOKS": "yes"},
        "WAGTAIL_TASKS[\"MEASURE_HOOKS\"] should be True or False, but is 'yes'.",
    ),
    "TELL_FAILURES as a text": (
        {"TELL_FAILURES": "no"},
        "WAGTAIL_TASKS[\"TELL_FAILURES\"] should be True or False, but is 'no'.",
    ),
    "PROMETHEUS as a text": (
        {"PROMETHEUS": "yes"},
        "WAGTAIL_TASKS[\"PROMETHEUS\"] should be True or False, but is 'yes'.",
    ),
    "RELEASE as a number": (
        {"RELEASE": 1.2},
        'WAGTAIL_TASKS["RELEASE"] should be a text, but is 1.2.',
    ),
    "BULK_ACTIONS as a list": (
        {"BULK_ACTIONS": ["wagtailcore.page.publish"]},
        'WAGTAIL_TASKS["BULK_ACTIONS"] should be a dict with text keys, but is '
        "['wagtailcore.page.publish'].",
    ),
    "BULK_ACTIONS with a mistyped key": (
        {"BULK_ACTIONS": {"action": []}},
        'WAGTAIL_TASKS["BULK_ACTIONS"] has an unknown key "action"; did you mean "actions"?',
    ),
    "a bulk action as a text": (
        {"BULK_ACTIONS": {"actions": "wagtailcore.page.publish"}},
        f'WAGTAIL_TASKS["BULK_ACTIONS"]["actions"] should be {ACTIONS}, but is '
        "'wagtailcore.page.publish'.",
    ),
    "a bulk action without a model": (
        {"BULK_ACTIONS": {"actions": ["publish"]}},
        f'WAGTAIL_TASKS["BULK_ACTIONS"]["actions"] should be {ACTIONS}, but is [\'publish\'].',
    ),
    "a negative threshold": (
        {"BULK_ACTIONS": {"threshold": -1}},
        'WAGTAIL_TASKS["BULK_ACTIONS"]["threshold"] should be a whole number of at least 0, but '
        "is -1.",
    ),
    "BACKEND as a None": (
        {"BACKEND": None},
        f'WAGTAIL_TASKS["BACKEND"] should be {TEXT}, but is None.',
    ),
    "BACKEND as a class": (
        {"BACKEND": int},
        f"WAGTAIL_TASKS[\"BACKEND\"] should be {TEXT}, but is <class 'int'>.",
    ),
    "BACKEND_OPTIONS as a list": (
        {"BACKEND_OPTIONS": [1]},
        'WAGTAIL_TASKS["BACKEND_OPTIONS"] should be a dict with text keys, but is something else, '
        "which may hold a password.",
    ),
    "BACKEND_OPTIONS with a number for a key": (
        {"BACKEND_OPTIONS": {1: "a", "password": "s3cret"}},
        'WAGTAIL_TASKS["BACKEND_OPTIONS"] should be a dict with text keys, but is something else, '
        "which may hold a password.",
    ),
    "BACKEND_OPTIONS of the database": (
        {"BACKEND": "database", "BACKEND_OPTIONS": {"host": "db"}},
        'WAGTAIL_TASKS["BACKEND_OPTIONS"] should be empty for the backend "database": Django\'s '
        "DATABASES and DATABASE_ROUTERS say where it is.",
    ),
    "HOOKS as a list": (
        {"HOOKS": ["after_publish_page"]},
        "WAGTAIL_TASKS[\"HOOKS\"] should be a dict with text keys, but is ['after_publish_page'].",
    ),
    "a hook's options as a number": (
        {"HOOKS": {"after_publish_page": 50}},
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"] should be a dict such as '
        '{"priority": 50}, but is 50.',
    ),
    "a mistyped option of a hook": (
        {"HOOKS": {"after_publish_page": {"prioritty": 50}}},
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"] has an unknown key "prioritty"; '
        'did you mean "priority"?',
    ),
    "a priority as a text": (
        {"HOOKS": {"after_publish_page": {"priority": "high"}}},
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"]["priority"] should be a whole number that '
        "fits 32 bits, but is 'high'.",
    ),
    "a priority as a truth value": (
        {"HOOKS": {"after_publish_page": {"priority": True}}},
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"]["priority"] should be a whole number that '
        "fits 32 bits, but is True.",
    ),
    "a priority that no database can hold": (
        {"HOOKS": {"after_publish_page": {"priority": 2**31}}},
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"]["priority"] should be a whole number that '
        "fits 32 bits, but is 2147483648.",
    ),
    "debounce as a text": (
        {"HOOKS": {"after_publish_page": {"debounce": "5"}}},
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"]["debounce"] should be a number of seconds of '
        "at least 0, but is '5'.",
    ),
    "a maximum that is less than the minimum": (
        {"HOOKS": {"after_publish_page": {"debounce": 10, "debounce_max": 5}}},
        'WAGTAIL_TASKS["HOOKS"]["after_publish_page"]["debounce_max"] should be no less than '
        "debounce, which is 10, but is 5.",
    ),
    "WORKER as a number": (
        {"WORKER": 4},
        'WAGTAIL_TASKS["WORKER"] should be a dict with text keys, but is 4.',
    ),
    "a mistyped option of the worker": (
        {"WORKER": {"thread": 4}},
        'WAGTAIL_TASKS["WORKER"] has an unknown key "thread"; did you mean "threads"?',
    ),
    "no threads": (
        {"WORKER": {"threads": 0}},
        'WAGTAIL_TASKS["WORKER"]["threads"] should be a whole number from 1 to 1000, but is 0.',
    ),
    "half a thread": (
        {"WORKER": {"threads": 0.5}},
        'WAGTAIL_TASKS["WORKER"]["threads"] should be a whole number from 1 to 1000, but is 0.5.',
    ),
    "too many threads": (
        {"WORKER": {"threads": 1001}},
        'WAGTAIL_TASKS["WORKER"]["threads"] should be a whole number from 1 to 1000, but is 1001.',
    ),
    "no processes": (
        {"WORKER": {"processes": 0}},
        'WAGTAIL_TASKS["WORKER"]["processes"] should be a whole number from 1 to 1000, but is 0.',
    ),
    "a wait as a text": (
        {"HEALTH": {"max_wait": "5 min"}},
        'WAGTAIL_TASKS["HEALTH"]["max_wait"] should be a number of seconds of at least 0, but is '
        "'5 min'.",
    ),
    "fewer workers than none": (
        {"HEALTH": {"min_workers": -1}},
        'WAGTAIL_TASKS["HEALTH"]["min_workers"] should be a whole number of at least 0, but is -1.',
    ),
    "a mistyped threshold": (
        {"HEALTH": {"max_waits": 5}},
        'WAGTAIL_TASKS["HEALTH"] has an unknown key "max_waits"; did you mean "max_wait"?',
    ),
    "fewer coroutines than none": (
        {"WORKER": {"coroutines": -1}},
        'WAGTAIL_TASKS["WORKER"]["coroutines"] should be a whole number of at least 0, but is -1.',
    ),
    "alerts to nobody": (
        {"ALERTS": {"every": 60}},
        'WAGTAIL_TASKS["ALERTS"] lacks "to", which says who is told, such as ["ops@example.com"].',
    ),
    "alerts to a text": (
        {"ALERTS": {"to": "ops@example.com"}},
        'WAGTAIL_TASKS["ALERTS"]["to"] should be a list of e-mail addresses, and of dotted paths '
        "of functions, but is 'ops@example.com'.",
    ),
    "alerts to no address": (
        {"ALERTS": {"to": ["ops@"]}},
        'WAGTAIL_TASKS["ALERTS"]["to"] has \'ops@\', which should be an e-mail address such as '
        '"ops@example.com", or the dotted path of a function such as "mysite.alerts.tell".',
    ),
    "alerts to an address of two lines": (
        {"ALERTS": {"to": ["ops@example.com\nBcc: a@example.com"]}},
        'WAGTAIL_TASKS["ALERTS"]["to"] has '
        "'ops@example.com\\nBcc: a@example.com', which should be an e-mail address such as "
        '"ops@example.com", or the dotted path of a function such as "mysite.alerts.tell".',
    ),
    "alerts to a function": (
        {"ALERTS": {"to": [print]}},
        'WAGTAIL_TASKS["ALERTS"]["to"] has <built-in function print>, which should be an e-mail '
        'address such as "ops@example.com", or the dotted path of a function such as '
        '"mysite.alerts.tell".',
    ),
    "alerts from nobody": (
        {"ALERTS": {"to": [], "sender": "Ops"}},
        'WAGTAIL_TASKS["ALERTS"]["sender"] should be an e-mail address such as "ops@example.com", '
        "but is 'Ops'.",
    ),
    "a failure rate in percent": (
        {"ALERTS": {"to": [], "failure_rate": 50}},
        'WAGTAIL_TASKS["ALERTS"]["failure_rate"] should be a number above 0, and at most 1, or '
        "None, but is 50.",
    ),
    "a failure rate of nothing": (
        {"ALERTS": {"to": [], "failure_minimum": 0}},
        'WAGTAIL_TASKS["ALERTS"]["failure_minimum"] should be a whole number of at least 1, but '
        "is 0.",
    ),
    "an alert after no time": (
        {"ALERTS": {"to": [], "no_worker": 0}},
        'WAGTAIL_TASKS["ALERTS"]["no_worker"] should be a number of seconds above 0, and at most '
        "1000000, or None, but is 0.",
    ),
    "alerts every now and then": (
        {"ALERTS": {"to": [], "every": "1h"}},
        'WAGTAIL_TASKS["ALERTS"]["every"] should be a number of seconds above 0, and at most '
        "1000000, or None, but is '1h'.",
    ),
    "an option of alerts as others call it": (
        {"ALERTS": {"to": [], "from": "ops@example.com"}},
        'WAGTAIL_TASKS["ALERTS"] has an unknown key "from"; known are: to, sender, new_errors, '
        "failure_rate, failure_minimum, waiting, no_worker, every, over.",
    ),
    "no task at all": (
        {"WORKER": {"max_tasks": 0}},
        'WAGTAIL_TASKS["WORKER"]["max_tasks"] should be a whole number of at least 1, but is 0.',
    ),
    "tasks as a text": (
        {"WORKER": {"max_tasks": "1000"}},
        'WAGTAIL_TASKS["WORKER"]["max_tasks"] should be a whole number of at least 1, but is '
        "'1000'.",
    ),
    "memory with a unit": (
        {"WORKER": {"max_memory": "1G"}},
        'WAGTAIL_TASKS["WORKER"]["max_memory"] should be a number of megabytes above 0, but is '
        "'1G'.",
    ),
    "no memory": (
        {"WORKER": {"max_memory": 0}},
        'WAGTAIL_TASKS["WORKER"]["max_memory"] should be a number of megabytes above 0, but is 0.',
    ),
    "an embedded worker that is a number": (
        {"WORKER": {"embedded": 1}},
        'WAGTAIL_TASKS["WORKER"]["embedded"] should be True or False, but is 1.',
    ),
    "a timeout below zero": (
        {"WORKER": {"shutdown_timeout": -1}},
        'WAGTAIL_TASKS["WORKER"]["shutdown_timeout"] should be a number of seconds of at least '
        "0, but is -1.",
    ),
    "a timeout without end": (
        {"WORKER": {"shutdown_timeout": float("inf")}},
        'WAGTAIL_TASKS["WORKER"]["shutdown_timeout"] should be a number of seconds of at least '
        "0, but is inf.",
    ),
    "RENDITIONS as a list": (
        {"RENDITIONS": ["fill-800x600"]},
        "WAGTAIL_TASKS[\"RENDITIONS\"] should be a dict with text keys, but is ['fill-800x600'].",
    ),
    "a mistyped option of renditions": (
        {"RENDITIONS": {"spec": []}},
        'WAGTAIL_TASKS["RENDITIONS"] has an unknown key "spec"; did you mean "specs"?',
    ),
    "specs as a text": (
        {"RENDITIONS": {"specs": "fill-800x600"}},
        'WAGTAIL_TASKS["RENDITIONS"]["specs"] should be a list of filter specs such as '
        "[\"fill-800x600\"], but is 'fill-800x600'.",
    ),
    "a blank spec": (
        {"RENDITIONS": {"specs": [""]}},
        'WAGTAIL_TASKS["RENDITIONS"]["specs"] should be a list of filter specs such as '
        "[\"fill-800x600\"], but is [''].",
    ),
    "an occasion that is none": (
        {"RENDITIONS": {"on": ["delete"]}},
        'WAGTAIL_TASKS["RENDITIONS"]["on"] should be a list of "upload" and "publish", or of one '
        "of them, but is ['delete'].",
    ),
    "EMAIL as a path": (
        {"EMAIL": "myapp.mail.Backend"},
        "WAGTAIL_TASKS[\"EMAIL\"] should be a dict with text keys, but is 'myapp.mail.Backend'.",
    ),
    "a mistyped option of e-mail": (
        {"EMAIL": {"backend": "myapp.mail.Backend"}},
        'WAGTAIL_TASKS["EMAIL"] has an unknown key "backend"; did you mean "BACKEND"?',
    ),
    "an e-mail backend that is no path": (
        {"EMAIL": {"BACKEND": "smtp"}},
        'WAGTAIL_TASKS["EMAIL"]["BACKEND"] should be a dotted path such as "myapp.mail.name", but '
        "is 'smtp'.",
    ),
    "a blank e-mail backend": (
        {"EMAIL": {"BACKEND": ""}},
        'WAGTAIL_TASKS["EMAIL"]["BACKEND"] should be a dotted path such as "myapp.mail.name", but '
        "is ''.",
    ),
    "a function in the place of its path": (
        {"EMAIL": {"at_once": len}},
        'WAGTAIL_TASKS["EMAIL"]["at_once"] should be a dotted path such as "myapp.mail.name", but '
        "is <built-in function len>.",
    ),
    "a backoff below one": (
        {"EMAIL": {"retry_backoff": 0.5}},
        'WAGTAIL_TASKS["EMAIL"]["retry_backoff"] should be a number of at least 1, but is 0.5.',
    ),
    "retries without end": (
        {"EMAIL": {"retries": None}},
        'WAGTAIL_TASKS["EMAIL"]["retries"] should be a whole number of at least 0, but is None.',
    ),
    "a timeout that is no number": (
        {"WORKER": {"shutdown_timeout": float("nan")}},
        'WAGTAIL_TASKS["WORKER"]["shutdown_timeout"] should be a number of seconds of at least '
        "0, but is nan.",
    ),
    "SCHEDULE as a list": (
        {"SCHEDULE": ["publish_scheduled"]},
        'WAGTAIL_TASKS["SCHEDULE"] should be a dict with text keys, but is '
        "['publish_scheduled'].",
    ),
    "an entry without a name": (
        {"SCHEDULE": {"": {"command": "check", "crontab": "@daily"}}},
        "A name in WAGTAIL_TASKS[\"SCHEDULE\"] should have 1 to 255 characters, but is ''.",
    ),
    "an entry as a text": (
        {"SCHEDULE": {"daily": "@daily"}},
        f'{ENTRY} should be a dict such as {{"command": "publish_scheduled", "crontab": '
        "\"*/5 * * * *\"}, but is '@daily'.",
    ),
    "an entry that does nothing": (
        {"SCHEDULE": {"daily": {"crontab": "@daily"}}},
        f'{ENTRY} should have either "command" or "function", but has neither.',
    ),
    "an entry that does two things": (
        {"SCHEDULE": {"daily": {"command": "check", "function": "a.b", "crontab": "@daily"}}},
        f'{ENTRY} should have either "command" or "function", but has "command" and "function".',
    ),
    "an entry without times": (
        {"SCHEDULE": {"daily": {"command": "check"}}},
        f'{ENTRY} lacks "crontab", such as "*/5 * * * *".',
    ),
    "a mistyped key of an entry": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "@daily", "timezone": "UTC"}}},
        f'{ENTRY} has an unknown key "timezone"; did you mean "time_zone"?',
    ),
    "an option that makes no sense in an entry": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "@daily", "supersede": True}}},
        f'{ENTRY} has an unknown key "supersede"; known are: command, args, options, crontab, '
        "time_zone, missed, priority, queue, retries, retry_delay, retry_backoff, timeout, "
        "expires, delay, exclusive.",
    ),
    "a crontab with four fields": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "0 3 * *"}}},
        f'{ENTRY}["crontab"] should be five fields such as "*/5 * * * *", or a name such as '
        "\"@daily\", but is '0 3 * *'.",
    ),
    "a crontab of an hour that does not exist": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "0 24 * * *"}}},
        f'{ENTRY}["crontab"] should be a crontab whose hour consists of numbers from 0 to 23, '
        '"1-5", "*" or "*/2", but is \'0 24 * * *\'.',
    ),
    "a crontab that no column can hold": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "0,1" * 100 + " * * * *"}}},
        f'{ENTRY}["crontab"] should be a crontab of at most 255 characters, but is '
        f"'{'0,1' * 100} * * * *'.",
    ),
    "a time zone that does not exist": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "@daily", "time_zone": "Berlin"}}},
        f'{ENTRY}["time_zone"] should be the name of a time zone such as "Europe/Berlin", but is '
        "'Berlin'.",
    ),
    "a choice that does not exist": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "@daily", "missed": "all"}}},
        f'{ENTRY}["missed"] should be "once" or "skip", but is \'all\'.',
    ),
    "a function that is no path": (
        {"SCHEDULE": {"daily": {"function": print, "crontab": "@daily"}}},
        f'{ENTRY}["function"] should be a name, but is <built-in function print>.',
    ),
    "arguments as a text": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "@daily", "args": "--tag"}}},
        f"{ENTRY}[\"args\"] should be a list, but is '--tag'.",
    ),
    "options as a list": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "@daily", "options": [1]}}},
        f'{ENTRY}["options"] should be a dict with text keys, but is [1].',
    ),
    "a priority of an entry as a text": (
        {"SCHEDULE": {"daily": {"command": "check", "crontab": "@daily", "priority": "high"}}},
        f"{ENTRY}[\"priority\"] should be a whole number that fits 32 bits, but is 'high'.",
    ),
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)
raw_settings = anything | st.dictionaries(
    st.sampled_from(["BACKEND", "BACKEND_OPTIONS", "HOOKS", "WORKER", "EMAIL", "hooks"]),
    anything
    | st.dictionaries(
        st.sampled_from(
            ["threads", "shutdown_timeout", "after_publish_page", "BACKEND", "retries"]
        ),
        anything | st.dictionaries(st.sampled_from(["priority", "x"]), anything),
    ),
)


# parse --------------------------------------------------------------------------------------


def test_parse__empty_gives_the_defaults() -> None:
    settings = parse({})

    assert settings == Settings(
        backend="",
        backend_options={},
        hooks={},
        worker=WorkerOptions(threads=4, processes=1, shutdown_timeout=30.0),
        email=EmailOptions("django.core.mail.backends.smtp.EmailBackend", "", 0, 10, 30.0, 2.0),
        sync_hooks=frozenset(),
        problems=(),
    )


def test_parse__everything_given() -> None:
    settings = parse(
        {
            "BACKEND": "redis",
            "BACKEND_OPTIONS": {"host": "cache", "db": 3},
            "HOOKS": {
                "after_publish_page": {"priority": 50},
                "shop.hooks.count": {"priority": -(2**31)},
                "after_edit_page": {},
            },
            "WORKER": {
                "threads": 8,
                "processes": 2,
                "coroutines": 0,
                "shutdown_timeout": 0,
                "max_tasks": 1000,
                "max_memory": 512,
            },
            "EMAIL": {
                "BACKEND": "shop.mail.Backend",
                "at_once": "shop.mail.is_secret",
                "priority": -5,
                "retries": 0,
                "retry_delay": 0,
                "retry_backoff": 1,
            },
            "BULK_ACTIONS": {"actions": ["wagtailcore.page.move"], "threshold": 0},
            "SCHEDULE": {
                "publish": {"command": "publish_scheduled", "crontab": "*/5  * * * *"},
                "stock": {
                    "function": "shop.tasks.count",
                    "args": ["all"],
                    "kwargs": {"deep": True},
                    "crontab": "@daily",
                    "time_zone": "Europe/Berlin",
                    "missed": "skip",
                    "priority": 3,
                    "retries": 2,
                },
            },
        },
        ["after_delete_page", "shop.hooks.stock"],
    )

    assert settings == Settings(
        backend="redis",
        backend_options={"host": "cache", "db": 3},
        hooks={
            "after_publish_page": TaskOptions(priority=50),
            "shop.hooks.count": TaskOptions(priority=-(2**31)),
            "after_edit_page": TaskOptions(priority=None),
        },
        worker=WorkerOptions(
            threads=8,
            processes=2,
            coroutines=0,
            shutdown_timeout=0.0,
            max_tasks=1000,
            max_memory=512,
        ),
        email=EmailOptions("shop.mail.Backend", "shop.mail.is_secret", -5, 0, 0, 1),
        bulk_actions=BulkActionOptions(frozenset({"wagtailcore.page.move"}), 0),
        schedule={
            "publish": ScheduleEntry(Crontab.parse("*/5 * * * *"), command="publish_scheduled"),
            "stock": ScheduleEntry(
                Crontab.parse("0 0 * * *"),
                function="shop.tasks.count",
                args=("all",),
                kwargs={"deep": True},
                time_zone=ZoneInfo("Europe/Berlin"),
                missed="skip",
                task_options=TaskOptions(priority=3, retries=2),
            ),
        },
        sync_hooks=frozenset({"after_delete_page", "shop.hooks.stock"}),
    )


@pytest.mark.parametrize("number", [1, 1000])
def test_parse__fewest_and_most_threads(number: int) -> None:
    settings = parse({"WORKER": {"threads": number, "processes": number}})

    assert settings.problems == ()
    assert (settings.worker.threads, settings.worker.processes) == (number, number)


@pytest.mark.parametrize("names", [["a", "b"], ("a", "b"), {"a", "b"}, iter(["a", "b", "a"])])
def test_parse__sync_hooks_in_any_collection(names: Any) -> None:
    assert parse({}, names).sync_hooks == {"a", "b"}


@pytest.mark.parametrize(("raw", "problem"), MISTAKES.values(), ids=MISTAKES)
def test_parse__names_the_mistake(raw: Any, problem: str) -> None:
    assert parse(raw).problems == (problem,)


@pytest.mark.parametrize("raw", ["after_delete_page", None, 7, [1], ["a", None], b"ab"])
def test_parse__names_the_mistake_in_the_sync_hooks(raw: Any) -> None:
    settings = parse({}, raw)

    assert settings.problems == (f"WAGTAIL_TASKS_SYNC_HOOKS should be {NAMES}, but is {raw!r}.",)
    assert settings.sync_hooks == frozenset()


def test_parse__what_is_wrong_counts_as_not_given() -> None:
    settings = parse(
        {
            "BACKEND": "database",
            "HOOKS": {
                "after_edit_page": {"priority": "x"},
                "after_publish_page": {"priority": 1},
                "after_copy_page": {"debounce": 10, "debounce_max": 5},
                "after_move_page": {"debounce_max": 5},  # of what the code says
            },
            "WORKER": {"threads": -1, "shutdown_timeout": 5},
        }
    )

    assert len(settings.problems) == 3
    assert settings.backend == "database"
    assert settings.hooks == {
        "after_edit_page": TaskOptions(),
        "after_publish_page": TaskOptions(1),
        "after_copy_page": TaskOptions(debounce=10),
        "after_move_page": TaskOptions(debounce_max=5),
    }
    assert settings.worker == WorkerOptions(threads=4, shutdown_timeout=5.0)


def test_parse__an_entry_of_the_schedule_with_a_mistake_is_left_out() -> None:
    entry = {"command": "check", "crontab": "@daily"}
    settings = parse({"SCHEDULE": {"right": entry, "wrong": {**entry, "priority": "high"}}})

    assert list(settings.schedule) == ["right"]
    assert len(settings.problems) == 1


def test_parse__ten_mistakes_give_ten_messages() -> None:
    problems = parse(
        {
            "BACKEND": 1,
            "BACKEND_OPTIONS": 2,
            "HOKS": {},
            "TIMEOUT": 4,
            "HOOKS": {
                "after_edit_page": 5,
                "after_move_page": {"priority": "6"},
                "after_copy_page": {"prority": 7},
            },
            "WORKER": {"threads": 0, "shutdown_timeout": "9"},
        },
        "after_delete_page",
    ).problems

    named = (
        'WAGTAIL_TASKS["BACKEND"]',
        'WAGTAIL_TASKS["BACKEND_OPTIONS"]',
        '"HOKS"',
        '"TIMEOUT"',
        'WAGTAIL_TASKS["HOOKS"]["after_edit_page"]',
        'WAGTAIL_TASKS["HOOKS"]["after_move_page"]["priority"]',
        '"prority"',
        'WAGTAIL_TASKS["WORKER"]["threads"]',
        'WAGTAIL_TASKS["WORKER"]["shutdown_timeout"]',
        "WAGTAIL_TASKS_SYNC_HOOKS",
    )
    assert len(problems) == 10
    for name, problem in zip(named, problems, strict=True):
        assert name in problem


@given(raw_settings, anything)
def test_parse__never_fails(raw: Any, raw_sync_hooks: Any) -> None:
    settings = parse(raw, raw_sync_hooks)

    for problem in settings.problems:
        assert problem.startswith("WAGTAIL_TASKS")
        assert problem.endswith((".", "?"))


def test_settings__are_frozen() -> None:
    with pytest.raises(AttributeError):
        parse({}).backend = "redis"  # type: ignore[misc]  # that is the point


# What the settings answer -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["after_edit_page"], True),
        (["shop.hooks.count"], True),
        (["after_edit", "shop.hooks", "count"], False),
        ([], False),
    ],
)
def test_runs_synchronously__by_hook_or_by_function(names: list[str], expected: bool) -> None:
    settings = parse({}, names)

    assert settings.runs_synchronously("after_edit_page", "shop.hooks.count") is expected


@pytest.mark.parametrize(
    ("hooks", "expected"),
    [
        ({}, None),
        ({"after_edit_page": {"priority": 5}}, 5),
        ({"shop.hooks.count": {"priority": 7}}, 7),
        ({"after_edit_page": {"priority": 5}, "shop.hooks.count": {"priority": 7}}, 7),
        ({"after_edit_page": {"priority": 5}, "shop.hooks.count": {"priority": 0}}, 0),
        ({"after_edit_page": {"priority": 5}, "shop.hooks.count": {}}, 5),
        ({"after_move_page": {"priority": 5}}, None),
    ],
)
def test_priority_for__function_then_hook(hooks: Any, expected: int | None) -> None:
    settings = parse({"HOOKS": hooks})

    assert settings.options_for("after_edit_page", "shop.hooks.count").priority == expected


# current and require ------------------------------------------------------------------------


def test_current__follows_overridden_settings() -> None:
    before = conf.current()
    with override_settings(WAGTAIL_TASKS={"BACKEND": "redis"}):
        assert conf.current().backend == "redis"
        with override_settings(WAGTAIL_TASKS_SYNC_HOOKS=["after_edit_page"]):
            assert conf.current().sync_hooks == {"after_edit_page"}
            assert conf.current().backend == "redis"
        assert conf.current().sync_hooks == frozenset()
    assert conf.current() == before


def test_current__is_read_once() -> None:
    assert conf.current() is conf.current()


def test_current__without_the_settings(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "redis"}
    del settings.WAGTAIL_TASKS
    conf.current.cache_clear()

    assert conf.current() == Settings()


def test_require__returns_the_settings(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "redis"}

    assert conf.require() is conf.current()


def test_require__raises_all_mistakes(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "redis", "WORKR": 1, "HOOKS": 2}
    settings.WAGTAIL_TASKS_SYNC_HOOKS = 3

    with pytest.raises(ConfigurationError) as raised:
        conf.require()

    problems = conf.current().problems
    assert len(problems) == 3
    assert str(raised.value) == " ".join(problems)


# Options in another package's setting --------------------------------------------------------


KNOWN = ("priority", "retries")


def test_read_options__upper_case() -> None:
    read = conf.read_options("JOBS", {"PRIORITY": 5}, KNOWN)

    assert read == TaskOptions(priority=5)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["PRIORITY"], "JOBS should be a dict with text keys, but is ['PRIORITY']."),
        ({"PRIORTY": 5}, 'JOBS has an unknown key "PRIORTY"; did you mean "PRIORITY"?'),
        ({"priority": 5}, 'JOBS has an unknown key "priority"; did you mean "PRIORITY"?'),
        ({"QUEUE": "slow"}, 'JOBS has an unknown key "QUEUE"; known are: PRIORITY, RETRIES.'),
        ({"DELAY": 5}, 'JOBS has an unknown key "DELAY"; known are: PRIORITY, RETRIES.'),
        (
            {"PRIORITY": "high", "RETRIES": -1},
            "JOBS[\"PRIORITY\"] should be a whole number that fits 32 bits, but is 'high'. "
            'JOBS["RETRIES"] should be a whole number of at least 0, but is -1.',
        ),
    ],
)
def test_read_options__names_the_mistake(given: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        conf.read_options("JOBS", given, KNOWN)

    assert str(caught.value) == problem


def test_options__as_keyword_arguments_are_the_same() -> None:
    assert get_type_hints(Options) == get_type_hints(TaskOptions)
    assert list(Options.__annotations__) == list(TaskOptions._fields)  # in the same order
