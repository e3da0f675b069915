"""Tests of moving bulk actions by the settings: whichever class Wagtail would take."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from wagtail import hooks as wagtail_hooks
from wagtail.admin.views.pages.bulk_actions import PublishBulkAction, UnpublishBulkAction

from tests.site.blog.models import Advert
from wagtail_async_hooks.integrations.bulk_actions import BackgroundBulkActionMixin, moving
from wagtail_async_hooks.integrations.bulk_actions.registry import find, registered

PUBLISH = "wagtailcore.page.publish"


class OwnPublish(PublishBulkAction):
    """A site's replacement."""

    display_name = "Release"


class OwnFormValid(PublishBulkAction):
    """A site's replacement that does its work where the background does not come to."""

    def form_valid(self, form: Any) -> HttpResponse:
        return HttpResponse("done")


class OwnMixin(BackgroundBulkActionMixin, PublishBulkAction):
    """A site's replacement, made for the background."""


@pytest.fixture(autouse=True)
def fresh(registries: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site of which nothing was moved yet, and whose settings name one action."""
    kept = [
        (action, order)
        for action, order in wagtail_hooks._hooks["register_bulk_action"]
        if not moving.is_in_background(action)
    ]
    monkeypatch.setitem(wagtail_hooks._hooks, "register_bulk_action", kept)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "BULK_ACTIONS": {"actions": [PUBLISH]}}


def test_move__makes_a_class_of_wagtails() -> None:
    before = registered()
    moving.move()

    assert issubclass(find(PUBLISH), PublishBulkAction)
    assert moving.is_in_background(find(PUBLISH))
    assert find(PUBLISH).__qualname__ == "PublishBulkAction"
    assert find(PUBLISH).__module__ == PublishBulkAction.__module__
    assert {n: a for n, a in registered().items() if n != PUBLISH} == {
        n: a for n, a in before.items() if n != PUBLISH
    }


def test_move__twice_makes_one_class() -> None:
    moving.move()
    once = find(PUBLISH)
    moving.move()

    assert find(PUBLISH) is once


@pytest.mark.parametrize("order", [0, 500])
def test_move__makes_a_class_of_a_sites_own_replacement(order: int) -> None:
    wagtail_hooks.register("register_bulk_action", OwnPublish, order=order)
    moving.move()

    assert issubclass(find(PUBLISH), OwnPublish)
    assert moving.is_in_background(find(PUBLISH))


@pytest.mark.parametrize("own", [OwnFormValid, OwnMixin])
def test_move__leaves_alone_what_works_in_its_own_way(own: Any) -> None:
    wagtail_hooks.register("register_bulk_action", own)
    moving.move()

    assert find(PUBLISH) is own


def test_move__of_one_model_of_several(settings: Any) -> None:
    name = "blog.advert.delete"
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "BULK_ACTIONS": {"actions": [name]}}
    moving.move()

    assert find(name).models == [Advert]
    assert not moving.is_in_background(find("blog.author.delete"))


def test_find__what_is_not_registered() -> None:
    with pytest.raises(LookupError, match='no bulk action "a-b-c" is registered'):
        find("a-b-c")


def test_why_not__says_whose_work_it_is() -> None:
    assert moving.why_not(UnpublishBulkAction) == ""
    assert moving.why_not(OwnMixin) == ""
    assert moving.why_not(OwnFormValid) == (
        f"{__name__}.OwnFormValid does work of its own in form_valid()"
    )
