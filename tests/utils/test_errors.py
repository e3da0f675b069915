"""Tests of where an error was raised: the innermost function of the site's own code."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from wagtail_async_hooks.exceptions import BaseExceptionRaised
from wagtail_async_hooks.utils.crontab import parse_zone
from wagtail_async_hooks.utils.errors import MAX_CLASS, is_installed, place_of


def caught(function: Callable[..., Any], *arguments: Any, inside: int = 0) -> BaseException:
    """Return what a function raises.

    :param inside: how many of the outermost calls its traceback has lost.
    """
    with pytest.raises(BaseException) as info:  # noqa: PT011  # whatever it is
        function(*arguments)
    if inside:
        info.value.__traceback__ = list(iterate(info.value.__traceback__))[inside]
    return info.value


def iterate(step: TracebackType | None) -> Iterator[TracebackType]:
    """Yield the steps of a traceback, the outermost first."""
    while step is not None:
        yield step
        step = step.tb_next


def fail(depth: int = 0) -> None:
    """Call itself, and then fail."""
    if depth:
        fail(depth - 1)
    raise ValueError("no luck")


def fail_in_library() -> None:
    """Fail in the standard library."""
    json.loads("{")


def fail_in_package() -> None:
    """Fail in an installed package."""
    ContentType(nonsense=1)


def fail_in_this_package() -> None:
    """Fail in code of ours."""
    parse_zone("nowhere")


def call(function: Callable[[], Any]) -> None:
    """Call a function."""
    function()


async def fail_in_coroutine() -> None:
    """Fail after having been suspended."""
    await asyncio.sleep(0)
    fail_in_library()


def generate() -> Iterator[int]:
    """Fail on the way."""
    yield 1
    fail_in_package()


def overflow() -> None:
    """Never end."""
    overflow()


class Shop:
    """Something with a method."""

    def sell(self) -> None:
        """Fail in a function within a method."""

        def pay() -> None:
            raise KeyError("money")

        pay()


@dataclasses.dataclass
class Picky:
    """Something whose ``__init__()`` is made by the standard library."""

    name: str

    def __post_init__(self) -> None:
        fail_in_library()


def test_place__innermost_function_of_the_site() -> None:
    assert place_of(caught(fail)) == f"{__name__}.fail"
    assert place_of(caught(call, fail)) == f"{__name__}.fail"
    assert place_of(caught(Shop().sell)) == f"{__name__}.Shop.sell.<locals>.pay"
    assert place_of(caught(lambda: 1 / 0)).endswith(".<locals>.<lambda>")


@pytest.mark.parametrize("function", [fail_in_library, fail_in_package, fail_in_this_package])
def test_place__passes_over_what_is_not_the_sites(function: Any) -> None:
    assert place_of(caught(function)) == f"{__name__}.{function.__name__}"


def test_place__where_the_site_calls_back_through_a_library() -> None:
    with ThreadPoolExecutor() as pool:
        error = caught(pool.submit(call, fail).result)
    assert place_of(error) == f"{__name__}.fail"


def test_place__where_no_code_is_the_sites() -> None:
    error = caught(json.loads, "{", inside=1)
    assert place_of(error) == "json.decoder.JSONDecoder.raw_decode"


def test_place__of_coroutines_and_generators() -> None:
    assert place_of(caught(asyncio.run, fail_in_coroutine())) == f"{__name__}.fail_in_library"
    assert place_of(caught(list, generate())) == f"{__name__}.fail_in_package"


def test_place__of_recursion() -> None:
    assert place_of(caught(fail, 5)) == place_of(caught(fail, 50)) == f"{__name__}.fail"
    assert place_of(caught(overflow)) == f"{__name__}.overflow"


def test_place__of_code_that_was_made() -> None:
    made: dict[str, Any] = {}
    exec("def work(): raise ValueError", made)
    assert place_of(caught(made["work"])) == "work"
    made["__name__"] = "made.up"
    assert place_of(caught(made["work"])) == "made.up.work"
    made["__name__"] = None
    assert place_of(caught(made["work"])) == "work"
    made["__file__"] = os.path.join(sysconfig.get_path("purelib"), "shop.py")
    assert place_of(caught(call, made["work"])) == f"{__name__}.call"
    # The innermost function is __post_init__(), not what the standard library has made.
    assert place_of(caught(Picky, "")) == f"{__name__}.fail_in_library"


def test_place__of_a_module_whose_name_cannot_be_read() -> None:
    class Name(str):
        def __format__(self, spec: str) -> str:
            raise ValueError("no format")

        __str__ = __format__  # type: ignore[assignment]

    made: dict[str, Any] = {"__name__": Name("sly")}
    exec("def work(): raise ValueError", made)
    assert place_of(caught(made["work"])) == "sly.work"


def test_place__of_errors_that_are_no_exceptions() -> None:
    def leave() -> None:
        raise SystemExit

    error = caught(leave)
    place = f"{__name__}.test_place__of_errors_that_are_no_exceptions.<locals>.leave"
    assert place_of(error) == place_of(BaseExceptionRaised(error)) == place


def test_place__of_an_error_that_was_never_raised() -> None:
    assert place_of(ValueError("no luck")) == ""


def test_place__of_a_class_that_hides_its_traceback() -> None:
    class Secretive(Exception):
        __traceback__ = None  # type: ignore[assignment]

    def hide() -> None:
        raise Secretive

    assert place_of(caught(hide)).endswith("<locals>.hide")


def test_place__is_no_longer_than_its_column() -> None:
    made: dict[str, Any] = {"__name__": "m" * 300}
    exec("def work(): raise ValueError", made)
    assert place_of(caught(made["work"])) == f"{'m' * (MAX_CLASS - 3)}..."


def test_installed__by_folders_not_by_how_their_names_begin() -> None:
    ours = os.path.dirname(os.path.dirname(__import__("wagtail_async_hooks").__file__))
    assert is_installed(os.path.join(ours, "wagtail_async_hooks", "apps.py"))
    assert not is_installed(os.path.join(ours, "wagtail_async_hooks_shop", "apps.py"))
    assert is_installed("/usr/lib/python3/dist-packages/shop.py")
    assert not is_installed("<string>")
