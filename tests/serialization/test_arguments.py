"""Tests of arguments: what a hook gets in a worker is what it would have got in the request."""

import datetime
import sys
import types
import uuid
from typing import Any

import pytest
from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group
from django.contrib.sessions.models import Session
from django.core.exceptions import DisallowedHost
from django.db import models
from django.http import HttpRequest, QueryDict
from django.test import AsyncRequestFactory, RequestFactory
from django.test.utils import isolate_apps
from django.urls import reverse_lazy
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy, pgettext_lazy
from huey.registry import Message
from modelcluster.fields import ParentalKey
from modelcluster.models import ClusterableModel
from wagtail.models import Page, PageViewRestriction, Site

from tests.oddities.models import Place
from tests.site.blog.models import (
    Advert,
    Author,
    BlogPage,
    ContactSettings,
    HomePage,
    RelatedLink,
)
from wagtail_async_hooks.exceptions import (
    CannotSerialize,
    CodecFailed,
    NotCarried,
    RemoteError,
    TargetGone,
)
from wagtail_async_hooks.serialization import codecs
from wagtail_async_hooks.serialization.arguments import (
    CHUNK,
    BulkActionInfo,
    CarriedRequest,
    ModelSequence,
    Snapshot,
)
from wagtail_async_hooks.serialization.codecs import Reference, resolve
from wagtail_async_hooks.serialization.messages import SignedJSONSerializer

SERIALIZER = SignedJSONSerializer()


def packed(value: Any) -> bytes:
    """Return the message of a hook that gets a value."""
    return SERIALIZER.serialize(Message("id", "name", args=("hook", value), kwargs={}))


def unpacked(data: bytes) -> Any:
    """Return what the worker's function gets."""
    return resolve(SERIALIZER.deserialize(data).args[1])


def carried(value: Any) -> Any:
    """Return what becomes of a value on its way to the worker."""
    return unpacked(packed(value))


@pytest.fixture
def home(db: None) -> HomePage:
    """A front page."""
    return Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))


@pytest.fixture
def page(home: HomePage) -> BlogPage:
    """A post with blocks, tags and links."""
    author = Author.objects.create(name="Ada")
    page = BlogPage(title="Tides", slug="tides", introduction="High and low", author=author)
    page.body = [("heading", "Ebb"), ("quote", {"text": "It turns.", "source": "A pilot"})]
    page.related_links = [
        RelatedLink(title="Tables", url="https://tides.example/"),
        RelatedLink(title="Harbour", url="https://harbour.example/"),
    ]
    home.add_child(instance=page)
    page.tags.add("sea", "moon")
    page.save()
    return page


@pytest.fixture
def adverts(db: None) -> list[Advert]:
    """Three adverts."""
    return [Advert.objects.create(text=text) for text in ("Tea", "Nets", "Boats")]


# Models -------------------------------------------------------------------------------------


def test_model__a_page(page: BlogPage) -> None:
    arrived = carried(page)

    assert type(arrived) is BlogPage
    assert arrived == page
    assert arrived is not page
    assert arrived.body[0].value == "Ebb"


def test_model__a_page_loaded_as_a_plain_one_comes_back_specific(page: BlogPage) -> None:
    arrived = carried(Page.objects.get(pk=page.pk))

    assert type(arrived) is BlogPage
    assert arrived.introduction == "High and low"


def test_model__a_page_that_is_not_live(page: BlogPage) -> None:
    page.unpublish()

    assert carried(page).live is False


def test_model__is_read_when_the_task_runs(page: BlogPage, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        data = packed(page)
        message = SERIALIZER.deserialize(data)
    BlogPage.objects.filter(pk=page.pk).update(title="Neap tides")
    with django_assert_num_queries(1):
        arrived = resolve(message.args[1])

    assert arrived.title == "Neap tides"


def test_model__a_snippet(adverts: list[Advert]) -> None:
    assert carried(adverts[0]) == adverts[0]


def test_model__a_user(editor: Any) -> None:
    assert carried(editor) == editor


def test_model__the_user_of_a_request(editor: Any) -> None:
    assert carried(SimpleLazyObject(lambda: editor)) == editor


def test_model__with_a_text_for_a_key(db: None) -> None:
    assert carried(Place.everything.create(code="k€y")).pk == "k€y"


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda session: session,
        lambda session: [session],
        lambda session: {"a": (session,)},
        lambda session: Session.objects.all(),
        Snapshot.of,
        lambda session: [Snapshot.of(session)],
    ],
    ids=["itself", "a list", "within", "a queryset", "a copy", "a list of copies"],
)
def test_model__a_session_is_refused(db: None, wrapped: Any) -> None:
    session = Session.objects.create(session_key="k€y", expire_date=timezone.now())

    with pytest.raises(CannotSerialize, match="a session cannot be carried") as raised:
        packed(wrapped(session))
    assert "k€y" not in str(raised.value)


