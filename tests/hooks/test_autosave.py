"""Tests of autosave, with Wagtail's own edit views: it asks for JSON and overwrites a revision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail.models import Page, Revision

from tests.draining import run_all
from tests.site.blog.models import Author, BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks import hooks, ledger
from wagtail_async_hooks.hooks import dispatch
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

AUTOSAVES = 12
"""As many as an editor causes in six seconds of typing."""

A_FEW = 4

seen: list[str] = []
"""The titles that the functions below were called with."""


def see_page(request: Any, page: Any) -> None:
    """Keep the title of a page."""
    seen.append(page.title)


def see_author(request: Any, instance: Any) -> None:
    """Keep the name of an author."""
    seen.append(instance.name)


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("registries")]


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    """Forget what was seen in earlier tests."""
    seen.clear()


@pytest.fixture
def admin(client: Client, editor: Any) -> Client:
    """A browser in which the editor is logged in."""
    client.force_login(editor)
    return client


@pytest.fixture
def page(editor: Any) -> BlogPage:
    """A post that is live, with one revision."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    page = home.add_child(
        instance=BlogPage(title="Tides", slug="tides", introduction="High and low")
    )
    page.save_revision(user=editor).publish()
    return BlogPage.objects.get(pk=page.pk)


def autosaves(admin: Client, page: BlogPage, number: int = A_FEW) -> str:
    """Save a post as the editor's JavaScript does while somebody types; return the last title."""
    url = reverse("wagtailadmin_pages:edit", args=(page.pk,))
    revision = page.latest_revision
    form = {
        **form_data(page),
        "loaded_revision_id": revision.pk,
        "loaded_revision_created_at": revision.created_at.isoformat(),
    }
    for count in range(number):
        form["title"] = f"Tides {count}"
        response = admin.post(url, form, headers={"Accept": "application/json"})
        assert response.status_code == 200, response.content
        answer = response.json()
        assert answer["success"]
        form["overwrite_revision_id"] = answer["revision_id"]
        form["loaded_revision_created_at"] = answer["revision_created_at"]
    return form["title"]


def save(admin: Client, page: BlogPage, title: str, **changes: Any) -> None:
    """Save a post as somebody does who presses the button."""
    url = reverse("wagtailadmin_pages:edit", args=(page.pk,))
    response = admin.post(url, form_data(page, title=title, **changes))
    assert response.status_code == 302


def rows(function: Callable[..., Any] = see_page) -> list[BackgroundTask]:
    """Return the recorded tasks of a function, oldest first."""
    path = f"{__name__}.{function.__qualname__}"
    return list(BackgroundTask.objects.filter(function=path).order_by("pk"))


def time_passes() -> None:
    """Let what is scheduled be due, and run it, as a worker would."""
    BackgroundTask.objects.filter(state=State.SCHEDULED).update(run_at=timezone.now())
    ledger.promote_due()
    run_all()


# Pages --------------------------------------------------------------------------------------


def test_autosave__makes_no_background_hook_run(admin: Client, page: BlogPage) -> None:
    hooks.register("after_edit_page", see_page, background=True)
    before = Revision.objects.count()

    autosaves(admin, page, AUTOSAVES)
    time_passes()

    assert Revision.objects.count() == before + 1
    assert rows() == []
    assert seen == []


def test_autosave__an_edit_then_makes_it_run_once(admin: Client, page: BlogPage) -> None:
    hooks.register("after_edit_page", see_page, background=True)
    autosaves(admin, page)

    save(admin, page, "Tides, at last")
    run_all()

    assert [row.state for row in rows()] == [State.SUCCEEDED]
    assert seen == ["Tides, at last"]


def test_autosave__with_coalesce_it_runs_once(admin: Client, page: BlogPage) -> None:
    hooks.register("after_edit_page", see_page, background=True, coalesce="{page.pk}")

    last = autosaves(admin, page, AUTOSAVES)
    run_all()
    assert seen == [], "an autosave waits for those which follow"
    time_passes()

    assert seen == [last]
    states = [row.state for row in rows()]
    assert states == [State.MERGED] * (AUTOSAVES - 1) + [State.SUCCEEDED]


def test_autosave__with_coalesce_the_first_that_is_due_takes_all_along(
    admin: Client, page: BlogPage
) -> None:
    hooks.register("after_edit_page", see_page, background=True, coalesce="{page.pk}")
    last = autosaves(admin, page)
    BackgroundTask.objects.filter(pk=rows()[0].pk).update(run_at=timezone.now())

    ledger.promote_due()
    run_all()

    assert seen == [last]
    assert [row.state for row in rows()].count(State.MERGED) == A_FEW - 1


def test_autosave__with_coalesce_an_edit_runs_at_once_and_for_all(
    admin: Client, page: BlogPage
) -> None:
    hooks.register("after_edit_page", see_page, background=True, coalesce="{page.pk}")
    autosaves(admin, page)

    save(admin, page, "Tides, at last")
    run_all()

    assert seen == ["Tides, at last"]
    time_passes()
    assert seen == ["Tides, at last"]


def test_autosave__with_coalesce_an_edit_after_the_run_gives_another(
    admin: Client, page: BlogPage
) -> None:
    hooks.register("after_edit_page", see_page, background=True, coalesce="{page.pk}")
    last = autosaves(admin, page)
    time_passes()

    save(admin, page, "Tides, at last")
    run_all()

    assert seen == [last, "Tides, at last"]


