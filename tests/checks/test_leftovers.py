"""Tests of which attributes functions are said to leave: bytecode is asked before the source."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks.hooks import leftovers

HOOK = "before_edit_page"


def assigns(request: Any, page: Any) -> None:
    """Set it plainly."""
    page._left = 1


def annotates(request: Any, page: Any) -> None:
    """Set it with a type."""
    page._left: int = 1


def adds(request: Any, page: Any) -> None:
    """Change what is there."""
    page._left += 1


def unpacks(request: Any, page: Any) -> None:
    """Set it beside another."""
    _, page._left = 1, 2


def loops(request: Any, page: Any) -> None:
    """Set it in each turn."""
    for page._left in range(3):
        pass


def enters(request: Any, page: Any) -> None:
    """Set it to what a context is about."""
    with nullcontext(1) as page._left:
        pass


def calls(request: Any, page: Any) -> None:
    """Set it by name."""
    setattr(page, "_left", 1)  # noqa: B010


def nests(request: Any, page: Any) -> Any:
    """Set it later."""

    def inner() -> Any:
        return lambda: setattr(page, "_left", 1)

    return inner()()


async def awaits(request: Any, page: Any) -> None:
    """Set it in a coroutine."""
    page._left = 1


@functools.wraps(assigns)
def wraps(*args: Any) -> None:
    """Stand before one that does."""
    assigns(*args)


def reads(request: Any, page: Any) -> Any:
    """Set nothing of what it gets."""
    left = getattr(page, "_left", None)
    return [left, page.title]


class Action:
    """A class, as bulk actions are."""

    _left = 1


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    "function",
    [assigns, annotates, adds, unpacks, loops, enters, calls, nests, awaits, wraps],
    ids=lambda function: function.__code__.co_name,
)
def test_written__however_it_is_set(function: Callable[..., Any]) -> None:
    assert "_left" not in leftovers.written()
    wagtail_hooks.register(HOOK, function)
    assert leftovers.written()["_left"].startswith(f"{__name__}.")


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("function", [reads, Action, functools.partial(assigns, None), len])
def test_written__nothing_is_set(function: Any) -> None:
    wagtail_hooks.register(HOOK, function)
    assert "_left" not in leftovers.written()


def test_written__bytecode_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all functions that Wagtail, Django and the site have registered."""
    found = leftovers.written()
    assert found
    monkeypatch.setattr(leftovers, "_may_set", lambda function: True)
    assert leftovers.written() == found
