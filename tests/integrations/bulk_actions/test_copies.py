"""Tests of what a background function gets of objects that were deleted together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.images import ImageFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from wagtail.images import get_image_model
from wagtail.models import Page, Site

from tests.site.blog.models import Advert, BlogPage, HomePage, RelatedLink
from wagtail_async_hooks import background, hooks
from wagtail_async_hooks.hooks import delete_snapshots
from wagtail_async_hooks.integrations.bulk_actions import execution  # noqa: F401  (its task is known from here on)
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.serialization import deleted_objects
from wagtail_async_hooks.serialization.arguments import DeletedObjects, Snapshot
from wagtail_async_hooks.types import State

from .conftest import Act

seen: list[Any] = []


def purge(request: Any, action_type: str, objects: Any, action_instance: Any) -> None:
    """Do what a function does that purges addresses."""
    seen.append(objects)


def sweep(request: Any, instances: Any) -> None:
    """The same, for snippets."""
    seen.append(instances)


@pytest.fixture(params=["request", "worker"])
def where(request: pytest.FixtureRequest, settings: Any) -> str:
    """Have a bulk action done in the request, as Wagtail does, or by a worker."""
    set_bulk_actions(settings, threshold=1000 if request.param == "request" else 0)
    return str(request.param)


def set_bulk_actions(settings: Any, **options: Any) -> None:
    """Set some of the options of bulk actions."""
    given = settings.WAGTAIL_TASKS
    bulk = {**given["BULK_ACTIONS"], **options}
    settings.WAGTAIL_TASKS = {**given, "BULK_ACTIONS": bulk}


@pytest.fixture
def site(home: HomePage) -> Iterator[Site]:
    """Addresses for the pages of a test."""
    site = Site.objects.create(hostname="bulk.example", root_page=home)
    yield site
    site.delete()


@pytest.fixture
def on(registries: None) -> Iterator[None]:
    """Have the functions above run in the background."""
    seen.clear()
    hooks.register("after_bulk_action", purge, background=True)
    hooks.register("after_delete_snippet", sweep, background=True)
    yield
    seen.clear()


def posts(home: HomePage, number: int) -> list[BlogPage]:
    """Make posts with children and tags."""
    home.refresh_from_db()
    made = []
    for n in range(number):
        post = BlogPage(title=f"Post {n}", slug=f"a-post-{n}", introduction="In short")
        post.related_links = [RelatedLink(title=f"Link {n}", url="https://example.com/")]
        post.tags.add(f"tag-{n}")
        made.append(home.add_child(instance=post))
    return made


def run_all() -> list[BackgroundTask]:
    """Run all that waits, as a worker would; return the rows of the functions above."""
    while (task := background.next()) is not None:
        background.execute(task)
    background.settle()
    rows = BackgroundTask.objects.filter(function__startswith=__name__).order_by("pk")
    assert [row.error for row in rows if row.state != State.SUCCEEDED] == []
    return list(rows)


@pytest.mark.usefixtures("on", "site")
def test_pages__arrive_with_their_addresses_and_children(
    home: HomePage, act: Act, where: str
) -> None:
    made = posts(home, 4)
    expected = [(p.pk, p.title, p.full_url, p.url, f"Link {n}") for n, p in enumerate(made)]

    act("wagtailcore.page.delete", [page.pk for page in made])
    [row] = run_all()

    assert not BlogPage.objects.filter(pk__in=[page.pk for page in made]).exists()
    [objects] = seen
    assert isinstance(objects, DeletedObjects)
    assert [
        (p.pk, p.title, p.full_url, p.url, p.related_links.all()[0].title) for p in objects
    ] == expected
    assert [type(page) for page in objects] == [BlogPage] * 4
    assert [tag.name for tag in objects[1].tags.all()] == ["tag-1"]
    assert (len(objects), objects[0].pk, objects.gone) == (4, made[0].pk, [])
    assert objects.keys == [page.pk for page in made]
    assert (row.subject_type.model, row.subject_id) == ("blogpage", str(made[0].pk))


@pytest.mark.usefixtures("on", "site")
def test_single__a_deleted_page_has_its_address(
    home: HomePage, admin: Any, registries: None
) -> None:
    from django.urls import reverse

    hooks.register("after_delete_page", see_url, background=True)
    [page] = posts(home, 1)
    assert page.full_url == "http://bulk.example/a-post-0/"
    expected = (page.full_url, page.url, page.get_site().pk)

    admin.post(reverse("wagtailadmin_pages:delete", args=[page.pk]))
    run_all()

    assert seen == [expected]


def see_url(request: Any, page: Any) -> None:
    """Remember the addresses of a page."""
    seen.append((page.full_url, page.url, page.get_site().pk))


@pytest.mark.usefixtures("on")
def test_snippets__reach_both_hooks(home: HomePage, act: Act, where: str) -> None:
    adverts = [Advert.objects.create(text=f"Buy {n}") for n in range(3)]

    act("blog.advert.delete", [advert.pk for advert in adverts])
    rows = run_all()

    assert sorted(row.hook for row in rows) == ["after_bulk_action", "after_delete_snippet"]
    for objects in seen:
        assert [(each.pk, each.text) for each in objects] == [(a.pk, a.text) for a in adverts]


@pytest.mark.usefixtures("on")
def test_images_and_users__arrive(home: HomePage, act: Act, where: str) -> None:
    from wagtail.images.tests.utils import get_test_image_file

    file: ImageFile = get_test_image_file()
    images = [get_image_model().objects.create(title=f"Sea {n}", file=file) for n in range(2)]
    user = get_user_model().objects.create_user("gone", password="a password")

    act("wagtailimages.image.delete", [image.pk for image in images])
    act("auth.user.delete", [user.pk])
    run_all()

    found_users, found_images = sorted(seen, key=lambda objects: str(type(objects[0])))
    assert [each.title for each in found_images] == ["Sea 0", "Sea 1"]
    assert [(each.pk, each.username) for each in found_users] == [(user.pk, "gone")]
    assert found_users[0].password == ""


@pytest.mark.usefixtures("on")
def test_limit__of_the_others_the_keys_are_there(
    home: HomePage, act: Act, where: str, settings: Any
) -> None:
    set_bulk_actions(settings, copies=3)
    adverts = [Advert.objects.create(text=f"Buy {n}").pk for n in range(5)]

    act("blog.advert.delete", adverts)
    run_all()

    assert len(seen) == 2
    for objects in seen:
        assert [each.text for each in objects] == ["Buy 0", "Buy 1", "Buy 2"]
        assert (len(objects), objects.keys) == (3, adverts)
        assert objects.gone == [("blog.advert", pk) for pk in adverts[3:]]
        assert [each.pk for each in objects] == adverts[:3]


@pytest.mark.usefixtures("on")
def test_limit__copies_that_take_too_much_are_left_out(
    home: HomePage, act: Act, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleted_objects, "MAX_CHARACTERS", 250)
    adverts = [Advert.objects.create(text="x" * 150).pk for n in range(3)]

    act("blog.advert.delete", adverts)
    run_all()

    for objects in seen:
        assert [each.pk for each in objects] == adverts[:1]
        assert [key for _, key in objects.gone] == adverts[1:]


def test_cost__nothing_is_copied_that_nobody_wants(
    home: HomePage, act: Act, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Snapshot, "of", lambda instance: pytest.fail("it was copied"))
    adverts = [Advert.objects.create(text=f"Buy {n}").pk for n in range(3)]

    act("blog.advert.delete", adverts)
    run_all()

    assert not Advert.objects.exists()


@pytest.mark.usefixtures("on")
def test_cost__a_publish_is_not_copied(
    home: HomePage, act: Act, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Snapshot, "of", lambda instance: pytest.fail("it was copied"))
    keys = [page.pk for page in posts(home, 3)]

    act("wagtailcore.page.unpublish", keys)
    run_all()

    [objects] = seen
    assert not isinstance(objects, DeletedObjects)
    assert [page.pk for page in objects] == keys


@pytest.mark.usefixtures("on")
def test_cost__queries_do_not_grow_with_the_number_of_pages(home: HomePage, rf: Any) -> None:
    def queries(number: int) -> int:
        pages = list(Page.objects.filter(pk__in=keys[:number]))
        with CaptureQueriesContext(
            connection,
        ) as captured:
            delete_snapshots.keep(rf.post("/"), pages)
        return len(captured)

    keys = [page.pk for page in posts(home, 8)]
    queries(1)

    few, many = queries(3), queries(8)

    assert few == many <= 8


@pytest.mark.usefixtures("on")
def test_worker__what_was_recorded_is_not_copied_in_the_request(
    home: HomePage, act: Act, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    set_bulk_actions(settings, threshold=0)
    keys = [page.pk for page in posts(home, 2)]
    with monkeypatch.context() as patch:
        patch.setattr(Snapshot, "of", lambda instance: pytest.fail("it was copied"))
        act("wagtailcore.page.delete", keys)

    run_all()

    assert [page.pk for page in seen[0]] == keys


@pytest.mark.usefixtures("on")
def test_function__may_pass_them_on(home: HomePage, act: Act, where: str) -> None:
    adverts = [Advert.objects.create(text=f"Buy {n}").pk for n in range(3)]
    act("blog.advert.delete", adverts)
    run_all()
    passed = background.deserialize_task(background.serialize_task(pass_on.s(seen[0])))

    from wagtail_async_hooks.serialization import codecs

    [objects] = codecs.resolve(passed.args)
    assert [each.text for each in objects] == ["Buy 0", "Buy 1", "Buy 2"]


@background.task()
def pass_on(objects: Any) -> None:
    """Take what a hook has got."""


@pytest.mark.usefixtures("on")
def test_immediate__they_arrive_as_well(home: HomePage, act: Act, settings: Any) -> None:
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "BACKEND": ""}
    adverts = [Advert.objects.create(text=f"Buy {n}").pk for n in range(3)]

    act("blog.advert.delete", adverts)

    assert [[each.pk for each in objects] for objects in seen] == [adverts, adverts]


def test_gate__what_cannot_be_copied_does_not_keep_it_from_being_deleted(
    home: HomePage,
    act: Act,
    on: None,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(instance: Any) -> Any:
        raise ValueError("no luck")

    monkeypatch.setattr(Snapshot, "of", fail)
    adverts = [Advert.objects.create(text=f"Buy {n}").pk for n in range(3)]

    act("blog.advert.delete", adverts)
    run_all()

    assert not Advert.objects.exists()
    assert [(len(objects), objects.keys) for objects in seen] == [(0, adverts)] * 2
    assert "cannot be copied before it is deleted" in caplog.text


Work = Callable[[], BackgroundTask]
