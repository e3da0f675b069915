"""Tests of the pages about errors: what they show, to whom, and what their buttons do."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from wagtail.models import ModelLogEntry, Page

from tests.failed import FUNCTION, fail, fail_many
from wagtail_async_hooks import ledger
from wagtail_async_hooks.admin import log_actions
from wagtail_async_hooks.admin.views import errors as views
from wagtail_async_hooks.models import BackgroundTask, MutedError, Worker
from wagtail_async_hooks.types import State

ERRORS = "/admin/background-tasks/errors/"

TRACEBACK = """Traceback (most recent call last):
  File "/srv/venv/lib/python3.12/site-packages/huey/api.py", line 7, in execute
    return task()
  File "/srv/shop/pay.py", line 3, in pay
    raise PaymentError("<b>no money</b>")
shop.PaymentError: <b>no money</b>
"""

pytestmark = pytest.mark.django_db


def browser(*permissions: str) -> Client:
    """Return the browser of an editor with some permissions besides."""
    user = get_user_model().objects.create(username=f"other-{'-'.join(permissions)}")
    user.groups.add(Group.objects.get(name="Editors"))
    for name in permissions:
        user.user_permissions.add(Permission.objects.get(codename=name))
    client = Client()
    client.force_login(user)
    return client


def key(error: str = "shop.PaymentError", place: str = "shop.pay") -> str:
    """Return the key of a group."""
    return ledger.error_key(error, FUNCTION, place)


def url(action: str = "", of: str = "") -> str:
    """Return the address of a group, or of something that is done to it."""
    return f"{ERRORS}{of or key()}/{action and f'{action}/'}"


def html_of(client: Client, address: str = ERRORS) -> str:
    """Return a page, on one line."""
    response = client.get(address)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def states() -> set[str]:
    """Return the states of all tasks."""
    return set(BackgroundTask.objects.values_list("state", flat=True))


def logged() -> list[Any]:
    """Return what Wagtail's log says of us, the oldest first."""
    entries = ModelLogEntry.objects.filter(action__startswith="wagtail_async_hooks.")
    return list(entries.order_by("pk"))


# Lists --------------------------------------------------------------------------------------


def test_errors__none(admin: Client) -> None:
    assert "No background task has failed." in html_of(admin)
    assert "No error is muted." in html_of(admin, f"{ERRORS}?muted=1")


def test_errors__groups(admin: Client) -> None:
    for hours in (0.5, 2, 30):
        fail(ago=hours)
    fail("OSError", "shop.ship")
    html = html_of(admin)
    assert "PaymentError in Add" in html
    assert "OSError in Add" in html
    assert "no money" in html
    assert "shop.ship" in html
    assert "4 failed tasks, by error, function and place." in html
    assert html.count('class="background-sparkline"') == 2
    assert f'href="{url()}"' in html
    numbers = [f'<td class="background-number">{number}</td>' for number in (1, 2, 3, 3)]
    assert " ".join(numbers) in html


def test_errors__in_the_order_that_is_asked_for(admin: Client) -> None:
    fail_many(2)
    fail("OSError")
    for ordering, first in (("", "OSError"), ("-number", "PaymentError"), ("number", "OSError")):
        html = html_of(admin, f"{ERRORS}?ordering={ordering}")
        places = {html.index(f"{name} in Add"): name for name in ("OSError", "PaymentError")}
        assert places[min(places)] == first
    html_of(admin, f"{ERRORS}?ordering=workers")


def test_errors__muted_ones_are_told_apart(admin: Client) -> None:
    fail()
    fail("OSError")
    ledger.mute("shop.PaymentError", FUNCTION, "shop.pay")
    assert "PaymentError" not in html_of(admin)
    muted = html_of(admin, f"{ERRORS}?muted=1")
    assert "PaymentError in Add" in muted
    assert "OSError" not in muted
    assert "Nobody is told of muted errors." in muted