def test_autosave__with_debounce_it_runs_once_for_autosaves_and_edits(
    admin: Client, page: BlogPage
) -> None:
    hooks.register("after_edit_page", see_page, background=True, debounce=60)
    autosaves(admin, page)
    save(admin, page, "Tides, at last")
    run_all()
    assert seen == [], "the burst may go on"
    time_passes()

    assert seen == ["Tides, at last"]
    assert [row.state for row in rows()] == [State.MERGED] * A_FEW + [State.SUCCEEDED]


def test_autosave__coalesce_in_the_settings_will_do(
    admin: Client, page: BlogPage, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"after_edit_page": {"coalesce": "{page.pk}"}},
    }
    hooks.register("after_edit_page", see_page, background=True)

    last = autosaves(admin, page, 3)
    time_passes()

    assert seen == [last]


@pytest.mark.parametrize(
    ("options", "seconds"), [({}, dispatch.AUTOSAVE_DELAY), ({"delay": 5}, 5), ({"delay": 90}, 90)]
)
def test_autosave__waits_for_those_which_follow(
    admin: Client, page: BlogPage, options: dict[str, Any], seconds: float
) -> None:
    hooks.register("after_edit_page", see_page, background=True, coalesce="{page.pk}", **options)

    autosaves(admin, page, 1)

    [row] = rows()
    assert row.state == State.SCHEDULED
    waits = (row.run_at - row.enqueued_at).total_seconds()
    assert seconds - 1 < waits <= seconds


def test_autosave__with_a_delay_of_nought_it_runs_at_once(admin: Client, page: BlogPage) -> None:
    hooks.register("after_edit_page", see_page, background=True, coalesce="{page.pk}", delay=0)

    last = autosaves(admin, page, 2)
    run_all()

    assert seen == [last]
    assert [row.state for row in rows()] == [State.MERGED, State.SUCCEEDED]


def test_autosave__its_delay_does_not_let_it_expire(admin: Client, page: BlogPage) -> None:
    hooks.register("after_edit_page", see_page, background=True, coalesce="{page.pk}", expires=10)
    save(admin, page, "Tides, at last")

    last = autosaves(admin, BlogPage.objects.get(pk=page.pk), 2)
    run_all()

    assert seen == [last]
    assert [row.state for row in rows()] == [State.MERGED, State.MERGED, State.SUCCEEDED]


def test_autosave__synchronous_hooks_run_as_ever(admin: Client, page: BlogPage) -> None:
    hooks.register("after_edit_page", see_page)

    autosaves(admin, page, 2)

    assert seen == ["Tides 0", "Tides 1"]


def test_autosave__hooks_that_are_forced_to_be_synchronous_run_as_ever(
    admin: Client, page: BlogPage, settings: Any
) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["after_edit_page"]
    hooks.register("after_edit_page", see_page, background=True)

    autosaves(admin, page, 2)

    assert seen == ["Tides 0", "Tides 1"]


@pytest.mark.usefixtures("immediate")
def test_autosave__immediate_mode_keeps_the_same_rule(admin: Client, page: BlogPage) -> None:
    hooks.register("after_edit_page", see_page, background=True)

    autosaves(admin, page, 2)
    assert seen == []
    save(admin, page, "Tides, at last")

    assert seen == ["Tides, at last"]


@pytest.mark.usefixtures("immediate")
def test_autosave__immediate_mode_merges_nothing(admin: Client, page: BlogPage) -> None:
    hooks.register("after_edit_page", see_page, background=True, coalesce="{page.pk}")

    autosaves(admin, page, 2)

    assert seen == ["Tides 0", "Tides 1"]


def test_autosave__the_first_of_a_new_page_makes_its_hook_run(
    admin: Client, page: BlogPage
) -> None:
    hooks.register("after_create_page", see_page, background=True)
    url = reverse("wagtailadmin_pages:add", args=("blog", "blogpage", page.get_parent().pk))
    new = BlogPage(title="Ebb", slug="ebb", introduction="Low")

    response = admin.post(url, form_data(new), headers={"Accept": "application/json"})
    run_all()

    assert response.json()["success"]
    assert seen == ["Ebb"]


@pytest.mark.parametrize(
    "accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "text/html", "", None]
)
def test_autosave__any_request_for_a_page_is_a_deliberate_one(
    admin: Client, page: BlogPage, accept: str | None
) -> None:
    hooks.register("after_edit_page", see_page, background=True)
    headers = {} if accept is None else {"Accept": accept}
    url = reverse("wagtailadmin_pages:edit", args=(page.pk,))

    response = admin.post(url, form_data(page, title="Ebb"), headers=headers)

    autosaved = response["Content-Type"].startswith("application/json")
    assert len(rows()) == (0 if autosaved else 1)
    assert not (accept and autosaved)


# Snippets -----------------------------------------------------------------------------------


def edit_author(admin: Client, author: Author, name: str, **headers: str) -> Any:
    """Post the form of an author."""
    url = reverse("wagtailsnippets_blog_author:edit", args=(author.pk,))
    return admin.post(url, {"name": name, "role": "", "biography": ""}, headers=headers)


@pytest.mark.parametrize(
    ("options", "expected"), [({}, []), ({"coalesce": "{instance.pk}"}, ["Ada 2"])]
)
def test_autosave__of_a_snippet(
    admin: Client, options: dict[str, Any], expected: list[str]
) -> None:
    hooks.register("after_edit_snippet", see_author, background=True, **options)
    author = Author.objects.create(name="Ada")

    for number in range(3):
        assert edit_author(admin, author, f"Ada {number}", Accept="application/json").json()
    time_passes()
    assert seen == expected

    assert edit_author(admin, author, "Ada, at last").status_code == 302
    run_all()
    assert seen == [*expected, "Ada, at last"]
