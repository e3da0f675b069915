"""Property tests of requests: what is promised arrives as it was, and nothing else does."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, QueryDict
from django.test import RequestFactory, override_settings
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st
from wagtail.models import Page, Site

from tests.serialization.strategies import carried, examples, optional, packed, texts, time_zones
from wagtail_async_hooks.serialization.arguments import CarriedRequest
from wagtail_async_hooks.utils.redaction import is_secret

SECRET = "s3cret"
"""It is in all that must not be carried."""

SITES = [("news.example", 80), ("news.example", 8000), ("blue.example", 443), ("[::1]", 80)]

META = {
    "REMOTE_ADDR",
    "SERVER_NAME",
    "SERVER_PORT",
    "HTTP_HOST",
    "QUERY_STRING",
    "HTTP_TRACEPARENT",
}


# Requests -----------------------------------------------------------------------------------

hosts = st.sampled_from(
    [
        "news.example",
        "news.example:8000",
        "BLUE.example",
        "[::1]:80",
        "evil.example",
        "",
        "a b",
        ":",
    ]
)
ports = st.sampled_from(["80", "443", "8000"])
visible = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="#\x7f"))
unsuspicious = visible.filter(lambda text: not is_secret(text))
"""Text that is not taken for the name of a secret, such as "PWD", which would be left out."""

queries = st.one_of(
    st.sampled_from(["", "a=1&a=2&b=", "q=%C3%A9+%26", "%FF=%ED%A0%80", "a;b", "&&=&", "caf\xe9"]),
    st.dictionaries(st.text(), st.text(), max_size=3).map(
        lambda fields: "&".join(f"{key}={value}" for key, value in fields.items())
    ),
    unsuspicious,
)
"""Queries as text; some as no browser would write them."""

settings_of_sites = st.fixed_dictionaries(
    {
        "USE_X_FORWARDED_HOST": st.booleans(),
        "USE_X_FORWARDED_PORT": st.booleans(),
        "SECURE_PROXY_SSL_HEADER": st.sampled_from([None, ("HTTP_X_FORWARDED_PROTO", "https")]),
        "ALLOWED_HOSTS": st.just(["news.example", "blue.example", "[::1]", "testserver"]),
    }
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Host": hosts,
        "X-Forwarded-Host": hosts,
        "X-Forwarded-Port": ports,
        "X-Forwarded-Proto": st.sampled_from(["http", "https"]),
        "Traceparent": st.just("00-4bf9-01"),
        "Content-Type": st.sampled_from(
            ["text/plain; charset=iso-8859-1", "text/plain; charset=utf-16", "a/b"]
        ),
        "Cookie": st.just(f"sessionid={SECRET}"),
        "Authorization": st.just(SECRET),
        "X-Api-Key": st.just(SECRET),
        "Accept": st.just(f"text/{SECRET}"),
    },
)
methods = st.sampled_from(["GET", "POST", "DELETE", "PROPFIND"])
schemes = st.sampled_from(["http", "https"])
scripts = st.sampled_from(["", "/sub"])
paths = st.one_of(st.sampled_from(["", "/", "//x//", "/é/%2F", "/a b?"]), st.text(max_size=9))
addresses = st.one_of(st.just(""), st.ip_addresses().map(str))


def _as_wsgi(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


@st.composite
def wsgi_requests(draw: Callable[..., Any]) -> HttpRequest:
    """Return a request as WSGI servers give it to Django."""
    environ = {
        "REQUEST_METHOD": draw(methods),
        "SCRIPT_NAME": draw(scripts),
        "PATH_INFO": draw(st.one_of(paths.map(_as_wsgi), visible)),
        "QUERY_STRING": draw(st.one_of(queries.map(_as_wsgi), unsuspicious)),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": draw(ports),
        "wsgi.url_scheme": draw(schemes),
        "wsgi.input": io.BytesIO(SECRET.encode()),
        "CONTENT_LENGTH": str(len(SECRET)),
        "REMOTE_USER": SECRET,
    }
    for name, value in draw(headers).items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    if (address := draw(optional(addresses))) is not None:
        environ["REMOTE_ADDR"] = address
    return WSGIRequest(environ)


@st.composite
def asgi_requests(draw: Callable[..., Any]) -> HttpRequest:
    """Return a request as ASGI servers give it to Django."""
    scope = {
        "type": "http",
        "method": draw(methods),
        "root_path": draw(scripts),
        "path": draw(paths),
        "query_string": draw(queries.map(str.encode)),
        "scheme": draw(schemes),
        "headers": [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in draw(headers).items()
        ],
        "server": draw(st.sampled_from([None, ["testserver", 80], ["testserver", 8000]])),
        "client": draw(optional(st.tuples(addresses, st.just(7)))),
    }
    return ASGIRequest(scope, io.BytesIO(SECRET.encode()))


@st.composite
def requests_by_hand(draw: Callable[..., Any]) -> HttpRequest:
    """Return a request that no server has made."""
    request = HttpRequest()
    request.method = draw(optional(methods))
    request.path = draw(texts)
    request.path_info = draw(texts)
    request.GET = QueryDict(mutable=True)
    for key, value in draw(st.dictionaries(st.text(), st.text(), max_size=2)).items():
        request.GET[key] = value
    request.META = draw(
        st.fixed_dictionaries(
            {"HTTP_X_API_KEY": st.just(SECRET)},
            optional=dict.fromkeys(sorted(META - {"SERVER_PORT"}), texts)
            | {"SERVER_PORT": st.integers(0, 2**16)},
        )
    )
    request.session = {"cart": SECRET}
    request.COOKIES = {"sessionid": SECRET}
    return request


def seen(request: HttpRequest) -> dict[str, Any]:
    """Return what a function can see of a request, of all that is promised."""
    looks: dict[str, Callable[[], Any]] = {
        "GET": lambda: [*request.GET.lists()],
        "is_secure": request.is_secure,
        "host": request.get_host,
        "port": request.get_port,
        "address": request.build_absolute_uri,
        "another address": partial(request.build_absolute_uri, "../y/?ä"),
        "full path": request.get_full_path,
        "full path info": request.get_full_path_info,
        "site": lambda: Site.find_for_request(request),
        **{name: partial(request.META.get, name) for name in META - {"HTTP_HOST", "SERVER_PORT"}},
        **{name: partial(getattr, request, name) for name in PLAIN},
    }
    return {name: _attempt(look) for name, look in looks.items()}


PLAIN = ("method", "path", "path_info", "scheme")


def _attempt(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except (DisallowedHost, KeyError, ValueError) as error:
        return type(error)


@pytest.fixture
def sites(db: None) -> None:
    """Some sites, of which one is found by its port."""
    root = Page.get_first_root_node()
    for hostname, port in SITES:
        Site.objects.create(hostname=hostname, port=port, root_page=root)


@pytest.mark.usefixtures("sites")
@given(
    request=st.one_of(wsgi_requests(), asgi_requests(), requests_by_hand()),
    settings=settings_of_sites,
)
@examples(100)
def test_request__arrives_as_it_was_promised(
    request: HttpRequest, settings: dict[str, Any]
) -> None:
    with override_settings(**settings):
        was = seen(request)

        arrived = carried(request, "request")

        assert type(arrived) is CarriedRequest
        assert seen(arrived) == was


@given(request=st.one_of(wsgi_requests(), asgi_requests(), requests_by_hand()))
@examples(50)
def test_request__nothing_else_is_carried(request: HttpRequest) -> None:
    data = packed(request)

    arrived = carried(request, "request")

    assert SECRET.encode() not in data
    assert set(arrived.META) <= META
    assert set(arrived.META) <= {*request.META, "HTTP_HOST"}
    known = {*vars(HttpRequest()), "LANGUAGE_CODE", "time_zone", "user", "_payload", "_messages"}
    assert set(vars(arrived)) <= known


@given(language=st.sampled_from(["en", "de", "pt-br", None]), zone=time_zones)
@examples(50)
def test_request__language_and_time_zone(language: str | None, zone: Any) -> None:
    with translation.override(language), timezone.override(zone):
        arrived = carried(HttpRequest(), "request")
        name = timezone.get_current_timezone_name()

    assert (arrived.LANGUAGE_CODE, arrived.time_zone) == (language, name)


@pytest.mark.django_db
@given(username=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=9))
@examples(10)
def test_request__the_user(username: str) -> None:
    request = HttpRequest()
    request.user, _ = get_user_model().objects.get_or_create(username=username)

    arrived = carried(request, "request")

    assert arrived.user == request.user
    assert arrived.user.get_username() == request.user.get_username()


# What did not arrive as it was ---------------------------------------------------------------


def test_request__a_query_that_was_not_quoted(rf: RequestFactory) -> None:
    request = rf.get("/", QUERY_STRING="q=é".encode().decode("latin-1"))

    arrived = carried(request, "request")

    assert arrived.GET["q"] == request.GET["q"] == "é"
    assert arrived.META["QUERY_STRING"] == request.META["QUERY_STRING"]


def test_request__a_query_in_the_encoding_of_the_form(rf: RequestFactory, settings: Any) -> None:
    settings.DEFAULT_CHARSET = "iso-8859-1"

    assert carried(rf.get("/?q=%E9"), "request").GET["q"] == "é"


def test_request__a_query_that_was_put_there(rf: RequestFactory) -> None:
    request = rf.get("/?q=1")
    request.GET = QueryDict("q=2")

    arrived = carried(request, "request")

    assert (arrived.GET["q"], arrived.get_full_path()) == ("2", "/?q=1")


def test_request__an_address_that_a_socket_does_not_have(rf: RequestFactory) -> None:
    assert carried(rf.get("/", REMOTE_ADDR=""), "request").META["REMOTE_ADDR"] == ""


def test_request__the_port_that_a_proxy_names(rf: RequestFactory, settings: Any) -> None:
    settings.USE_X_FORWARDED_PORT = True
    request = rf.get("/", headers={"x-forwarded-port": "8000"})

    assert carried(request, "request").get_port() == request.get_port() == "8000"


def test_request__a_host_that_a_proxy_names_and_that_is_not_allowed(
    rf: RequestFactory, settings: Any
) -> None:
    settings.USE_X_FORWARDED_HOST = True
    request = rf.get("/", headers={"host": "testserver", "x-forwarded-host": "evil.example"})

    with pytest.raises(DisallowedHost, match=r"evil\.example"):
        carried(request, "request").get_host()


def test_request__made_by_hand_without_a_host() -> None:
    arrived = carried(HttpRequest(), "request")

    assert dict(arrived.META) == {}
    with pytest.raises(KeyError, match="SERVER_NAME"):
        arrived.get_host()