def test_errors__new_since_a_release(admin: Client) -> None:
    now = timezone.now()
    for release, state in (("1.0", State.SUCCEEDED), ("2.0", State.FAILED)):
        worker = Worker.objects.create(
            host="a", pid=1, threads=1, release=release, started_at=now, heartbeat_at=now
        )
        fail(worker=worker, state=state)
    assert "New since release 2.0" in html_of(admin)
    assert "no task of an earlier release has failed so" in html_of(admin, url())


def test_errors__results_alone(admin: Client) -> None:
    fail()
    html = html_of(admin, f"{ERRORS}results/")
    assert "PaymentError in Add" in html
    assert "<html" not in html


def test_group__facts_tasks_and_traceback(admin: Client) -> None:
    kind = ContentType.objects.get_for_model(Page)
    pk = fail(traceback=TRACEBACK, subject_type=kind, subject_id="1", subject_title="Tea")
    html = html_of(admin, url())
    assert "1 in the last hour, 1 in 24 hours, 1 in 7 days, 1 altogether" in html
    assert f'href="/admin/background-tasks/task/{pk}/"' in html
    assert "Add for “Tea”" in html
    assert "/srv/shop/pay.py:3" in html
    folded = html.index("1 call in installed packages")
    assert folded < html.index("site-packages/huey/api.py:7") < html.index("/srv/shop/pay.py:3")
    assert "<b>no money" not in html
    assert "&lt;b&gt;no money" in html


def test_group__nothing_is_markup(admin: Client) -> None:
    told = "<script>alert(1)</script>"
    fail(told, told, error=told, traceback=f"{TRACEBACK}{told}", function=told, title=told)
    of = ledger.error_key(told, told, told)
    for address in (ERRORS, url(of=of), url("discard", of)):
        assert "<script>alert" not in html_of(admin, address)


def test_group__unknown(admin: Client) -> None:
    assert admin.get(url()).status_code == 404
    assert admin.post(url("mute")).status_code == 404
    fail()
    assert admin.post(url("explode")).status_code == 404


def test_group__muted_and_without_tasks_can_be_unmuted(admin: Client) -> None:
    ledger.mute("shop.PaymentError", FUNCTION, "shop.pay")
    html = html_of(admin, url())
    assert "No task with this error is left." in html
    assert "Unmute" in html
    assert admin.post(url("unmute")).url == ERRORS  # type: ignore[attr-defined]
    assert not MutedError.objects.exists()


# Who may ------------------------------------------------------------------------------------


def test_permission__none_for_those_who_may_not_see_all() -> None:
    fail()
    editor = browser()
    for address in (ERRORS, f"{ERRORS}results/", url(), url("discard")):
        assert editor.get(address).url == "/admin/"  # type: ignore[attr-defined]
    for action in ("retry", "discard", "mute", "unmute"):
        assert editor.post(url(action)).url == "/admin/"  # type: ignore[attr-defined]
    assert states() == {State.FAILED}


def test_permission__who_may_see_all_changes_nothing() -> None:
    fail(traceback=TRACEBACK)
    viewer = browser("view_backgroundtask")
    html = html_of(viewer, url())
    assert "PaymentError in Add" in html_of(viewer)
    assert "/srv/shop/pay.py" not in html
    assert "<form" not in html.partition('id="main"')[2].replace("w-form", "")
    for action in ("retry", "discard", "mute", "unmute"):
        assert viewer.post(url(action), {"repeat": "1"}).url == "/admin/"  # type: ignore[attr-defined]
    assert viewer.get(url("discard")).url == "/admin/"  # type: ignore[attr-defined]
    assert states() == {State.FAILED}
    assert not MutedError.objects.exists()


def test_permission__who_may_change_all() -> None:
    fail(traceback=TRACEBACK)
    assert "/srv/shop/pay.py:3" in html_of(browser("change_backgroundtask"), url())


def test_permission__anonymous(client: Client) -> None:
    assert client.get(ERRORS).url.startswith("/admin/login/")  # type: ignore[attr-defined]


def test_get__changes_nothing(admin: Client) -> None:
    fail()
    for action in ("retry", "mute", "unmute"):
        assert admin.get(url(action)).status_code == 405
    assert "1 failed task will be gone for good" in html_of(admin, url("discard"))
    assert states() == {State.FAILED}
    assert not MutedError.objects.exists()


