"""Tests of the page of a bulk action: what it shows, to whom, and what its buttons do."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone
from wagtail.models import Page

from tests.admin.editing import page
from tests.integrations.bulk_actions.conftest import Act, make_pages
from tests.site.blog.models import HomePage
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import ItemState, State


@pytest.fixture
def address(home: HomePage, act: Act) -> str:
    """Address of the page of an action that waits, for three pages."""
    return str(act("wagtailcore.page.publish", make_pages(home, 3))["Location"]).partition("?")[0]


def other(*permissions: str) -> Client:
    """Return the browser of another person who may use the admin."""
    user, _ = get_user_model().objects.get_or_create(username="other")
    user.groups.add(Group.objects.get(name="Editors"))
    for name in permissions:
        user.user_permissions.add(Permission.objects.get(codename=name))
    client = Client()
    client.force_login(get_user_model().objects.get(pk=user.pk))
    return client


@pytest.fixture(autouse=True)
def nobody_else(home: HomePage) -> Any:
    """Let the other person go afterwards."""
    yield
    get_user_model().objects.filter(username="other").delete()


def test_page__while_it_waits(address: str, admin: Client) -> None:
    html = admin.get(f"{address}?next=/admin/pages/").content.decode()

    assert "Publish: 3 pages" in html
    assert "Waiting for a worker. 0 of 3 pages done." in html
    assert "No background worker is running" in html
    assert f'action="{address}cancel/"' in html
    assert 'href="/admin/pages/"' in html
    assert '<progress class="bulk-action__bar" max="3" value="0"' in html


def test_page__lists_what_was_not_reached_and_says_what_its_button_does(
    address: str, admin: Client, work: Any
) -> None:
    [task] = BackgroundTask.objects.all()
    ledger.record_item(task.pk, "0", "Post 0", ItemState.FAILED, error="no luck")
    BackgroundTask.objects.update(state=State.FAILED, error="gone", error_type="ValueError")
    html = admin.get(address).content.decode()
    assert "Not reached yet" in html
    assert "Post 2" in html
    assert "Retry 1 and go on with 2" in html

    admin.post(f"{address}retry/")
    work()

    html = admin.get(address).content.decode()
    assert "Not reached yet" not in html


def test_page__does_not_count_what_it_does_not_list(
    home: HomePage, act: Act, admin: Client
) -> None:
    address = act("wagtailcore.page.publish", make_pages(home, 53))["Location"].partition("?")[0]

    html = admin.get(address).content.decode()

    assert "And 3 more." in html
    assert html.count("</svg> Waits") == 50


def test_report__leads_to_the_page_of_the_action(address: str, admin: Client) -> None:
    html = admin.get("/admin/background-tasks/").content.decode()

    assert f'href="{address}"' in html
    assert "Publish: 3 pages" in html


def test_message__leads_to_the_page_of_the_action(address: str, admin: Client, work: Any) -> None:
    work()

    html = page(admin)

    assert "3 pages have been published" in html
    assert f'<a href="{address}">Details</a>' in html


def test_message__says_nothing_of_what_runs_once_it_has_ended(
    address: str, admin: Client, work: Any
) -> None:
    work()

    assert "in the background for" not in admin.get(address).content.decode()


def test_page__explains_errors_in_the_words_of_the_site(
    home: HomePage, act: Act, admin: Client, work: Any, settings: Any, monkeypatch: Any
) -> None:
    options = settings.WAGTAIL_TASKS["BULK_ACTIONS"]
    explain = {"builtins.OSError": "The disk is <full>."}
    settings.WAGTAIL_TASKS = {
        **settings.WAGTAIL_TASKS,
        "BULK_ACTIONS": {**options, "explain": explain},
    }
    address = act("wagtailcore.page.publish", make_pages(home, 3))["Location"].partition("?")[0]

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("EIO")

    monkeypatch.setattr(
        "wagtail.admin.views.pages.bulk_actions.publish.PublishBulkAction.execute_action", fail
    )
    work()

    html = admin.get(address).content.decode()
    assert "The disk is &lt;full&gt;." in html
    assert "EIO" not in html


def test_page__does_not_lead_to_another_site(address: str, admin: Client) -> None:
    assert "evil.example" not in admin.get(
        f"{address}?next=https://evil.example/"
    ).content.decode().replace("next=https://evil.example/", "")


def test_page__with_a_worker(address: str, admin: Client) -> None:
    now = timezone.now()
    Worker.objects.create(pid=1, threads=1, started_at=now, heartbeat_at=now)

    assert "No background worker" not in admin.get(address).content.decode()


def test_page__when_it_has_ended_with_failures_first(
    address: str, admin: Client, work: Any
) -> None:
    page = Page.objects.get(slug="post-1")
    page.delete()
    work()

    html = admin.get(address).content.decode()

    assert "Finished with errors. 2 of 3 pages done. 1 failed." in html
    assert html.index("Post 1") < html.index("Post 0") < html.index("Post 2")
    assert "It was deleted meanwhile." in html
    assert f'href="/admin/pages/{Page.objects.get(slug="post-0").pk}/edit/"' in html
    assert "data-ended" in html
    assert f'action="{address}retry/"' in html


def test_page__tells_what_was_no_single_objects_fault(address: str, admin: Client) -> None:
    BackgroundTask.objects.update(state=State.FAILED, error="no <luck>", error_type="ValueError")

    html = admin.get(address).content.decode()

    assert "The action broke off:" in html
    assert "no &lt;luck&gt;" in html


def test_page__escapes_what_objects_are_called(address: str, admin: Client) -> None:
    [task] = BackgroundTask.objects.all()
    ledger.record_item(task.pk, "0", "<script>", ItemState.FAILED, error="<b>why</b>")

    html = admin.get(address).content.decode()

    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;why" in html


def test_page__has_more_than_one(address: str, admin: Client) -> None:
    [task] = BackgroundTask.objects.all()
    for number in range(51):
        ledger.record_item(task.pk, str(10**8 + number), f"Thing {number}.", ItemState.DONE)

    assert "Thing 50." not in admin.get(address).content.decode()
    assert "Thing 50." in admin.get(f"{address}?p=2").content.decode()


@pytest.mark.parametrize("what", ["", "state/"])
def test_page__costs_no_more_queries_for_many_results(
    home: HomePage,
    act: Act,
    admin: Client,
    what: str,
    django_assert_max_num_queries: Any,
) -> None:
    keys = make_pages(home, 25)
    address = act("wagtailcore.page.publish", keys)["Location"].partition("?")[0]
    [task] = BackgroundTask.objects.all()
    for key in keys:
        ledger.record_item(task.pk, str(key), f"Page {key}", ItemState.DONE)

    with django_assert_max_num_queries(20):
        assert admin.get(address + what).status_code == 200


def test_page__of_nothing(admin: Client, home: HomePage) -> None:
    assert admin.get("/admin/background-tasks/bulk-action/nothing/").status_code == 404


def test_page__of_another_task(admin: Client, home: HomePage) -> None:
    from tests.work import tasks

    result = tasks.add(1, 2)

    assert admin.get(f"/admin/background-tasks/bulk-action/{result.id}/").status_code == 404


def test_state__tells_the_script(address: str, admin: Client, work: Any) -> None:
    before = admin.get(f"{address}state/").json()
    work()
    after = admin.get(f"{address}state/").json()

    assert (before["state"], before["ended"], before["done"]) == ("waiting", False, 0)
    assert (after["state"], after["ended"], after["done"]) == ("succeeded", True, 3)
    assert after["text"] == "Finished. 3 of 3 pages done."
    assert "Post 2" in after["results"]
    assert "<form" in before["buttons"]
    assert "<form" not in after["buttons"]


def test_cancel__by_who_started_it(address: str, admin: Client) -> None:
    response = admin.post(f"{address}cancel/", {"next": "/admin/pages/"})

    assert response["Location"] == f"{address}?next=%2Fadmin%2Fpages%2F"
    assert BackgroundTask.objects.get().state == State.CANCELLED


def test_retry__runs_it_again(address: str, admin: Client, work: Any) -> None:
    admin.post(f"{address}cancel/")
    admin.post(f"{address}retry/")

    assert work().state == State.SUCCEEDED


def test_retry__of_what_has_succeeded(address: str, admin: Client, work: Any) -> None:
    work()

    html = admin.post(f"{address}retry/", follow=True).content.decode()

    assert "There is nothing to run again." in html


def test_buttons__want_a_post_with_a_token(address: str, chief: Any) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(chief)

    assert strict.get(f"{address}cancel/").status_code == 405
    assert strict.post(f"{address}cancel/").status_code == 403
    assert BackgroundTask.objects.get().state == State.WAITING


@pytest.mark.parametrize(
    ("permissions", "sees", "changes"),
    [
        ((), False, False),
        (("view_backgroundtask",), True, False),
        (("change_backgroundtask",), True, True),
    ],
)
def test_page__of_somebody_elses_action(
    address: str, permissions: tuple[str, ...], sees: bool, changes: bool
) -> None:
    client = other(*permissions)

    response = client.get(address)
    assert (response.status_code == 200) is sees
    assert (f'action="{address}cancel/"' in response.content.decode()) is changes
    client.post(f"{address}cancel/")
    assert (BackgroundTask.objects.get().state == State.CANCELLED) is changes