@isolate_apps("tests.site.blog")
def test_model__with_a_uuid_for_a_key() -> None:
    class Ticket(models.Model):
        id = models.UUIDField(primary_key=True)

        class Meta:
            app_label = "blog"

    ticket = Ticket(pk=uuid.uuid4())
    ticket._state.adding = False

    reference = SERIALIZER.deserialize(packed(ticket)).args[1]

    assert reference.payload == {"model": "blog.ticket", "pk": ticket.pk}


def test_model__as_the_only_argument(adverts: list[Advert]) -> None:
    data = SERIALIZER.serialize(Message("id", "name", args=(adverts[1],), kwargs={}))

    assert resolve(SERIALIZER.deserialize(data).args) == (adverts[1],)


def test_model__as_every_argument(page: BlogPage, adverts: list[Advert]) -> None:
    data = SERIALIZER.serialize(
        Message("id", "name", args=(page, adverts[0]), kwargs={"advert": adverts[1]})
    )
    message = SERIALIZER.deserialize(data)

    assert resolve(message.args) == (page, adverts[0])
    assert resolve(message.kwargs) == {"advert": adverts[1]}


def test_model__inside_of_other_values(adverts: list[Advert]) -> None:
    value = {"first": adverts[0], "others": (None, {adverts[1]}), "n": 1}

    assert carried(value) == value


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Advert, HomePage])
def test_model__unsaved_is_refused(model: type[models.Model]) -> None:
    with pytest.raises(CannotSerialize) as raised:
        packed(["x", model()])

    assert str(raised.value) == (
        f"['args'][1][1]: an unsaved {model.__name__} cannot be carried to the worker; save it "
        "first, or pass plain values."
    )


def test_model__deleted_is_refused_as_unsaved(adverts: list[Advert]) -> None:
    adverts[0].delete()

    with pytest.raises(CannotSerialize, match="an unsaved Advert cannot be carried"):
        packed(adverts[0])


def test_model__unsaved_in_a_list_is_refused_with_its_place(adverts: list[Advert]) -> None:
    with pytest.raises(CannotSerialize) as raised:
        packed([*adverts, Advert()])

    assert raised.value.path == "['args'][1][3]"


def test_model__a_page_that_was_deleted_since(page: BlogPage) -> None:
    data = packed(page)
    Page.objects.get(pk=page.pk).delete()

    with pytest.raises(TargetGone) as raised:
        unpacked(data)

    assert str(raised.value) == "its page was deleted"


def test_model__a_snippet_that_was_deleted_since(adverts: list[Advert]) -> None:
    data = packed(adverts[0])
    adverts[0].delete()

    with pytest.raises(TargetGone) as raised:
        unpacked(data)

    assert str(raised.value) == "its advert was deleted"


def test_model__of_another_database_names_it(adverts: list[Advert]) -> None:
    adverts[0]._state.db = "archive"

    reference = SERIALIZER.deserialize(packed(adverts[0])).args[1]

    assert reference.payload == {"model": "blog.advert", "pk": adverts[0].pk, "db": "archive"}


def test_model__survives_being_stored_again(page: BlogPage, adverts: list[Advert]) -> None:
    data = packed([page, adverts, Snapshot.of(page), Advert.objects.all()])

    assert SERIALIZER.serialize(SERIALIZER.deserialize(data)) == data


# Lists of models ----------------------------------------------------------------------------


def test_models__a_list_keeps_its_order(adverts: list[Advert]) -> None:
    tea, nets, boats = adverts

    arrived = carried([boats, tea, nets])

    assert type(arrived) is ModelSequence
    assert list(arrived) == [boats, tea, nets]


def test_models__a_queryset_keeps_its_order(adverts: list[Advert]) -> None:
    arrived = carried(Advert.objects.order_by("-text"))

    assert type(arrived) is ModelSequence
    assert [advert.text for advert in arrived] == ["Tea", "Nets", "Boats"]