def test_blank_backend__nothing_is_found(admin: Client, immediate: None) -> None:
    assert admin.get(ERRORS).status_code == 404
    assert admin.get(url()).status_code == 404


def test_navigation__for_those_who_may_see_all(admin: Client) -> None:
    assert f'href="{ERRORS}"' in html_of(admin, "/admin/background-tasks/")
    assert ERRORS not in html_of(browser(), "/admin/background-tasks/")


# What is done -------------------------------------------------------------------------------


def test_retry__tells_beforehand_what_is_left_out(admin: Client) -> None:
    fail_many(3)
    fail(side_effect="email")
    assert "1 may repeat its side effect (email)." in html_of(admin, url())
    assert "Retry 3 of 4" in html_of(admin, url())
    response = admin.post(url("retry"), follow=True)
    assert "3 tasks wait to be run again." in response.content.decode()
    assert sorted(states()) == [State.FAILED, State.WAITING]
    assert admin.post(url("retry"), {"repeat": "1"}).url == ERRORS  # type: ignore[attr-defined]
    assert states() == {State.WAITING}


def test_retry__of_this_group_alone(admin: Client) -> None:
    fail()
    other = fail("OSError")
    admin.post(url("retry"))
    assert list(BackgroundTask.objects.filter(state="failed").values_list("pk", flat=True)) == [
        other
    ]


def test_retry__of_a_thousand(admin: Client) -> None:
    fail_many(1000)
    admin.post(url("retry"))
    assert states() == {State.WAITING}
    [entry] = logged()
    assert entry.action == log_actions.Action.RETRY
    assert entry.data["number"] == 1000
    assert entry.data["error"] == "PaymentError in Add"


def test_retry__of_very_many_takes_the_oldest(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MOST", 2)
    keys = fail_many(3)
    assert "There are more: these are the oldest." in html_of(admin, url())
    assert admin.post(url("retry")).url == url()  # type: ignore[attr-defined]
    assert list(BackgroundTask.objects.filter(state="failed").values_list("pk", flat=True)) == [
        keys[2]
    ]


def test_discard__asks_first(admin: Client) -> None:
    fail_many(3)
    other = fail("OSError")
    assert "3 failed tasks will be gone for good" in html_of(admin, url("discard"))
    assert BackgroundTask.objects.count() == 4
    response = admin.post(url("discard"), follow=True)
    assert "3 tasks were discarded." in response.content.decode()
    assert BackgroundTask.objects.get().pk == other
    assert {entry.action for entry in logged()} == {log_actions.Action.DISCARD}


def test_mute__and_unmute(admin: Client, chief: Any) -> None:
    fail()
    for _ in range(2):
        assert admin.post(url("mute")).url == url()  # type: ignore[attr-defined]
    row = MutedError.objects.get()
    assert (row.key, row.error_type, row.function, row.error_place) == (
        key(),
        "shop.PaymentError",
        FUNCTION,
        "shop.pay",
    )
    assert row.user == chief
    assert "Muted by chief:" in html_of(admin, url())
    for _ in range(2):
        admin.post(url("unmute"))
    assert not MutedError.objects.exists()
    assert [entry.action for entry in logged()] == [
        log_actions.Action.MUTE,
        log_actions.Action.UNMUTE,
    ]
    assert states() == {State.FAILED}


# Cost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_group", [False, True])
def test_cost__the_same_number_of_queries_however_many(
    admin: Client, chief: Any, of_group: bool
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            html_of(admin, url() if of_group else ERRORS)
        return len(captured)

    about = {
        "subject_type": ContentType.objects.get_for_model(Page),
        "subject_id": str(Page.objects.earliest("pk").pk),
        "user": chief,
        "traceback": TRACEBACK,
    }
    fail(**about)
    fail("OSError")
    ledger.mute("shop.PaymentError", FUNCTION, "shop.pay", user=chief.pk)
    queries()  # what Django and Wagtail learn once
    few = queries()
    fail_many(30, **about)
    for number in range(20):
        fail(f"E{number}", **about)
    assert queries() == few <= 15
