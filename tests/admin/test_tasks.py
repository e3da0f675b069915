"""Tests of the report of all background tasks: what it finds, counts, exports, and for whom."""

from __future__ import annotations

import csv
import datetime
import io
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.admin.making import log_in, make_section, make_task, make_user, message_of
from wagtail_async_hooks.admin.views import tasks as view
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.monitoring import finding
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db

REPORT = "/admin/background-tasks/"


def titles(response: Any) -> list[str]:
    """Return what the report lists."""
    assert response.status_code == 200
    return [view.description.title_of(row) for row in response.context["object_list"]]


def found(client: Client, **parameters: Any) -> list[str]:
    """Return what the report lists for some filters."""
    return titles(client.get(f"{REPORT}?{urlencode(parameters)}"))


def test_report__of_nothing(operator: Client) -> None:
    assert "There are no background tasks." in operator.get(REPORT).content.decode()


def test_report__says_what_about_what_and_who(operator: Client) -> None:
    _, page = make_section("Tides <b>")
    user = get_user_model().objects.get(username="operator")
    make_task(page, function="shop.cdn.purge_cache", hook="after_publish_page", user=user)

    html = operator.get(REPORT).content.decode()

    assert "Purge cache for “Tides &lt;b&gt;”" in html
    assert "after_publish_page · shop.cdn.purge_cache" in html
    assert ">operator<" in html


def test_report__names_the_objects_of_wagtails_own_tasks(operator: Client) -> None:
    _, page = make_section("Tides")
    path = "modelsearch.tasks.insert_or_update_object_task"
    make_task(page, subject_title="", function=path, name=path)

    assert found(operator) == ["Update the search index for “Tides”"]


def test_report__states_are_filters_with_counts(operator: Client) -> None:
    make_task(state=State.FAILED, title="Bad", error="no luck")
    make_task(state=State.SUCCEEDED, title="Good")
    make_task(state=State.SUCCEEDED, title="Fine")

    response = operator.get(REPORT)

    states = [(link["label"], link.get("number")) for link in response.context["states"]]
    assert states == [("All", None), ("Failed", 1), ("Succeeded", 2)]
    assert found(operator, state="failed") == ["Bad"]
    assert "no luck" in operator.get(f"{REPORT}?state=failed").content.decode()


@pytest.mark.parametrize(
    ("columns", "parameters"),
    [
        ({"hook": "after_publish_page"}, {"hook": "after_publish_page"}),
        ({"function": "shop.sell"}, {"function": "shop.sell"}),
        ({"queue": "slow"}, {"queue": "slow"}),
        ({"error_type": "shop.SoldOut", "state": State.FAILED}, {"error": "soldout"}),
        ({"error_place": "shop.tea.brew", "state": State.FAILED}, {"error": "tea.brew"}),
        ({"error": "no Luck", "state": State.FAILED}, {"q": "NO LUCK"}),
        ({"subject_title": "Frühlingskarte"}, {"object": "frühling"}),
        ({"subject_title": "Frühlingskarte"}, {"q": "FRÜHLING"}),
        ({"title": "Brew a pot of tea"}, {"q": "pot of"}),
        ({"function": "shop.sell_tea"}, {"q": "sell tea"}),
        ({"task_id": "0f3c"}, {"q": "0f3c"}),
        ({"state": State.EXPIRED}, {"state": "expired"}),
    ],
)
def test_report__filters(
    operator: Client, columns: dict[str, Any], parameters: dict[str, str]
) -> None:
    make_task(title="Another")
    wanted = make_task(**columns)

    response = operator.get(f"{REPORT}?{urlencode(parameters)}")

    assert [row.pk for row in response.context["object_list"]] == [wanted.pk]


def test_report__finds_by_number(operator: Client) -> None:
    make_task(title="Another")
    wanted = make_task(title="Wanted", task_id="an-id")
    assert "Wanted" in found(operator, q=wanted.pk)
    assert found(operator, q="an-id") == ["Wanted"]


def test_report__filters_by_user_and_state(operator: Client) -> None:
    users = [make_user(name) for name in ("ada", "grace")]
    for user in users:
        make_task(user=user, title=f"Of {user}")
        make_task(user=user, title=f"Failed of {user}", state=State.FAILED)

    assert found(operator, user=users[0].pk) == ["Failed of ada", "Of ada"]
    assert found(operator, user=users[0].pk, state="failed") == ["Failed of ada"]


def test_report__filters_by_object_release_and_date(operator: Client) -> None:
    _, page = make_section("Tides")
    now = timezone.now()
    worker = Worker.objects.create(
        host="a", pid=1, threads=1, release="7.1", started_at=now, heartbeat_at=now
    )
    make_task(page, title="About it", worker=worker)
    make_task(title="Old", enqueued_at=now - datetime.timedelta(days=3))

    assert found(operator, object=f"blog.blogpage {page.pk}") == ["About it"]
    assert found(operator, release="7.1") == ["About it"]
    yesterday = (now - datetime.timedelta(days=1)).date()
    assert found(operator, enqueued_to=yesterday) == ["Old"]
    assert found(operator, enqueued_from=yesterday) == ["About it"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"state": "nonsense"},
        {"enqueued_from": "nonsense"},
        {"before": "x" * 30},
        {"before": "9" * 30},
        {"p": "x"},
        {"user": "nobody"},
        {"object": "blog.blogpage not-a-number"},
        {"q": "\x00"},
        {"q": "'\"\\%_"},
    ],
)
def test_report__of_nonsense_is_no_error(operator: Client, parameters: dict[str, str]) -> None:
    make_task(title="Task")
    assert operator.get(f"{REPORT}?{urlencode(parameters)}").status_code == 200


