"""Tests of what a callable takes, whatever it is and whatever decorates it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from wagtail_async_hooks.utils import signatures


def purge(client: Any, page: Any, depth: int = 1, *, soft: bool = False) -> None:
    """Do nothing."""


def only_page(page: Any) -> None:
    """Do nothing."""


def passed_on(function: Any, change: Callable[..., Any] = lambda *args: args) -> Any:
    """Wrap a function, and change what is passed on to it."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*change(*args), **kwargs)

    return wrapper


def adds(function: Any) -> Any:
    """Wrap a function that takes one argument more."""

    @functools.wraps(function)
    def wrapper(page: Any, depth: int = 2) -> Any:
        return function("client", page, depth)

    return wrapper


def drops(function: Any) -> Any:
    """Wrap a function that takes one argument less."""

    @functools.wraps(function)
    def wrapper(request: Any, page: Any) -> Any:
        return function(page)

    return wrapper


def lies(function: Any) -> Any:
    """Say that it takes other arguments than it does."""

    @functools.wraps(function)
    def wrapper(page: Any) -> Any:
        return function("client", page)

    wrapper.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return wrapper


class Purger:
    """Callable in many ways."""

    def __call__(self, page: Any, depth: int = 3) -> None:
        """Do nothing."""

    def method(self, page: Any) -> None:
        """Do nothing."""

    @staticmethod
    def static(page: Any) -> None:
        """Do nothing."""

    @classmethod
    def of_class(cls, page: Any) -> None:
        """Do nothing."""

    half = functools.partialmethod(method)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        (purge, ("c", "p"), {"soft": True}, {"client": "c", "page": "p", "soft": True}),
        (purge, ("c", "p"), {"sentry_headers": {}}, {"client": "c", "page": "p"}),
        (purge, ("c", "p", 1, 2, 3), {}, {}),
        (adds(purge), ("p",), {}, {"page": "p"}),
        (drops(only_page), ("r", "p"), {}, {"request": "r", "page": "p"}),
        (lies(purge), ("p",), {}, {"page": "p"}),
        (passed_on(purge), ("c", "p"), {"depth": 2}, {"client": "c", "page": "p", "depth": 2}),
        (passed_on(purge, lambda *args: ("c", *args)), ("p",), {}, {"page": "p"}),
        (passed_on(only_page, lambda *args: args[1:]), ("r", "p"), {}, {"page": "p"}),
        (passed_on(passed_on(purge)), ("c", "p"), {}, {"client": "c", "page": "p"}),
        (functools.partial(purge, "c"), ("p",), {}, {"page": "p"}),
        (functools.partial(adds(purge), depth=5), ("p",), {}, {"page": "p"}),
        (functools.lru_cache(purge), ("c", "p"), {}, {"client": "c", "page": "p"}),
        (functools.cache(adds(purge)), ("p",), {}, {"page": "p"}),
        (functools.singledispatch(only_page), ("p",), {}, {"page": "p"}),
        (Purger(), ("p",), {}, {"page": "p"}),
        (Purger().method, ("p",), {}, {"page": "p"}),
        (Purger.static, ("p",), {}, {"page": "p"}),
        (vars(Purger)["static"], ("p",), {}, {"page": "p"}),
        (Purger.of_class, ("p",), {}, {"page": "p"}),
        (dict, (), {"page": "p"}, {"page": "p"}),
        (print, ("p",), {"end": ""}, {"args": ("p",), "end": ""}),
    ],
)
def test_named__is_of_what_is_called(
    function: Any, args: Any, kwargs: Any, expected: dict[str, Any]
) -> None:
    assert signatures.named(function, args, kwargs) == expected


def test_named__fills_in_defaults_in_the_order_of_the_declaration() -> None:
    filled = signatures.named(purge, ("c",), {"page": "p"}, defaults=True)

    assert list(filled.items()) == [("client", "c"), ("page", "p"), ("depth", 1), ("soft", False)]


def test_named__of_what_cannot_be_hashed() -> None:
    class Unhashable(Purger):
        __hash__ = None  # type: ignore[assignment]

    assert signatures.named(Unhashable(), ("p",), {}) == {"page": "p"}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (purge, ("client", "page", "depth", "soft")),
        (adds(purge), ("page", "depth")),
        (passed_on(only_page), ("page",)),
        (lambda **kwargs: None, None),
        (Purger().half, ("page",)),
        (dict.fromkeys, ("iterable", "value")),
        (type("InC", (), {"__call__": max})(), None),
    ],
)
def test_names__of_what_is_called(function: Any, expected: Any) -> None:
    found = signatures.names(function)
    assert (None if found is None else set(found)) == (expected and set(expected))


@pytest.mark.parametrize(
    ("function", "count", "expected"),
    [
        (purge, 2, ["client", "page"]),
        (only_page, 2, ["page", "2"]),
        (passed_on(purge), 2, ["client", "page"]),
        (lambda *args: None, 2, ["1", "2"]),
        (print, 1, ["1"]),
    ],
)
def test_place_names__are_numbers_where_there_are_none(
    function: Any, count: int, expected: list[str]
) -> None:
    assert signatures.place_names(function, count) == expected


def test_signature__has_no_annotations_to_evaluate() -> None:
    def annotated(page: NoSuchName) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Do nothing."""

    found = signatures.signature(annotated)
    assert found is not None
    assert str(found) == "(page)"
