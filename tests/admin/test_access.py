"""Who may do what by which address: a row for each, and a new address without one fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from wagtail.models import Page

from tests.admin.sections_of_a_site import (
    ROLES,
    SECRET,
    Site,
    address,
    everything,
    forms,
    given,
    opt_in,
    patterns,
)
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db

LOGIN, REFUSED, SHOWN, DONE = "login", "refused", "shown", "done"
NO_POST, NO_GET, NOTHING = "405", "405", "404"

# For each: anonymous, stranger, editor, viewer, changer, superuser.
ALL_MAY_SEE = (LOGIN, SHOWN, SHOWN, SHOWN, SHOWN, SHOWN)
"""Everybody sees what is hers."""
OF_PAGE_SEEN = (LOGIN, REFUSED, SHOWN, SHOWN, SHOWN, SHOWN)
OF_PAGE_DONE = (LOGIN, REFUSED, DONE, REFUSED, DONE, DONE)
OF_PAGE_CHANGERS_SEE = (LOGIN, REFUSED, SHOWN, REFUSED, SHOWN, SHOWN)
VIEWERS_SEE = (LOGIN, REFUSED, REFUSED, SHOWN, SHOWN, SHOWN)
CHANGERS_DO = (LOGIN, REFUSED, REFUSED, REFUSED, DONE, DONE)
CHANGERS_SEE = (LOGIN, REFUSED, REFUSED, REFUSED, SHOWN, SHOWN)
STARTERS_SEE = (LOGIN, REFUSED, REFUSED, SHOWN, SHOWN, SHOWN)
"""Of somebody else's bulk action."""


def only(answer: str, *, of: tuple[str, ...]) -> tuple[str, ...]:
    """Return the answers to a method that a view does not have, of those whom it lets in."""
    return tuple(answer if role in (SHOWN, DONE) else role for role in of)


TABLE: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "overview": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "tasks": (ALL_MAY_SEE, only(NO_POST, of=ALL_MAY_SEE)),
    "tasks_results": (ALL_MAY_SEE, only(NO_POST, of=ALL_MAY_SEE)),
    "selected": (ALL_MAY_SEE, (LOGIN, DONE, DONE, REFUSED, DONE, DONE)),
    "task": (OF_PAGE_SEEN, only(NO_POST, of=OF_PAGE_SEEN)),
    "task_state": (OF_PAGE_SEEN, only(NO_POST, of=OF_PAGE_SEEN)),
    "errors": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "errors_results": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "error": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "error_action": (only(NO_GET, of=CHANGERS_SEE), CHANGERS_DO),
    "task_action": (OF_PAGE_CHANGERS_SEE, OF_PAGE_DONE),
    "bulk_action": (STARTERS_SEE, only(NO_POST, of=CHANGERS_DO)),
    "bulk_action_state": (STARTERS_SEE, only(NO_POST, of=CHANGERS_DO)),
    "bulk_action_cancel": (only(NO_GET, of=STARTERS_SEE), CHANGERS_DO),
    "bulk_action_retry": (only(NO_GET, of=STARTERS_SEE), CHANGERS_DO),
    "receipts": (OF_PAGE_SEEN, only(NO_POST, of=OF_PAGE_SEEN)),
    "receipt": (OF_PAGE_SEEN, only(NO_POST, of=OF_PAGE_SEEN)),
    "receipt_state": (OF_PAGE_SEEN, only(NO_POST, of=OF_PAGE_SEEN)),
    "hooks": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "schedule": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "schedule_run": (only(NO_GET, of=CHANGERS_SEE), CHANGERS_DO),
    "workers": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "test_task_send": (only(NO_GET, of=CHANGERS_SEE), CHANGERS_DO),
    "test_task": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "test_task_state": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "queues": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "pause": (CHANGERS_SEE, CHANGERS_DO),
    "resume": (only(NO_GET, of=CHANGERS_SEE), CHANGERS_DO),
    "status": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
    "status_text": (VIEWERS_SEE, only(NO_POST, of=VIEWERS_SEE)),
}
"""By the name of the URL: what each role is answered to GET, and to POST, about the open page."""

POSTED: Final[dict[str, Any]] = {"action": "retry"}
"""What is posted everywhere."""


@pytest.fixture(autouse=True)
def opted_in(settings: Any) -> None:
    """A site that has opted in."""
    opt_in(settings)


@pytest.fixture
def site(db: None) -> Site:
    """Two sections with tasks."""
    return Site()


def answer_to(browser: Client, method: str, url: str, data: Any = None) -> str:
    """Return what somebody is answered; what it has changed is undone."""
    with transaction.atomic():
        response = getattr(browser, method)(url, data or {})
        transaction.set_rollback(True)
    if response.status_code == 200:
        return SHOWN
    if response.status_code != 302:
        return REFUSED if response.status_code == 403 else str(response.status_code)
    where = response["Location"]
    if where.startswith(reverse("wagtailadmin_login")):
        return LOGIN
    return REFUSED if where == reverse("wagtailadmin_home") else DONE