def test_search__finds_arguments_but_no_secrets(operator: Client) -> None:
    from tests.work import tasks
    from wagtail_async_hooks import background

    task = tasks.show_all.s(name="Earl Grey ☕", password="oolong", auth_token="darjeeling")
    wanted = make_task(
        message=background.messages.pack(task), name=background._registry.task_to_string(type(task))
    )
    make_task(message=message_of("chamomile", "b"), title="Another")

    assert found(operator, q="earl grey ☕") == [view.description.title_of(wanted)]
    assert found(operator, q="oolong") == []
    assert found(operator, q="darjeeling") == []
    assert found(operator, q="oo") == []


def test_search__arguments_are_for_those_who_may_change_tasks() -> None:
    make_task(message=message_of("chamomile", "b"))

    assert found(log_in(make_user("reader", "view")), q="chamomile") == []
    assert len(found(log_in(make_user("changer", "change")), q="chamomile")) == 1


def test_report__goes_on_behind_the_window(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding.Criteria, "__init__", _with_limit(3))
    for number in range(5):
        make_task(title=f"Task {number}")

    response = operator.get(f"{REPORT}?q=task")

    assert titles(response) == ["Task 4", "Task 3", "Task 2"]
    assert "of the newest 3" in response.content.decode()
    assert titles(operator.get(response.context["older_url"])) == ["Task 1", "Task 0"]


def _with_limit(limit: int) -> Any:
    before = finding.Criteria.__init__

    def init(self: Any, **given: Any) -> None:
        before(self, **{**given, "limit": limit})

    return init


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_report__is_exported(operator: Client, kind: str) -> None:
    make_task(title="=HYPERLINK(1)", state=State.FAILED, error="@no")
    make_task(title="Plain")

    response = operator.get(f"{REPORT}?export={kind}&state=failed")

    body = b"".join(response.streaming_content)
    assert f"background-tasks.{kind}" in response["Content-Disposition"]
    if kind == "csv":
        [row] = csv.DictReader(io.StringIO(body.decode()))
        assert (row["Task"], row["Error"], row["State"]) == ("'=HYPERLINK(1)", "'@no", "failed")
    else:
        assert body.startswith(b"PK")


@pytest.mark.parametrize("number", [1, 60])
def test_report__costs_the_same_however_many(operator: Client, number: int) -> None:
    _, page = make_section("Tides")
    user = make_user("ada")
    operator.get(REPORT)
    for _ in range(number):
        make_task(page, user=user, subject_title="", state=State.SUCCEEDED)
    ContentType.objects.clear_cache()

    with CaptureQueriesContext(connection) as queries:
        operator.get(REPORT)

    assert len(queries) <= 15
    told = [query["sql"] for query in queries if '"traceback"' in query["sql"]]
    assert told == []


# Who sees what ------------------------------------------------------------------------------


def test_editor__sees_the_tasks_of_pages_that_she_may_edit() -> None:
    mine, page = make_section("Mine")
    _, private = make_section("Private")
    editor = make_user("ada", section=mine)
    make_task(page)
    make_task(private)
    make_task(user=editor, title="Hers, about nothing")
    make_task(private, user=editor, title="Hers once")
    make_task(title="Nobody's")

    client = log_in(editor)

    assert found(client) == ["Hers, about nothing", "Add for “Mine”"]
    assert found(client, q="private") == []
    assert found(client, object=f"blog.blogpage {private.pk}") == []
    assert "Private" not in client.get(REPORT).content.decode()


def test_editor__sees_what_became_of_a_page_that_she_has_deleted() -> None:
    mine, page = make_section("Mine")
    editor = make_user("ada", section=mine)
    make_task(page, user=editor)
    make_task(page, title="Of another one")
    page.delete()

    assert found(log_in(editor)) == ["Add for “Mine”"]


def test_editor__is_not_told_who_else_there_is() -> None:
    mine, _ = make_section("Mine")
    client = log_in(make_user("ada", section=mine))
    make_task(user=make_user("somebody-else"), title="Another")

    html = client.get(REPORT).content.decode()

    assert "somebody-else" not in html
    assert [link.get("number") for link in client.get(REPORT).context["states"]] == [None] * 9


def test_report__is_not_there_without_a_backend(operator: Client, settings: Any) -> None:
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "BACKEND": "", "SCHEDULE": {}}
    assert operator.get(REPORT).status_code == 404
    assert "Background tasks" not in operator.get("/admin/").content.decode()


def test_menu__leads_to_the_report(operator: Client) -> None:
    assert REPORT in operator.get("/admin/").content.decode()


def test_group_editor__offers_to_view_and_to_change(operator: Client) -> None:
    html = operator.get("/admin/groups/new/").content.decode()
    assert html.count("background task") >= 1
    for codename in ("view_backgroundtask", "change_backgroundtask"):
        from django.contrib.auth.models import Permission

        key = Permission.objects.get(codename=codename).pk
        assert f'value="{key}"' in html


# Whatever is asked for ----------------------------------------------------------------------

HOSTILE = ("", "abc", "-1", "9" * 30, "\x00", "a\x00b", "'%_\\", "٣", "²", "2020-13-45")


@pytest.mark.parametrize(
    "name",
    [
        *("p", "q", "state", "hook", "function", "queue", "user", "object", "error", "release"),
        *("before", "enqueued_from", "enqueued_to", "id", "all", "last"),
    ],
)
def test_pages__answer_whatever_is_asked_for(operator: Client, name: str) -> None:
    make_task()
    for address in (REPORT, f"{REPORT}results/", f"{REPORT}selected/"):
        for value in HOSTILE:
            assert operator.get(address, {name: value}).status_code in (200, 302, 404)