def test_models__a_queryset_is_as_it_was_when_it_was_passed(adverts: list[Advert]) -> None:
    data = packed(Advert.objects.filter(text="Tea"))
    Advert.objects.create(text="Tea")

    assert list(unpacked(data)) == [adverts[0]]


def test_models__an_empty_queryset(db: None) -> None:
    arrived = carried(Advert.objects.none())

    assert (len(arrived), list(arrived), bool(arrived)) == (0, [], False)


def test_models__a_queryset_of_plain_values_is_refused(adverts: list[Advert]) -> None:
    with pytest.raises(CannotSerialize):
        packed(Advert.objects.values("text"))


def test_models__a_list_that_holds_something_else_stays_a_list(adverts: list[Advert]) -> None:
    value = [adverts[0], None, adverts[1]]
    arrived = carried(value)

    assert (type(arrived), arrived) == (list, value)


def test_models__a_tuple_stays_a_tuple(adverts: list[Advert]) -> None:
    assert carried(tuple(adverts)) == tuple(adverts)


def test_models__mixed_classes_keep_their_order(page: BlogPage, adverts: list[Advert]) -> None:
    plain_home = Page.objects.type(HomePage).last()
    group = Group.objects.create(name="Pilots")
    value = [page, adverts[0], adverts[1], plain_home, group, adverts[2]]

    arrived = carried(value)

    assert [(type(a), a.pk) for a in arrived] == [
        (BlogPage, page.pk),
        (Advert, adverts[0].pk),
        (Advert, adverts[1].pk),
        (HomePage, plain_home.pk),
        (Group, group.pk),
        (Advert, adverts[2].pk),
    ]


def test_models__the_same_one_twice(adverts: list[Advert]) -> None:
    value = [adverts[1], adverts[0], adverts[1]]

    assert list(carried(value)) == value


def test_models__what_is_gone_is_left_out(adverts: list[Advert]) -> None:
    data = packed(adverts)
    adverts[1].delete()

    arrived = unpacked(data)

    assert list(arrived) == [adverts[0], adverts[2]]
    assert len(arrived) == 2


