"""Tests of templates that a hook renders with the request that was carried to it."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.storage import default_storage
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import HttpRequest
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.test import RequestFactory
from django.utils.cache import patch_vary_headers
from wagtail.models import Page

from tests.serialization.strategies import packed, unpacked
from wagtail_async_hooks.exceptions import NotCarried
from wagtail_async_hooks.hooks.source import NOT_CARRIED
from wagtail_async_hooks.serialization.absent_parts import ABSENT, Empty
from wagtail_async_hooks.serialization.arguments import CarriedRequest

PROCESSORS = [
    "django.template.context_processors.csrf",
    "django.template.context_processors.debug",
    "django.template.context_processors.i18n",
    "django.template.context_processors.media",
    "django.template.context_processors.request",
    "django.template.context_processors.static",
    "django.template.context_processors.tz",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
    "wagtail.contrib.settings.context_processors.settings",
]

DJANGO = [
    "{{ request.session.cart }}",
    "{{ request.session.cart.items.0.name }}",
    "{{ request.session.cart|default:'none' }}",
    "{{ request.session.cart|length }}",
    "{{ request.session|length }}",
    "{{ request.session.items|length }}",
    "{{ request.session.keys|join:', ' }}",
    "{{ request.COOKIES.consent }}",
    "{{ request.COOKIES.consent|yesno:'yes,no,unknown' }}",
    "{{ request.COOKIES.items|length }}",
    "{{ request.POST.q }}",
    "{{ request.POST.q|default_if_none:'none' }}",
    "{{ request.POST.items|length }}",
    "{{ request.POST.lists|length }}",
    "{{ request.FILES.photo.url }}",
    "{{ request.FILES|length }}",
    "{{ request.body|length }}",
    "{{ request.headers.X_API_KEY }}",
    "{{ request.META.HTTP_USER_AGENT }}",
    "{{ request.nothing.at.all }}",
    "{% if request.session.items %}yes{% else %}no{% endif %}",
    "{% if request.COOKIES %}yes{% else %}no{% endif %}",
    "{% if request.COOKIES.consent %}yes{% else %}no{% endif %}",
    "{% if not request.COOKIES.consent %}ask{% else %}go{% endif %}",
    "{% if not request.COOKIES %}ask{% else %}go{% endif %}",
    "{% if 'consent' in request.COOKIES %}yes{% else %}no{% endif %}",
    "{% if 'consent' not in request.COOKIES %}ask{% else %}go{% endif %}",
    "{% if 'a' in request.session or 'b' not in request.POST %}yes{% else %}no{% endif %}",
    "{% if request.COOKIES.consent == None %}yes{% else %}no{% endif %}",
    "{% if request.COOKIES.consent is None %}yes{% else %}no{% endif %}",
    "{% if request.COOKIES.consent == 'yes' %}yes{% else %}no{% endif %}",
    "{% if request.COOKIES.consent != 'yes' %}yes{% else %}no{% endif %}",
    "{% if request.session.visits < 3 %}yes{% else %}no{% endif %}",
    "{% if request.POST|length == 0 %}yes{% else %}no{% endif %}",
    "{% if request.FILES %}yes{% else %}no{% endif %}",
    "{% if request.body %}yes{% else %}no{% endif %}",
    "{% for key, value in request.session.items %}{{ key }}{% empty %}none{% endfor %}",
    "{% for key in request.session.keys %}{{ key }}{% empty %}none{% endfor %}",
    "{% for key in request.COOKIES %}{{ key }}{% empty %}none{% endfor %}",
    "{% for key, values in request.POST.lists %}{{ key }}{% empty %}none{% endfor %}",
    "{% for each in request.FILES.values reversed %}{{ each }}{% empty %}none{% endfor %}",
    "{% for item in request.session.cart %}{{ item }}{% empty %}none{% endfor %}",
    "{% with cart=request.session.cart %}[{{ cart }}]{% endwith %}",
    "{% firstof request.COOKIES.a request.session.b 'c' %}",
    "{% ifchanged request.COOKIES.a %}changed{% endifchanged %}",
    "{% widthratio request.session.a 100 10 %}",
    "{% include part %}",
    "{% csrf_token %}",
    "{{ csrf_token|length }}",
    "{% if messages %}yes{% else %}no{% endif %}",
    "{% for message in messages %}{{ message }}{% empty %}none{% endfor %}",
    "{% if debug %}yes{% else %}no{% endif %}{{ LANGUAGE_CODE }}{{ TIME_ZONE }}{{ STATIC_URL }}",
    "{% load wagtailuserbar %}{% wagtailuserbar %}",
    "{% load wagtailcore_tags %}{% slugurl 'nowhere' %}",
    "{% load wagtailcore_tags %}{% slugurl home.slug %}{% pageurl home %}{% fullpageurl home %}",
    "{% load wagtailcore_tags %}{% wagtail_site as site %}{{ site.hostname }}",
    "{{ request.user.is_authenticated }}{{ user.is_staff }}{{ perms.auth }}",
    "{{ request.GET.q }}{{ request.GET.none }}{{ request.path }}{{ request.method }}",
    "{{ request.resolver_match.url_name }}",
]

JINJA = [
    "{{ request.session.cart }}",
    "{{ request.session['cart'] }}",
    "{{ request.session.get('cart', 'none') }}",
    "{{ request.session.get('cart', {}) | length }}",
    "{{ request.COOKIES.consent | default('none') }}",
    "{{ request.COOKIES['consent'] or 'none' }}",
    "{{ request.POST.q }}{{ request.POST.get('q', '') }}{{ request.POST.getlist('q') }}",
    "{{ request.FILES.photo }}{{ request.body | length }}",
    "{{ request.headers['X-Api-Key'] or '' }}{{ request.META.get('HTTP_ACCEPT', '') }}",
    "{% if not request.COOKIES.consent %}ask{% else %}go{% endif %}",
    "{% if 'consent' not in request.COOKIES %}ask{% else %}go{% endif %}",
    "{% if request.session.cart is defined %}yes{% else %}no{% endif %}",
    "{% for key, value in request.session.items() %}{{ key }}{% else %}none{% endfor %}",
    "{% for key in request.COOKIES %}{{ key }}{% else %}none{% endfor %}",
    "{% for key, values in request.POST.lists() %}{{ key }}{% else %}none{% endfor %}",
    "{{ csrf_input }}",
    "{{ request.user.is_authenticated }}{{ request.GET.q }}{{ request.path }}",
]


def carried(request: HttpRequest) -> CarriedRequest:
    """Return what becomes of a request on its way to the worker."""
    arrived: CarriedRequest = unpacked(packed(request))
    return arrived


@pytest.fixture
def fresh(rf: RequestFactory) -> HttpRequest:
    """A request of a visitor who has nothing yet."""
    request = rf.get("/news/?q=tea")
    request.user = AnonymousUser()
    request.session = SessionStore()
    request._messages = default_storage(request)
    request.META["CSRF_COOKIE"] = "a" * 32
    return request


@pytest.fixture
def arrived(fresh: HttpRequest) -> CarriedRequest:
    """The same as it arrives in a worker."""
    request = carried(fresh)
    request.META["CSRF_COOKIE"] = fresh.META["CSRF_COOKIE"]
    return request


def _django(text: str, request: HttpRequest, invalid: str = "") -> str:
    options = {
        "context_processors": PROCESSORS,
        "string_if_invalid": invalid,
        "libraries": {},
    }
    backend = DjangoTemplates({"NAME": "d", "APP_DIRS": True, "DIRS": [], "OPTIONS": options})
    part = backend.from_string("<form>{% csrf_token %}{{ request.POST.q }}</form>").template
    rendered: str = backend.from_string(text).render(
        {"part": part, "home": Page.objects.get(depth=2)}, request
    )
    return _masked(rendered)


def _masked(text: str) -> str:
    """Return a text without the value of CSRF tokens, which differs each time."""
    return re.sub(r'value="\w{64}"', 'value="token"', text)


@pytest.mark.django_db
@pytest.mark.parametrize("invalid", ["", "INVALID %s"])
@pytest.mark.parametrize("text", DJANGO)
def test_django__as_for_somebody_new(
    text: str, invalid: str, fresh: HttpRequest, arrived: CarriedRequest
) -> None:
    assert _django(text, arrived, invalid) == _django(text, fresh, invalid)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ABSENT)
def test_django__a_part_prints_nothing(name: str, arrived: CarriedRequest) -> None:
    assert _django(f"[{{{{ request.{name} }}}}]", arrived, "INVALID %s") == "[]"


@pytest.mark.django_db
def test_django__a_session_is_false(arrived: CarriedRequest) -> None:
    assert _django("{% if request.session %}yes{% else %}no{% endif %}", arrived) == "no"


@pytest.mark.django_db
@pytest.mark.parametrize("call", ["read", "readline", "readlines", "getlist"])
def test_django__a_method_that_cannot_be_called_prints_nothing(
    call: str, arrived: CarriedRequest
) -> None:
    assert _django(f"[{{{{ request.{call} }}}}]", arrived) == "[]"


def _jinja(text: str, request: HttpRequest) -> str:
    jinja = pytest.importorskip("django.template.backends.jinja2")
    backend = jinja.Jinja2({"NAME": "j", "APP_DIRS": False, "DIRS": [], "OPTIONS": {}})
    return _masked(backend.from_string(text).render({}, request))


@pytest.mark.django_db
@pytest.mark.parametrize("text", JINJA)
def test_jinja__as_for_somebody_new(text: str, fresh: HttpRequest, arrived: CarriedRequest) -> None:
    assert _jinja(text, arrived) == _jinja(text, fresh)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ABSENT)
def test_jinja__a_part_prints_nothing(name: str, arrived: CarriedRequest) -> None:
    assert _jinja(f"[{{{{ request.{name} }}}}]", arrived) == "[]"


@pytest.mark.django_db
def test_templates__what_the_author_puts_there_counts(arrived: CarriedRequest) -> None:
    arrived.session = {"cart": "three"}
    arrived.COOKIES = {"consent": "yes"}

    assert _django("{{ request.session.cart }}{{ request.COOKIES.consent }}", arrived) == "threeyes"
    del arrived.session
    assert _django("{{ request.session.cart }}{{ request.COOKIES.consent }}", arrived) == "yes"


@pytest.mark.django_db
@pytest.mark.parametrize("position", ["", "top-left"])
def test_userbar__of_an_editor_and_of_one_who_was_deleted(
    rf: RequestFactory, editor: Any, position: str
) -> None:
    request = rf.get("/")
    request.user = editor
    text = f"{{% load wagtailuserbar %}}{{% wagtailuserbar '{position or 'bottom-right'}' %}}"

    assert "wagtail-userbar" in _django(text, carried(request))
    arrived = carried(request)
    get_user_model().objects.all().delete()
    assert _django(text, arrived) == ""
    assert _django("{{ request.user }}", carried(request)) == "AnonymousUser"


@pytest.mark.django_db
def test_page__is_served_with_the_request(
    editor: Any, rf: RequestFactory, home: Any, django_assert_max_num_queries: Any
) -> None:
    request = rf.get("/")
    request.user = editor
    arrived = carried(request)
    page = home.specific

    assert page.get_context(arrived)["request"] is arrived
    response = page.serve(arrived)
    response.render()
    patch_vary_headers(response, ["Cookie"])

    assert page.title in response.content.decode()
    assert engines["django"].from_string("{{ page.title }}").render({"page": page}, arrived)


@pytest.fixture
def home(db: None) -> Any:
    """The page that the blog begins with."""
    from tests.site.blog.models import HomePage

    root = Page.objects.get(depth=1)
    return root.add_child(instance=HomePage(title="Tea and cakes", slug="tea"))


# In Python ----------------------------------------------------------------------------------


PYTHON = {
    "x in COOKIES": lambda request: "x" in request.COOKIES,
    "COOKIES.get": lambda request: request.COOKIES.get("x"),
    "get_signed_cookie": lambda request: request.get_signed_cookie("x", default=None),
    "bool of session": lambda request: bool(request.session),
    "len of session": lambda request: len(request.session),
    "iter of session": lambda request: list(request.session),
    "session.set": lambda request: request.session.__setitem__("x", 1),
    "POST.get": lambda request: request.POST.get("x"),
    "FILES": lambda request: request.FILES["x"],
    "body": lambda request: request.body.decode(),
    "read": lambda request: request.read(),
    "readline": lambda request: request.readline(),
    "readlines": lambda request: request.readlines(),
    "iteration": lambda request: list(request),
}


@pytest.mark.parametrize("read", PYTHON.values(), ids=PYTHON)
def test_python__says_what_is_not_carried(read: Any, arrived: CarriedRequest) -> None:
    with pytest.raises(NotCarried, match=r"^request\.[\w()]+ is not carried to the worker: "):
        read(arrived)


def test_python__what_asks_first_copes(arrived: CarriedRequest) -> None:
    assert not any(hasattr(arrived, name) for name in ABSENT)
    assert getattr(arrived, "session", None) is None
    assert arrived.META.get("HTTP_COOKIE") is None
    assert "session" not in arrived
    with pytest.raises(KeyError):
        arrived["path"]


@pytest.mark.django_db
def test_python__a_copy_is_a_carried_request(arrived: CarriedRequest) -> None:
    for each in (copy.copy(arrived), copy.deepcopy(arrived)):
        assert (type(each), each.path) == (CarriedRequest, "/news/")
        with pytest.raises(NotCarried):
            each.session  # noqa: B018
        assert _django("{{ request.session.cart }}", each) == ""


def test_names__are_those_of_the_check() -> None:
    assert set(ABSENT) == set(NOT_CARRIED)


def test_empty__is_new_each_time(arrived: CarriedRequest) -> None:
    arrived["session"]["cart"] = 1
    assert arrived["session"] == Empty() == {}
    assert arrived["POST"].getlist("a", [1]) == [1]
