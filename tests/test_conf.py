"""Tests of the settings: what they mean, and what is said about each mistake."""

import dataclasses
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf import HookOptions, Settings, WorkerOptions, parse
from wagtail_async_hooks.exceptions import ConfigurationError

TEXT = 'a text such as "database", "redis" or a dotted path'
NAMES = "a list of hook names or dotted function paths"

MISTAKES: dict[str, tuple[Any, str]] = {
    "not a dict": (
        ["database"],
        "WAGTAIL_TASKS should be a dict, but is ['database'].",
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
        "known are: BACKEND, BACKEND_OPTIONS, HOOKS, WORKER.",
    ),
    "a key that is no text": (
        {7: 1},
        'WAGTAIL_TASKS has an unknown key "7"; known are: BACKEND, BACKEND_OPTIONS, HOOKS, WORKER.',
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
        'WAGTAIL_TASKS["BACKEND_OPTIONS"] should be a dict with text keys, but is [1].',
    ),
    "BACKEND_OPTIONS with a number for a key": (
        {"BACKEND_OPTIONS": {1: "a"}},
        "WAGTAIL_TASKS[\"BACKEND_OPTIONS\"] should be a dict with text keys, but is {1: 'a'}.",
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
    "a timeout that is no number": (
        {"WORKER": {"shutdown_timeout": float("nan")}},
        'WAGTAIL_TASKS["WORKER"]["shutdown_timeout"] should be a number of seconds of at least '
        "0, but is nan.",
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
    st.sampled_from(["BACKEND", "BACKEND_OPTIONS", "HOOKS", "WORKER", "hooks"]),
    anything
    | st.dictionaries(
        st.sampled_from(["threads", "shutdown_timeout", "after_publish_page"]),
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
            "WORKER": {"threads": 8, "processes": 2, "shutdown_timeout": 0},
        },
        ["after_delete_page", "shop.hooks.stock"],
    )

    assert settings == Settings(
        backend="redis",
        backend_options={"host": "cache", "db": 3},
        hooks={
            "after_publish_page": HookOptions(priority=50),
            "shop.hooks.count": HookOptions(priority=-(2**31)),
            "after_edit_page": HookOptions(priority=None),
        },
        worker=WorkerOptions(threads=8, processes=2, shutdown_timeout=0.0),
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
            "HOOKS": {"after_edit_page": {"priority": "x"}, "after_publish_page": {"priority": 1}},
            "WORKER": {"threads": -1, "shutdown_timeout": 5},
        }
    )

    assert len(settings.problems) == 2
    assert settings.backend == "database"
    assert settings.hooks == {
        "after_edit_page": HookOptions(),
        "after_publish_page": HookOptions(1),
    }
    assert settings.worker == WorkerOptions(threads=4, shutdown_timeout=5.0)


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
    with pytest.raises(dataclasses.FrozenInstanceError):
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

    assert settings.priority_for("after_edit_page", "shop.hooks.count") == expected


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