def test_models__are_read_when_they_are_used(
    adverts: list[Advert], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        arrived = carried(adverts)
        assert repr(arrived) == "<ModelSequence: 3 × blog.advert>"
    with django_assert_num_queries(1):
        list(arrived)


def test_models__behave_as_a_sequence(
    adverts: list[Advert], django_assert_num_queries: Any
) -> None:
    arrived = carried(adverts)

    with django_assert_num_queries(1):
        assert len(arrived) == 3
        assert arrived[0] == adverts[0]
        assert arrived[-1] == adverts[2]
        assert arrived[1:] == adverts[1:]
        assert adverts[1] in arrived
        assert arrived.index(adverts[2]) == 2
        assert list(reversed(arrived)) == adverts[::-1]
        assert list(arrived) == adverts


@pytest.mark.parametrize(("count", "queries"), [(1, 1), (CHUNK, 1), (CHUNK + 1, 2)])
def test_models__are_read_in_chunks(
    db: None, count: int, queries: int, django_assert_num_queries: Any
) -> None:
    Advert.objects.bulk_create([Advert(text=f"{n:04}") for n in range(count)])
    arrived = carried(Advert.objects.order_by("-text"))

    with django_assert_num_queries(queries):
        texts = [advert.text for advert in arrived]

    assert texts == [f"{n:04}" for n in reversed(range(count))]


def test_models__the_first_of_many_needs_one_chunk(
    db: None, django_assert_num_queries: Any
) -> None:
    Advert.objects.bulk_create([Advert(text=f"{n:04}") for n in range(3 * CHUNK)])
    arrived = carried(Advert.objects.order_by("text"))

    with django_assert_num_queries(1):
        assert next(iter(arrived)).text == "0000"


def test_models__five_thousand_make_a_small_message(db: None) -> None:
    Advert.objects.bulk_create([Advert(text=str(n)) for n in range(5000)])
    adverts = list(Advert.objects.all())

    data = packed(adverts)

    assert len(data) <= 40_000
    assert list(unpacked(data)) == adverts


def test_models__a_sequence_that_arrived_can_be_passed_on(
    adverts: list[Advert], django_assert_num_queries: Any
) -> None:
    arrived = carried([*adverts[::-1], Site.objects.get()])

    with django_assert_num_queries(0):
        again = carried(arrived)

    assert type(again) is ModelSequence
    assert again.runs == arrived.runs
    assert list(again) == list(arrived)


# Snapshots ----------------------------------------------------------------------------------


def test_snapshot__a_page_with_all_that_belongs_to_it(page: BlogPage) -> None:
    snapshot = packed(Snapshot.of(page))
    Page.objects.get(pk=page.pk).delete()

    arrived = unpacked(snapshot)

    assert type(arrived) is BlogPage
    assert (arrived.pk, arrived.page_ptr_id) == (page.pk, page.pk)
    assert (arrived.title, arrived.url_path) == ("Tides", page.url_path)
    assert (arrived.body[0].block_type, arrived.body[0].value) == ("heading", "Ebb")
    assert arrived.body[1].value["source"] == "A pilot"
    assert sorted(tag.name for tag in arrived.tags.all()) == ["moon", "sea"]
    assert [link.title for link in arrived.related_links.all()] == ["Tables", "Harbour"]
    assert arrived.author_id == page.author_id
    assert arrived.date == page.date
    assert not Page.objects.filter(pk=page.pk).exists()


def test_snapshot__a_page_loaded_as_a_plain_one(page: BlogPage) -> None:
    arrived = carried(Snapshot.of(Page.objects.get(pk=page.pk)))

    assert (type(arrived), arrived.pk, arrived.title) == (BlogPage, page.pk, "Tides")


def test_snapshot__what_it_points_at_may_be_gone_as_well(page: BlogPage) -> None:
    snapshot = packed(Snapshot.of(page))
    author = page.author_id
    Page.objects.get(pk=page.pk).delete()
    Author.objects.all().delete()

    assert unpacked(snapshot).author_id == author


def test_snapshot__a_model_without_children(adverts: list[Advert]) -> None:
    key = adverts[0].pk
    snapshot = packed(Snapshot.of(adverts[0]))
    adverts[0].delete()

    arrived = unpacked(snapshot)

    assert (type(arrived), arrived.pk, arrived.text) == (Advert, key, "Tea")


def test_snapshot__a_model_without_children_whose_owner_is_gone(db: None) -> None:
    site = Site.objects.create(hostname="blue.example", root_page=Page.get_first_root_node())
    contact = ContactSettings.objects.create(site=site, email="desk@blue.example")
    key, snapshot = site.pk, packed(Snapshot.of(contact))
    site.delete()

    arrived = unpacked(snapshot)

    assert (arrived.site_id, arrived.email) == (key, "desk@blue.example")


def test_snapshot__a_user(editor: Any) -> None:
    snapshot = packed(Snapshot.of(editor))
    key, joined = editor.pk, editor.date_joined
    editor.delete()

    arrived = unpacked(snapshot)

    assert (arrived.pk, arrived.get_username()) == (key, "an-editor")
    assert (arrived.email, arrived.date_joined) == ("editor@example.com", joined)


def test_snapshot__after_the_deletion_it_has_no_key(adverts: list[Advert]) -> None:
    adverts[0].delete()

    arrived = carried(Snapshot.of(adverts[0]))

    assert (arrived.pk, arrived.text) == (None, "Tea")


# Requests -----------------------------------------------------------------------------------


def test_request__who_where_from_and_where_to(editor_request: HttpRequest, editor: Any) -> None:
    arrived = carried(editor_request)

    assert isinstance(arrived, HttpRequest)
    assert type(arrived) is CarriedRequest
    assert arrived.method == "POST"
    assert arrived.path == arrived.path_info == "/admin/pages/1/edit/"
    assert arrived.get_full_path() == "/admin/pages/1/edit/?next=/"
    assert arrived.get_host() == "testserver"
    assert arrived.user == editor
    assert "/admin/pages/1/edit/" in repr(arrived)


def test_request__the_query(rf: RequestFactory) -> None:
    arrived = carried(rf.get("/x/?tag=a&tag=b&q=%C3%A9+%26"))

    assert arrived.GET.getlist("tag") == ["a", "b"]
    assert arrived.GET["q"] == "é &"
    assert arrived.META["QUERY_STRING"] == "tag=a&tag=b&q=%C3%A9+%26"
    with pytest.raises(AttributeError):
        arrived.GET["q"] = "immutable"


def test_request__a_query_that_was_made_by_hand() -> None:
    request = HttpRequest()
    request.GET = request.GET.copy()
    request.GET["q"] = "é"

    assert carried(request).GET["q"] == "é"


@pytest.mark.parametrize(
    ("secure", "expected"),
    [(False, "http://news.example:8000/x/?a=1"), (True, "https://news.example:8000/x/?a=1")],
)
def test_request__absolute_addresses(
    rf: RequestFactory, settings: Any, secure: bool, expected: str
) -> None:
    settings.ALLOWED_HOSTS = ["news.example"]
    request = rf.get("/x/?a=1", secure=secure, headers={"host": "news.example:8000"})

    arrived = carried(request)

    assert (arrived.scheme, arrived.is_secure()) == (request.scheme, secure)
    assert arrived.build_absolute_uri() == request.build_absolute_uri() == expected
    assert arrived.build_absolute_uri("/y/") == request.build_absolute_uri("/y/")


def test_request__the_host_that_a_proxy_names(rf: RequestFactory, settings: Any) -> None:
    settings.USE_X_FORWARDED_HOST = True
    settings.ALLOWED_HOSTS = ["news.example"]
    request = rf.get("/x/", headers={"host": "10.0.0.7", "x-forwarded-host": "news.example"})

    assert carried(request).build_absolute_uri() == "http://news.example/x/"


def test_request__a_host_that_is_not_allowed(rf: RequestFactory) -> None:
    arrived = carried(rf.get("/x/", headers={"host": "evil.example"}))

    with pytest.raises(DisallowedHost):
        arrived.get_host()


@pytest.mark.django_db
def test_request__the_site(rf: RequestFactory, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["blue.example"]
    site = Site.objects.create(hostname="blue.example", root_page=Page.get_first_root_node())
    request = rf.get("/", headers={"host": "blue.example"})

    assert Site.find_for_request(carried(request)) == site


def test_request__of_the_meta_data_only_the_harmless(rf: RequestFactory) -> None:
    request = rf.get(
        "/x/?a=1",
        REMOTE_ADDR="192.0.2.7",
        headers={"traceparent": "00-4bf9-01", "user-agent": "X", "x-api-key": "s3cret"},
    )

    assert carried(request).META == {
        "REMOTE_ADDR": "192.0.2.7",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "HTTP_TRACEPARENT": "00-4bf9-01",
        "HTTP_HOST": "testserver",
        "QUERY_STRING": "a=1",
    }


def test_request__language_and_time_zone(rf: RequestFactory) -> None:
    with translation.override("fr"), timezone.override("Asia/Tokyo"):
        data = packed(rf.get("/x/"))

    arrived = unpacked(data)

    assert (arrived.LANGUAGE_CODE, arrived.time_zone) == ("fr", "Asia/Tokyo")


def test_request__the_user_is_loaded_when_it_is_used(
    editor_request: HttpRequest, editor: Any, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        arrived = carried(editor_request)
    with django_assert_num_queries(1):
        assert arrived.user.pk == editor.pk
        assert arrived.user.get_username() == "an-editor"


@pytest.mark.django_db
def test_request__nobody_in_particular(rf: RequestFactory, django_assert_num_queries: Any) -> None:
    anonymous = rf.get("/x/")
    anonymous.user = AnonymousUser()

    for request in (anonymous, rf.get("/x/")):
        with django_assert_num_queries(0):
            assert carried(request).user == AnonymousUser()


def test_request__a_user_who_was_deleted_since(editor_request: HttpRequest, editor: Any) -> None:
    data = packed(editor_request)
    editor.delete()

    assert unpacked(data).user.is_anonymous


ABSENT = {
    "POST": "read what you need from the object that the hook is about",
    "FILES": "read the file from the object that it was saved to",
    "COOKIES": "cookies may hold secrets; pass what you need to a task of your own",
    "session": "a session may hold secrets; pass what you need to a task of your own",
    "body": "read what you need from the object that the hook is about",
}


@pytest.mark.parametrize(("name", "advice"), ABSENT.items())
def test_request__what_is_not_carried_says_so(rf: RequestFactory, name: str, advice: str) -> None:
    arrived = carried(rf.post("/x/", {"a": "1"}))

    with pytest.raises(NotCarried) as raised:
        getattr(arrived, name)

    assert str(raised.value) == (
        f"request.{name} is not carried to the worker: {advice}, or keep this hook synchronous "
        "with WAGTAIL_TASKS_SYNC_HOOKS."
    )
    assert hasattr(arrived, name) is False
    assert getattr(arrived, name, None) is None


@pytest.mark.parametrize("name", ABSENT)
def test_request__what_is_not_carried_can_be_put_there(rf: RequestFactory, name: str) -> None:
    arrived = carried(rf.get("/x/"))

    setattr(arrived, name, {"a": 1})

    assert getattr(arrived, name) == {"a": 1}


@pytest.mark.django_db
def test_request__keeps_no_secrets(rf: RequestFactory, editor: Any) -> None:
    secrets = ["c00kie", "bearer-t0ken", "b0dy", "s3ssion", "api-k3y", "f1le", "digest-0f-it"]
    cookie, token, body, session, key, file, digest = secrets
    rf.cookies["sessionid"] = cookie
    request = rf.post(
        "/x/?visible=query",
        {"password": body, "upload": file},
        headers={
            "authorization": f"Bearer {token}",
            "proxy-authorization": f"Digest {digest}",
            "x-api-key": key,
        },
    )
    request.session = {"cart": session}
    request.user = editor
    assert request.COOKIES["sessionid"] == cookie
    assert request.POST["password"] == body

    data = packed(request).decode()

    assert "visible=query" in data
    assert [secret for secret in secrets if secret in data] == []
    assert editor.password not in data


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("a=1&access_token=s3cret&b=%C3%A9+%26", "a=1&b=%C3%A9+%26"),
        ("api%5Fkey=s3cret", ""),
        ("Password=s3cret&", ""),
        ("a=1&sessionid=s3cret&csrfmiddlewaretoken=s3cret&a=2", "a=1&a=2"),
        ("a&b=&&c", "a&b=&&c"),
    ],
)
def test_request__leaves_out_secrets_of_the_query(
    rf: RequestFactory, query: str, left: str
) -> None:
    request = rf.get(f"/x/?{query}")
    data = packed(request)
    arrived = unpacked(data)

    assert b"s3cret" not in data
    assert arrived.META["QUERY_STRING"] == left
    assert QueryDict(left) == arrived.GET
    assert request.META["QUERY_STRING"] == query


def test_request__leaves_out_secrets_of_a_query_that_is_set_by_hand(rf: RequestFactory) -> None:
    request = HttpRequest()
    request.GET = QueryDict("a=1&token=s3cret")

    assert carried(request).GET.dict() == {"a": "1"}


@pytest.mark.django_db
def test_request__carried_once_is_carried_again_the_same(editor_request: HttpRequest) -> None:
    data = packed(editor_request)
    arrived = unpacked(data)
    with translation.override("fr"):
        again = packed(arrived)

    assert again == data


def test_request__made_by_hand(db: None) -> None:
    arrived = carried(HttpRequest())

    assert (arrived.method, arrived.path, arrived.scheme) == (None, "", "http")
    assert arrived.user.is_anonymous


def test_request__of_an_asgi_server(async_rf: AsyncRequestFactory) -> None:
    arrived = carried(async_rf.get("/x/?a=1"))

    assert arrived.build_absolute_uri() == "http://testserver/x/?a=1"
    assert arrived.GET["a"] == "1"


# Bulk actions -------------------------------------------------------------------------------


class Form:
    """A form that was filled in."""

    def __init__(self, **cleaned_data: Any) -> None:
        self.cleaned_data = cleaned_data


class Action:
    """As much of a bulk action's view as matters here."""

    action_type = "move"
    model = Page
    cleaned_form: Form | forms.Form | None = None


def test_bulk_action_info__describes_the_view() -> None:
    action = Action()
    action.cleaned_form = Form(count=2, day=datetime.date(2026, 1, 2), upload=object())

    assert BulkActionInfo.of(action) == BulkActionInfo(
        action_type="move",
        model="wagtailcore.page",
        view=f"{__name__}.Action",
        cleaned_data={"count": 2, "day": datetime.date(2026, 1, 2)},
    )


def test_bulk_action_info__leaves_out_secrets() -> None:
    class Login(forms.Form):
        username = forms.CharField()
        api_key = forms.CharField()
        code_word = forms.CharField(widget=forms.PasswordInput)

    action = Action()
    action.cleaned_form = Login({"username": "ada", "api_key": "a", "code_word": "b"})
    assert action.cleaned_form.is_valid()

    assert BulkActionInfo.of(action).cleaned_data == {"username": "ada"}


def test_bulk_action_info__without_a_form() -> None:
    assert BulkActionInfo.of(Action()).cleaned_data == {}


def test_bulk_action_info__is_carried(page: BlogPage) -> None:
    info = BulkActionInfo("publish", "wagtailcore.page", "x.Publish", {"days": (1, 2)})

    assert carried(info) == info


def test_bulk_action_info__with_the_page_that_was_chosen(page: BlogPage) -> None:
    action = Action()
    action.cleaned_form = Form(chooser=page)

    assert carried(BulkActionInfo.of(action)).cleaned_data == {"chooser": page}


# Exceptions and lazy texts ------------------------------------------------------------------


class SoldOut(Exception):
    """An error of a shop."""


def raised(error: Exception) -> Exception:
    """Return an error as it is once it was raised."""
    try:
        raise error
    except Exception as caught:
        return caught


def test_exception__arrives_as_one_of_its_class() -> None:
    arrived = carried(raised(SoldOut("no tea")))

    assert (type(arrived), arrived.args) == (SoldOut, ("no tea",))
    [note] = arrived.__notes__
    assert note.startswith("Traceback (most recent call last)")
    assert "in raised" in note


class OutOf(Exception):
    """An error that is made of more than its text."""

    def __init__(self, what: str, left: int) -> None:
        super().__init__(f"{left} left of {what}")


def nested_error() -> Exception:
    """Return an error of a class that nobody can import."""

    class Nested(Exception):
        """Defined in a function."""

    return Nested("no")


@pytest.mark.parametrize(
    "error",
    [
        OutOf("tea", 0),
        nested_error(),
        KeyError("a"),
        SystemExit(2),
        RemoteError("a.B", "c"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exception__that_cannot_be_made_of_its_text_arrives_as_text(error: BaseException) -> None:
    arrived = carried(error)

    assert type(arrived) is RemoteError
    if type(error) is not RemoteError:
        assert arrived.type_path == f"{type(error).__module__}.{type(error).__qualname__}"
        assert arrived.message == str(error)
    else:
        assert (arrived.type_path, arrived.message) == ("a.B", "c")


def test_exception__of_a_class_that_is_not_loaded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed(raised(SoldOut("no tea")))
    monkeypatch.delitem(sys.modules, __name__)

    arrived = unpacked(data)

    assert (type(arrived), arrived.type_path) == (RemoteError, f"{__name__}.SoldOut")


def test_exception__a_name_that_is_no_exception_is_not_called() -> None:
    data = packed(RemoteError("builtins.print", "called"))

    assert type(unpacked(data)) is RemoteError


class Lazy(types.ModuleType):
    """A module that makes what it is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was made")


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("exception", ["tests.lazy.SoldOut", "no tea"]),
        ("class", "tests.lazy:SoldOut"),
        ("class", "os:system"),
        ("class", "subprocess:Popen.__init__.__globals__"),
        ("class", "not loaded:X"),
        ("class", ":"),
    ],
)
def test_class__nothing_is_made_or_imported(
    monkeypatch: pytest.MonkeyPatch, kind: str, payload: Any
) -> None:
    monkeypatch.setitem(sys.modules, "tests.lazy", Lazy("tests.lazy"))
    message = {"$": kind, "v": payload}

    if kind == "exception":
        assert type(codecs.decode(message)) is RemoteError
    else:
        with pytest.raises(CodecFailed, match="is not loaded in this process"):
            codecs.decode(message)


class Shelf:
    """A class with another one inside."""

    class Board:
        """The other one."""


@pytest.mark.parametrize("kind", [Shelf, Shelf.Board, int, type(None)])
def test_class__arrives_as_itself(kind: type) -> None:
    assert carried(kind) is kind


def test_exception__whose_text_cannot_be_made_arrives_as_text() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[__name__], "Mute", Mute, raising=False)
        arrived = codecs.decode({"$": "exception", "v": [f"{__name__}.Mute", "text"]})

    assert str(arrived) == f"{__name__}.Mute: text"


def test_exception__as_text_can_be_passed_on() -> None:
    data = packed(raised(OutOf("tea", 0)))

    assert packed(unpacked(data)) == data


def test_exception__can_be_passed_on() -> None:
    arrived = carried(carried(raised(SoldOut("no tea"))))

    assert (type(arrived), arrived.args) == (SoldOut, ("no tea",))
    assert "in raised" in "".join(arrived.__notes__)


def test_promise__is_translated_where_it_is_read() -> None:
    with translation.override("de"):
        data = packed([gettext_lazy("January"), pgettext_lazy("alt. month", "August")])
    january, august = unpacked(data)

    read = {}
    for language in ("en", "fr"):
        with translation.override(language):
            read[language] = (str(january), str(august))

    assert read == {"en": ("January", "August"), "fr": ("janvier", "Août")}


def test_promise__other_lazy_texts_as_they_read_now() -> None:
    with translation.override("de"):
        data = packed(
            [format_lazy("{} 2026", gettext_lazy("January")), reverse_lazy("wagtailadmin_home")]
        )
    with translation.override("fr"):
        assert unpacked(data) == ["Januar 2026", "/admin/"]


def test_promise__can_be_passed_on() -> None:
    data = packed(gettext_lazy("January"))

    assert packed(unpacked(data)) == data


@pytest.mark.parametrize(
    "kind", ["page", "list", "queryset", "sequence", "snapshot", "request", "bulk action"]
)
def test_reference__is_what_a_message_holds_until_it_runs(
    page: BlogPage, adverts: list[Advert], rf: RequestFactory, kind: str
) -> None:
    value = {
        "page": page,
        "list": adverts,
        "queryset": Advert.objects.all(),
        "sequence": ModelSequence([("blog.advert", "default", [1])]),
        "snapshot": Snapshot.of(page),
        "request": rf.get("/"),
        "bulk action": BulkActionInfo("publish", "wagtailcore.page", "x", {"chooser": page}),
    }[kind]

    assert type(SERIALIZER.deserialize(packed(value)).args[1]) is Reference


@pytest.mark.django_db
def test_snapshot__of_a_user_carries_no_password() -> None:
    user = get_user_model().objects.create_user("leaver", password="a secret")
    hashed = user.password

    data = packed(Snapshot.of(user))

    assert hashed.encode() not in data
    assert hashed.rpartition("$")[2].encode() not in data
    assert unpacked(data).get_username() == "leaver"


@pytest.mark.django_db
def test_snapshot__empties_what_is_named_like_a_secret(page: BlogPage) -> None:
    restriction = PageViewRestriction.objects.create(
        page=page, restriction_type="password", password="low tide"
    )

    data = packed(Snapshot.of(restriction))

    assert b"low tide" not in data
    arrived = unpacked(data)
    assert (arrived.password, arrived.restriction_type) == ("", "password")
    assert restriction.password == "low tide"


@isolate_apps("tests.site.blog")
def test_snapshot__empties_secrets_of_each_type_and_of_children() -> None:
    class Safe(ClusterableModel):
        title = models.CharField(max_length=10)
        api_key = models.CharField(max_length=10)
        secret_note = models.TextField()
        token = models.BinaryField()
        credentials = models.JSONField()
        password_changed_at = models.DateTimeField()
        token_count = models.IntegerField()
        reset_token = models.CharField(max_length=10, null=True)

        class Meta:
            app_label = "blog"

    class Drawer(models.Model):
        safe = ParentalKey(Safe, related_name="drawers", on_delete=models.CASCADE)
        place = models.CharField(max_length=10)
        passcode = models.CharField(max_length=10)

        class Meta:
            app_label = "blog"

    values = {"title": "mine", "password_changed_at": timezone.now(), "token_count": 3}
    secrets = {"api_key": "s3cret", "secret_note": "s3cret", "token": b"s3cret"}
    safe = Safe(pk=1, **values, **secrets, credentials={"user": "s3cret"})
    safe.drawers = [Drawer(pk=2, place="left", passcode="s3cret")]

    data = Snapshot.of(safe).data

    assert "s3cret" not in str(data)
    emptied = {"api_key": "", "secret_note": "", "token": b"", "credentials": None}
    assert {name: data[name] for name in emptied} == emptied
    assert (data["title"], data["token_count"], data["reset_token"]) == ("mine", 3, None)
    assert data["password_changed_at"]
    [drawer] = data["drawers"]
    assert (drawer["place"], drawer["passcode"]) == ("left", "")


@pytest.mark.django_db
def test_snapshot__that_arrived_is_not_taken_for_a_saved_object(adverts: list[Advert]) -> None:
    with pytest.raises(CannotSerialize, match="unsaved Advert"):
        packed(carried(Snapshot.of(adverts[0])))