def test_table__has_a_row_for_each_address() -> None:
    missing, gone = patterns().keys() - TABLE.keys(), TABLE.keys() - patterns().keys()

    assert not missing, f"Say in TABLE who may use {sorted(missing)}."
    assert not gone, f"TABLE has {sorted(gone)}, which are no addresses any more."


def test_table__is_true(site: Site) -> None:
    expected, found = {}, {}
    for number, role in enumerate(ROLES):
        browser = site.browser(role)
        for name, answers in TABLE.items():
            url, data = address(name, site.open), given(site.open).get(name, POSTED)
            for method, row in zip(("get", "post"), answers, strict=True):
                expected[name, method, role] = row[number]
                found[name, method, role] = answer_to(browser, method, url, data)

    assert found == expected


def test_read_only__changes_nothing_by_any_parameter(site: Site) -> None:
    before = everything()
    tried = list(attempts(site))
    rows = [row.pk for row in site.open.tasks.values()] + [site.open.action.pk]
    for role in ("viewer", "stranger"):
        browser = site.browser(role)
        for url, data in tried:
            browser.post(url, data)
        for url in {url for url, _ in tried}:
            browser.get(url, {"id": rows, "action": "retry", "confirm": 1, "repeat": 1})
            for action in ACTIONS:
                browser.post(url, {"id": rows, "action": action, "repeat": 1, "name": "default"})
    # The stranger may do so to what is hers.
    site.browser("viewer").post(
        reverse("wagtail_async_hooks:selected"), {"all": "1", "action": "discard"}
    )

    assert everything() == before


ACTIONS: Final = ("retry", "cancel", "discard", "run-now", "pause", "resume", "mute", "test")
"""What any view may be asked to do."""


def test_superuser__changes_by_post_alone(site: Site) -> None:
    before = everything()
    chief = site.browser("superuser")
    for url, data in attempts(site):
        if data:  # it has been opened without
            chief.get(url, data)
    assert everything() == before

    rows = [row.pk for row in site.open.tasks.values()]
    selected = reverse("wagtail_async_hooks:selected")
    chief.post(selected, {"id": rows, "action": "retry"})

    assert everything() != before


def attempts(site: Site) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all addresses, and the forms that a superuser is shown, with what they would send.

    Of forms that differ only by what they are about, one.
    """
    chief = site.browser("superuser")
    known = set()
    for name in patterns():
        url = address(name, site.open)
        yield url, given(site.open).get(name, {})
        response = chief.get(url)
        html = response.content.decode() if response.status_code == 200 else ""
        for _method, action, fields in forms(html):
            kind = (action.partition("?")[0], frozenset(fields))
            if kind not in known and not action.startswith("/admin/logout"):
                known.add(kind)
                yield action or url, fields


def visited(site: Site) -> dict[str, str]:
    """Return what an editor is shown on all pages that she may see."""
    browser = site.browser("editor")
    urls = [address(name, part) for name in patterns() for part in (site.open, site.secret)]
    urls += [f"{reverse('wagtail_async_hooks:tasks')}?{query}" for query in QUERIES]
    urls += [
        reverse("wagtailadmin_home"),
        reverse("wagtailadmin_explore", args=[site.open.page.pk]),
        reverse("wagtailadmin_explore", args=[Page.objects.get(slug="two-sections").pk]),
        reverse("wagtailadmin_pages:edit", args=[site.open.page.pk]),
        reverse("wagtailadmin_pages:history", args=[site.open.page.pk]),
    ]
    seen = {}
    for url in urls:
        response = browser.get(url)
        html = b"".join(response.streaming_content) if response.streaming else response.content
        # What she has typed is hers to see again.
        seen[url] = html.decode(errors="replace").replace(f'value="{SECRET}"', "")
    return seen


QUERIES: Final = (
    "q=Section",
    f"q={SECRET}",
    "state=failed",
    "export=csv",
    "p=2",
    "user=1",
    "export=xlsx",
)


def test_pages__say_nothing_of_another_groups_private_pages(site: Site) -> None:
    telling = [
        url for url, html in visited(site).items() if SECRET.lower() in _without_urls(html).lower()
    ]

    assert telling == []


def _without_urls(html: str) -> str:
    """Return a page without what was searched for: addresses of its own with the same query."""
    return html.replace(f"q={SECRET}", "")


def test_pages__tell_it_to_those_who_may_know(site: Site) -> None:
    tasks = reverse("wagtail_async_hooks:tasks")

    for role in ("stranger", "viewer", "superuser"):
        assert SECRET in site.browser(role).get(tasks).content.decode(), role


def test_editor__is_shown_neither_tracebacks_nor_arguments(site: Site) -> None:
    row = site.open.tasks[State.FAILED]
    url = reverse("wagtail_async_hooks:task", args=[row.pk])

    for role, sees in (("editor", False), ("viewer", False), ("changer", True)):
        html = site.browser(role).get(url).content.decode()
        assert ("Traceback of Harbour" in html) is sees, role
    assert BackgroundTask.objects.get(pk=row.pk).state == State.FAILED
