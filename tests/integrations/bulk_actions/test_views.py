"""Tests of the confirmation page's answer: what goes to the background, and at what price."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django import forms
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from wagtail import hooks as wagtail_hooks
from wagtail.admin.views.bulk_action import BulkAction
from wagtail.admin.views.bulk_action.registry import bulk_action_registry
from wagtail.admin.views.pages.bulk_actions import PublishBulkAction
from wagtail.models import Page

from tests.integrations.bulk_actions.conftest import THRESHOLD, Act, make_pages
from tests.site.blog.models import Advert, HomePage
from wagtail_async_hooks.integrations.bulk_actions import BackgroundBulkActionMixin
from wagtail_async_hooks.models import BackgroundTask


def live(keys: list[int]) -> int:
    """Return how many of some pages are live."""
    return Page.objects.filter(pk__in=keys, live=True).count()


def test_confirmation__leads_to_the_page_of_the_task(home: HomePage, act: Act) -> None:
    keys = make_pages(home, THRESHOLD + 1)

    response = act("wagtailcore.page.publish", keys)

    [task] = BackgroundTask.objects.all()
    assert response.status_code == 302
    assert response["Location"] == (
        f"/admin/background-tasks/bulk-action/{task.task_id}/?next=%2Fadmin%2Fpages%2F"
    )
    assert live(keys) == 0


def test_confirmation__does_a_few_at_once_as_wagtail_does(home: HomePage, act: Act) -> None:
    keys = make_pages(home, THRESHOLD)

    response = act("wagtailcore.page.publish", keys)

    assert response["Location"] == "/admin/pages/"
    assert live(keys) == THRESHOLD
    assert not BackgroundTask.objects.filter(function__contains="bulk_action").exists()


def test_confirmation__counts_what_may_be_done_of_all(home: HomePage, act: Act) -> None:
    keys = make_pages(home, THRESHOLD)

    response = act("wagtailcore.page.publish", ["all", *keys])

    # "all" is all pages of the site here, as no parent is named.
    assert "/background-tasks/" in response["Location"]


def test_confirmation__of_an_action_that_is_not_opted_in(
    home: HomePage, act: Act, settings: Any
) -> None:
    keys = make_pages(home, THRESHOLD + 1)
    settings.WAGTAIL_TASKS = {
        **settings.WAGTAIL_TASKS,
        "BULK_ACTIONS": {"actions": ["wagtailcore.page.move"], "threshold": THRESHOLD},
    }

    assert act("wagtailcore.page.publish", keys)["Location"] == "/admin/pages/"
    assert live(keys) == THRESHOLD + 1


def test_confirmation__in_immediate_mode(home: HomePage, act: Act, settings: Any) -> None:
    keys = make_pages(home, THRESHOLD + 1)
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "BACKEND": ""}

    assert act("wagtailcore.page.publish", keys)["Location"] == "/admin/pages/"
    assert live(keys) == THRESHOLD + 1


def test_confirmation__a_hook_refuses(home: HomePage, act: Act) -> None:
    keys = make_pages(home, THRESHOLD + 1)

    def refuse(*args: Any) -> HttpResponse:
        return HttpResponse("not today")

    with wagtail_hooks.register_temporarily("before_bulk_action", refuse):
        response = act("wagtailcore.page.publish", keys)

    assert response.content == b"not today"
    assert not BackgroundTask.objects.exists()


def test_confirmation__shows_what_stands_in_the_way(home: HomePage, act: Act) -> None:
    target, *keys = make_pages(home, THRESHOLD + 2)
    Page.objects.get(pk=target).add_child(instance=Page(title="Other", slug="post-2"))

    response = act("wagtailcore.page.move", keys, chooser=target)

    assert response.status_code == 200
    assert not BackgroundTask.objects.exists()


def test_confirmation__asks_for_the_name_of_the_site(
    home: HomePage, act: Act, settings: Any
) -> None:
    keys = make_pages(home, THRESHOLD + 1)

    response = act("wagtailcore.page.delete", keys, confirm_site_name="another")

    assert response.status_code == 200
    assert not BackgroundTask.objects.exists()


def test_confirmation__does_it_at_once_if_it_cannot_be_recorded(
    admin: Any, no_table: None, caplog: pytest.LogCaptureFixture
) -> None:
    adverts = [Advert.objects.create(text=f"Buy {n}").pk for n in range(THRESHOLD + 1)]
    query = "&".join(f"id={key}" for key in adverts)

    response = admin.post(f"/admin/bulk/blog/advert/delete/?{query}&next=/admin/")

    assert response["Location"] == "/admin/"
    assert not Advert.objects.exists()
    assert "blog.advert.delete could not be recorded as a task" in caplog.text


@pytest.mark.parametrize("number", [20, 60])
def test_confirmation__costs_no_query_more_than_wagtails_own(
    home: HomePage, act: Act, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(cls: type, objects: Any, **kwargs: Any) -> tuple[int, int]:
        return len(objects), 0

    # Wagtail's, if publishing cost nothing.
    monkeypatch.setattr(PublishBulkAction, "execute_action", classmethod(execute))
    keys = make_pages(home, number)
    act("wagtailcore.page.publish", keys[:1])  # what is looked up once in a process
    with CaptureQueriesContext(connection) as in_background:
        act("wagtailcore.page.publish", keys)
    monkeypatch.setattr(BackgroundBulkActionMixin, "background_threshold", number)
    with CaptureQueriesContext(connection) as at_once:
        act("wagtailcore.page.publish", keys)

    assert BackgroundTask.objects.count() == 1
    assert len(in_background) <= len(at_once) + 6


class TellForm(forms.Form):
    """A form with something that is not to be kept."""

    token = forms.CharField()


class SecretAction(BackgroundBulkActionMixin, BulkAction):
    """An action whose author wants the background, with a form that cannot be carried."""

    display_name = "Tell"
    action_type = "tell"
    aria_label = "Tell"
    template_name = "wagtailadmin/bulk_actions/confirmation/base.html"
    form_class = TellForm
    models = [Advert]
    told: list[int] = []

    @classmethod
    def execute_action(cls, objects: Any, **kwargs: Any) -> tuple[int, int]:
        cls.told.append(len(objects))
        return len(objects), 0


class PlainAction(SecretAction):
    """The same without a form."""

    action_type = "tell_plainly"
    form_class = forms.Form
    told = []


@pytest.fixture
def own_actions(registries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site with actions of its own."""
    for action in (SecretAction, PlainAction):
        action.told.clear()
        wagtail_hooks.register("register_bulk_action", action)
        monkeypatch.setitem(
            bulk_action_registry.actions.setdefault("blog", {}).setdefault("advert", {}),
            action.action_type,
            action,
        )


@pytest.mark.usefixtures("own_actions")
def test_mixin__an_action_of_the_sites_own(home: HomePage, act: Act, work: Any) -> None:
    adverts = [Advert.objects.create(text=f"Buy {n}").pk for n in range(THRESHOLD + 1)]

    act("blog.advert.tell_plainly", adverts)
    assert PlainAction.told == []
    work()

    assert PlainAction.told == [1, 1, 1]


@pytest.mark.usefixtures("own_actions")
def test_mixin__what_cannot_be_carried_is_done_at_once(
    home: HomePage, act: Act, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    adverts = [Advert.objects.create(text=f"Buy {n}").pk for n in range(THRESHOLD + 1)]

    act("blog.advert.tell", adverts, token="abc")

    assert SecretAction.told == [THRESHOLD + 1]
    assert 'the field "token" is taken for a secret' in caplog.text


def test_mixin__has_a_threshold_of_its_own(
    home: HomePage, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BackgroundBulkActionMixin, "background_threshold", 0)
    keys = make_pages(home, 1)

    act("wagtailcore.page.publish", keys)

    assert live(keys) == 0
