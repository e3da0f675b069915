"""Tests of what the source of a function tells before it runs."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from wagtail_async_hooks.exceptions import NotCarried
from wagtail_async_hooks.hooks.source import NOT_CARRIED, what_is_missing
from wagtail_async_hooks.serialization.arguments import CarriedRequest
from wagtail_async_hooks.utils import signatures


def reads_all(request: Any, page: Any) -> Any:
    """Read what is there, and what is not."""
    if request.user.is_authenticated and "page" in request.GET:
        return request.session, request.FILES, request.COOKIES, request.body
    return page.POST


async def waits(anything: Any) -> Any:
    """Call the request something else."""
    return anything.POST


@functools.cache
def cached(request: Any) -> Any:
    """Stand behind a decorator."""
    return request.session


def no_arguments() -> None:
    """Take nothing."""


def found(function: Any) -> list[str]:
    """Return what is missing, without the places."""
    return [finding.what for finding in what_is_missing(function)]


def test_what_is_missing__names_each_in_the_order_of_the_source() -> None:
    assert found(reads_all) == [
        "request.session",
        "request.FILES",
        "request.COOKIES",
        "request.body",
    ]


def test_what_is_missing__says_where() -> None:
    line = reads_all.__code__.co_firstlineno + 3

    assert {finding.place for finding in what_is_missing(reads_all)} == {f"{__file__}:{line}"}


def test_what_is_missing__whatever_the_request_is_called() -> None:
    assert found(waits) == ["anything.POST"]


def test_what_is_missing__behind_a_decorator() -> None:
    assert found(cached) == ["request.session"]


@pytest.mark.parametrize(
    "function", [len, no_arguments, lambda request: request.POST, functools.partial(reads_all)]
)
def test_what_is_missing__of_what_has_no_source_of_its_own(function: Any) -> None:
    assert found(function) == []


@pytest.mark.parametrize("name", NOT_CARRIED)
def test_not_carried__is_what_a_request_in_a_worker_lacks(name: str, rf: Any) -> None:
    from wagtail_async_hooks.serialization.requests import encode_request

    request = CarriedRequest(encode_request(rf.get("/")))

    with pytest.raises(NotCarried):
        getattr(request, name)


@pytest.mark.parametrize(
    ("function", "misfit"),
    [
        (reads_all, ""),
        (no_arguments, "takes ()"),
        (functools.partial(reads_all, None, None), "takes ()"),
        (print, ""),
    ],
)
def test_misfit(function: Any, misfit: str) -> None:
    assert signatures.misfit(function, ("request", "page")) == misfit
