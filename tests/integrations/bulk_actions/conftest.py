"""Fixtures: many pages, and an editor who acts on them by Wagtail's admin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import Max
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from wagtail.models import Locale, ModelLogEntry, Page, PageLogEntry, ReferenceIndex, Revision

from tests.site.blog.models import Advert, HomePage
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask

THRESHOLD = 2
"""So many objects are done in the request still."""


@pytest.fixture(autouse=True)
def opted_in(settings: Any) -> None:
    """A site that has opted in, and where few objects are many."""
    settings.WAGTAIL_TASKS = {
        **settings.WAGTAIL_TASKS,
        "BACKEND": "database",
        "BULK_ACTIONS": {**settings.WAGTAIL_TASKS["BULK_ACTIONS"], "threshold": THRESHOLD},
    }


@pytest.fixture
def home(committed_db: None) -> Iterator[HomePage]:
    """A page for the pages of a test; all are deleted afterwards, with what tells of them."""
    telling = (PageLogEntry, ModelLogEntry, Revision, ReferenceIndex, Advert)
    before = [model.objects.aggregate(Max("pk"))["pk__max"] or 0 for model in telling]
    root = Page.get_first_root_node()
    assert root is not None
    home = root.add_child(instance=HomePage(title="Bulk", slug="bulk"))
    yield home
    Page.objects.get(pk=home.pk).delete()
    for model, last in zip(telling, before, strict=True):
        model.objects.filter(pk__gt=last).delete()


def make_pages(parent: Page, number: int, live: bool = False) -> list[int]:
    """Make many pages at once, without signals; return their primary keys in their order."""
    parent.refresh_from_db()
    common = {
        "live": live,
        "depth": parent.depth + 1,
        "content_type": ContentType.objects.get_for_model(Page),
        "locale": Locale.get_default(),
    }
    Page.objects.bulk_create(
        Page(
            title=f"Post {n}",
            draft_title=f"Post {n}",
            slug=f"post-{n}",
            path=Page._get_path(parent.path, parent.depth + 1, parent.numchild + 1 + n),
            url_path=f"{parent.url_path}post-{n}/",
            **common,
        )
        for n in range(number)
    )
    Page.objects.filter(pk=parent.pk).update(numchild=parent.numchild + number)
    return list(Page.objects.child_of(parent).order_by("path").values_list("pk", flat=True))


@pytest.fixture
def chief(committed_db: None) -> Iterator[Any]:
    """A user who may do everything."""
    users = get_user_model().objects
    user, _ = users.get_or_create(username="chief", is_superuser=True)  # a password takes time
    yield user
    users.filter(pk=user.pk).delete()


@pytest.fixture
def admin(client: Client, chief: Any) -> Client:
    """The browser of that user."""
    client.force_login(chief)
    return client


class Act(Protocol):
    """Confirm a bulk action."""

    def __call__(
        self, name: str, keys: Sequence[Any], browser: Client = ..., **data: Any
    ) -> HttpResponse: ...


@pytest.fixture
def act(admin: Client) -> Act:
    """Confirm a bulk action, by its name, on the page that Wagtail has for that."""

    def act(name: str, keys: Sequence[Any], browser: Client = admin, **data: Any) -> HttpResponse:
        address = reverse("wagtail_bulk_action", args=name.split("."))
        query = urlencode([*(("id", key) for key in keys), ("next", "/admin/pages/")])
        return browser.post(f"{address}?{query}", data)  # type: ignore[return-value]

    return act


@pytest.fixture
def work() -> Callable[[], BackgroundTask]:
    """Run the one task that waits, as a worker would; return its row."""

    def work() -> BackgroundTask:
        task = background.next()
        assert task is not None
        background.execute(task)
        return BackgroundTask.objects.get(pk=task.claim.pk)

    return work
