"""Tests of what titles and keys may name."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import RequestFactory
from wagtail.models import Page

from wagtail_async_hooks.utils.placeholders import Refused, filled, problems_of

SECRET = "s3cr3t-0123456789"


@dataclasses.dataclass
class Client:
    """Something that holds a secret."""

    name: str = "cdn"
    api_key: str = SECRET
    address: str = f"https://user:{SECRET}@example.com/?token={SECRET}&page=1"

    def sign(self) -> str:
        """Return a secret."""
        return SECRET


@pytest.fixture
def arguments(rf: RequestFactory, db: None) -> dict[str, Any]:
    """Arguments that hold secrets."""
    request = rf.post(f"/admin/?token={SECRET}", {"q": SECRET}, HTTP_COOKIE=f"sessionid={SECRET}")
    request.user = get_user_model()(username="ada", password=SECRET)
    page = Page(title="Tides", slug="tides")
    return {
        "request": request,
        "page": page,
        "pages": [page, page],
        "client": Client(),
        "when": datetime.date(2026, 5, 1),
        "count": 1234,
        "url": f"https://user:{SECRET}@example.com/?api_key={SECRET}&page=1",
        "args": (SECRET,),
        "kwargs": {"api_key": SECRET, "more": [SECRET]},
        "found": (SECRET for _ in range(3)),
        "keys": [1, 2],
        "password": SECRET,
    }


@pytest.mark.parametrize(
    "name",
    [
        *("request", "request.environ", "request.META", "request.GET", "request.POST", "kwargs"),
        *("request.COOKIES", "request.headers", "request.session", "request.META[HTTP_COOKIE]"),
        *(
            "request.body",
            "request.get_full_path",
            "request.user.password",
            "request.resolver_match",
        ),
        *("args", "kwargs[api_key]", "kwargs[more]", "page.__dict__", "password"),
        *("page.__class__.__init__.__globals__", "client", "client.api_key", "client.sign"),
        *("found", "page._meta", "page._state.db.x", "", "0", "page.title.__class__"),
        *("page.get_url", "page.specific_class.objects", "kwargs.values"),
    ],
)
@pytest.mark.parametrize("of_key", [False, True])
def test_filled__refuses_what_may_hold_secrets(
    arguments: dict[str, Any], name: str, of_key: bool
) -> None:
    try:
        told = filled(name, "", None, arguments, of_key=of_key)
    except (Refused, KeyError, AttributeError):
        return
    raise AssertionError(told)


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("page", "", "Tides"),
        ("page.slug", "", "tides"),
        ("pages", "", "Tides, Tides"),
        ("request.user", "", "ada"),
        ("request.user.username", "", "ada"),
        ("request.path", "", "/admin/"),
        ("request.method", "", "POST"),
        ("client.name", "", "cdn"),
        ("client.address", "", "https://…@example.com/?token=…&page=1"),
        ("url", "", "https://…@example.com/?api_key=…&page=1"),
        ("when", "%d.%m.", "01.05."),
        ("count", ",", "1,234"),
    ],
)
def test_filled__with_single_values(
    arguments: dict[str, Any], name: str, spec: str, expected: str
) -> None:
    assert filled(name, spec, None, arguments) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("keys", "[1, 2]"), ("pages[0].slug", "tides"), ("keys[1]", "2")],
)
def test_filled__a_key_may_look_into_lists(
    arguments: dict[str, Any], name: str, expected: str
) -> None:
    assert filled(name, "", None, arguments, of_key=True) == expected
    with pytest.raises(Refused):
        filled(name, "", None, arguments)


@pytest.mark.parametrize(
    ("spec", "conversion"), [("", "r"), ("", "s"), (">9999999", None), ("{count}", None)]
)
def test_filled__refuses_conversions_and_long_formats(
    arguments: dict[str, Any], spec: str, conversion: str | None
) -> None:
    with pytest.raises(Refused):
        filled("count", spec, conversion, arguments)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{request}", "user, path, method, scheme"),
        ("{request.environ}", "user, path, method, scheme"),
        ("{page.api_key}", "named like a secret"),
        ("{page!r}", "conversion"),
        ("{page.__dict__}", "private"),
        ("{kwargs}", "all arguments"),
        ("{page[0]}", "list or dict"),
        ("{page", "cannot be read"),
    ],
)
def test_problems__are_told_before_anything_runs(template: str, said: str) -> None:
    [problem] = problems_of(template)
    assert said in problem


def test_problems__there_are_none_with_single_attributes() -> None:
    assert list(problems_of("Purge {page} at {request.path} for {request.user.pk}")) == []
    assert list(problems_of("{page.pk} {pages[0].pk}", of_key=True)) == []
