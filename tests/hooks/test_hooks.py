"""Tests of the drop-in for ``wagtail.hooks``: the same, and ``background=True``."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from wagtail import hooks as wagtail_hooks
from wagtail.signals import page_published

from wagtail_async_hooks import background, hooks, receiver
from wagtail_async_hooks.hooks import registry

HOOK = "after_create_page"


def first(request: Any, page: Any) -> str:
    """A hook function."""
    return "first"


def second(request: Any, page: Any) -> str:
    """Another hook function."""
    return "second"


pytestmark = pytest.mark.usefixtures("registries")


# A drop-in ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in vars(wagtail_hooks) if name[0] != "_"])
def test_hooks__has_every_name_of_wagtail(name: str) -> None:
    ours = getattr(hooks, name)

    assert ours is getattr(wagtail_hooks, name) or name in ("register", "register_temporarily")


def test_hooks__has_what_wagtail_may_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wagtail_hooks, "unregister", first, raising=False)

    assert hooks.unregister is first


def test_hooks__lacks_what_wagtail_lacks() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        hooks.no_such_name  # noqa: B018  (asking for it is the test)


@pytest.mark.parametrize("name", ["register", "register_temporarily"])
def test_hooks__takes_all_that_wagtail_takes(name: str) -> None:
    def told(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    theirs = told(getattr(wagtail_hooks, name))

    assert told(getattr(hooks, name))[: len(theirs)] == theirs


# register -----------------------------------------------------------------------------------


def test_register__as_a_call() -> None:
    assert hooks.register(HOOK, first) is first
    assert wagtail_hooks.get_hooks(HOOK) == [first]


def test_register__as_a_decorator() -> None:
    assert hooks.register(HOOK)(first) is first
    assert wagtail_hooks.get_hooks(HOOK) == [first]


def test_register__a_synchronous_hook_is_the_same_object() -> None:
    class Action:
        """What ``register_bulk_action`` inspects."""

    hooks.register("register_bulk_action", Action)

    assert any(found is Action for found in wagtail_hooks.get_hooks("register_bulk_action"))
    assert registry.kept_synchronous == [] or registry.kept_synchronous[-1].function is not Action


def test_register__in_the_background_as_a_call() -> None:
    assert hooks.register(HOOK, first, background=True) is first

    [registered] = wagtail_hooks.get_hooks(HOOK)
    assert registered is not first
    assert registered.__wrapped__ is first
    assert registry.entries[HOOK, f"{__name__}.first"].function is first


def test_register__in_the_background_as_a_decorator() -> None:
    assert hooks.register(HOOK, background=True, priority=7)(first) is first

    [registered] = wagtail_hooks.get_hooks(HOOK)
    assert registered.__wrapped__ is first
    assert registry.entries[HOOK, f"{__name__}.first"].options.priority == 7


def test_register__one_function_for_several_hooks() -> None:
    hooks.register(HOOK, background=True)(hooks.register("after_edit_page", background=True)(first))

    path = f"{__name__}.first"
    assert {key for key in registry.entries if key[1] == path} == {
        (HOOK, path),
        ("after_edit_page", path),
    }


@pytest.mark.parametrize("background", [False, True])
def test_register__order(background: bool) -> None:
    hooks.register(HOOK, first, 2, background=background)
    hooks.register(HOOK, order=-1, background=background)(second)

    names = [function.__name__ for function in wagtail_hooks.get_hooks(HOOK)]

    assert names == ["second", "first"]


@pytest.mark.parametrize(
    "hook", ["register_admin_urls", "before_publish_page", "construct_main_menu", "after_tea"]
)
def test_register__a_hook_that_is_not_background_safe(hook: str) -> None:
    assert hooks.register(hook, first, background=True) is first

    assert wagtail_hooks.get_hooks(hook)[-1] is first
    kept = registry.kept_synchronous[-1]
    assert (kept.hook, kept.function, kept.is_unsuitable) == (hook, first, True)
    assert "not background-safe" in kept.reason


def test_register__priority_needs_background() -> None:
    with pytest.raises(TypeError) as raised:
        hooks.register(HOOK, first, priority=5)

    assert str(raised.value) == f'register("{HOOK}", priority=…) needs background=True as well.'
    assert wagtail_hooks.get_hooks(HOOK) == []


def test_register__priority_needs_background_in_a_decorator() -> None:
    with pytest.raises(TypeError):
        hooks.register(HOOK, priority=0)


# register_temporarily -----------------------------------------------------------------------


def test_register_temporarily__synchronous() -> None:
    with hooks.register_temporarily(HOOK, first, order=3):
        hooks.register(HOOK, second)
        assert wagtail_hooks.get_hooks(HOOK) == [second, first]
    assert wagtail_hooks.get_hooks(HOOK) == [second]


def test_register_temporarily__in_the_background() -> None:
    with hooks.register_temporarily(HOOK, first, background=True, priority=4):
        [registered] = wagtail_hooks.get_hooks(HOOK)
        assert registered.__wrapped__ is first
        assert registry.entries[HOOK, f"{__name__}.first"].options.priority == 4
    assert wagtail_hooks.get_hooks(HOOK) == []


def test_register_temporarily__as_a_decorator() -> None:
    @hooks.register_temporarily(HOOK, first, background=True)
    def names() -> list[str]:
        return [function.__name__ for function in wagtail_hooks.get_hooks(HOOK)]

    assert names() == ["first"]
    assert wagtail_hooks.get_hooks(HOOK) == []


@pytest.mark.parametrize("background", [False, True])
def test_register_temporarily__several(background: bool) -> None:
    several = [(HOOK, first), ("after_edit_snippet", second)]
    with hooks.register_temporarily(several, background=background):
        [of_page] = wagtail_hooks.get_hooks(HOOK)
        [of_snippet] = wagtail_hooks.get_hooks("after_edit_snippet")

    assert inspect.unwrap(of_page) is first
    assert inspect.unwrap(of_snippet) is second
    assert (of_page is first) is not background
    assert wagtail_hooks.get_hooks(HOOK) == wagtail_hooks.get_hooks("after_edit_snippet") == []


def test_register_temporarily__priority_needs_background() -> None:
    with pytest.raises(TypeError, match="needs background=True"):
        hooks.register_temporarily(HOOK, first, priority=5)


# Spellings ----------------------------------------------------------------------------------


def spelt(request: Any, page: Any) -> None:
    """What the decorators below are written above."""


@pytest.mark.parametrize(
    ("decorate", "expected"),
    [
        (
            lambda: hooks.register(spelt),
            r"write @hooks\.register\(.* than give it .*spelt\.",
        ),
        (lambda: hooks.register(None), r"takes the name of a hook first"),
        (lambda: hooks.register("after_move_page", "a.path"), r"takes a function, but was given"),
        (
            lambda: hooks.register("after_move_page", background="yes"),
            r"background=…\) should be True or False, but is 'yes'\.",
        ),
        (lambda: receiver(spelt), r"write @receiver\(page_published\) with its brackets"),
        (lambda: receiver([spelt], background=True), r"write @receiver\(page_published\)"),
        (lambda: receiver("page_published"), r"takes a signal first"),
        (lambda: receiver(page_published, background=1), r"background=…\) should be True or False"),
        (
            lambda: background.task(spelt),
            r"write @background\.task\(\) with its brackets above",
        ),
    ],
)
def test_spelling__is_told_where_it_is_written(decorate: Any, expected: str) -> None:
    with pytest.raises(TypeError, match=expected):
        decorate()
