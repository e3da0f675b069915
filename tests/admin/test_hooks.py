"""Tests of the page about hooks: what it says, to whom, by how many queries, and its pauses."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from wagtail import hooks as wagtail_hooks
from wagtail.models import ModelLogEntry

from tests.neighbour import caching
from wagtail_async_hooks import hooks
from wagtail_async_hooks.admin.views.hooks import duration_text
from wagtail_async_hooks.models import BackgroundTask, HookSample, Pause
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("registries")]

HERE = "tests.neighbour.caching"
HOOK = "after_publish_page"
ADDRESS = "/admin/background-tasks/hooks/"
NOW = timezone.now().replace(microsecond=0)


def someone(*permissions: str) -> Client:
    """Return the browser of somebody who may use the admin, and has these permissions."""
    user = get_user_model().objects.create_user("someone", "someone@example.com", "demo")
    for name in ("access_admin", *permissions):
        user.user_permissions.add(Permission.objects.get(codename=name))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def chief(editor: Any) -> Client:
    """The browser of somebody who may do everything."""
    client = Client()
    client.force_login(editor)
    return client


@pytest.fixture
def alone(registries: None) -> None:
    """Leave no functions at background-safe hooks but those of the test."""
    for name, found in wagtail_hooks._hooks.items():
        if name.startswith("after_"):
            found.clear()


def text_of(client: Client, **query: str) -> str:
    """Return the page, without its line breaks."""
    response = client.get(ADDRESS, query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def ended(function: str, seconds: float = 1.0, state: State = State.SUCCEEDED) -> None:
    """Record a task of a function of the neighbour's that waited half a second."""
    began = NOW + datetime.timedelta(seconds=0.5)
    BackgroundTask.objects.create(
        hook=HOOK,
        function=f"{HERE}.{function}",
        message=b"",
        state=state,
        attempt=1,
        enqueued_at=NOW,
        started_at=began,
        finished_at=began + datetime.timedelta(seconds=seconds),
    )


def sample(function: str, seconds: float, calls: int = 10) -> None:
    """Record what was measured of a function of the neighbour's."""
    HookSample.objects.create(
        hook=HOOK,
        function=f"{HERE}.{function}",
        at=NOW,
        calls=calls,
        seconds=calls * seconds,
        durations=[seconds] * calls,
    )


# What it says -------------------------------------------------------------------------------


def test_page__what_could_be_moved(chief: Client, alone: None) -> None:
    wagtail_hooks.register(HOOK, caching.ping)
    html = text_of(chief)

    assert "Could run in the background (1)" in html
    line = f"WAGTAIL_TASKS[&quot;HOOKS&quot;][&quot;{HERE}.ping&quot;] = "
    assert line + "{&quot;background&quot;: True}</textarea>" in html
    assert "have it measured:" in html


def test_page__what_should_not_be_moved(chief: Client, alone: None) -> None:
    wagtail_hooks.register(HOOK, caching.posted)
    html = text_of(chief)

    assert "It should not be moved as it is." in html
    assert "It reads request.POST, which a worker does not have." in html
    assert "&quot;background&quot;: True" not in html


def test_page__what_moving_would_save(chief: Client, alone: None, settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "MEASURE_HOOKS": True}
    for function, seconds in ((caching.ping, 0.0004), (caching.purge, 1.8), (caching.wrapped, 0.3)):
        wagtail_hooks.register(HOOK, function)
        sample(function.__name__, seconds)
    wagtail_hooks.register(HOOK, caching.sweep)
    html = text_of(chief, where="movable")

    assert "Moving it would save about 1.8 s each time that an editor waits for it." in html
    assert "Median of 10 calls." in html
    assert "It takes 0 ms: nobody would notice if it were moved." in html
    assert "have it measured:" not in html
    places = [html.index(f"{HERE}.{name}") for name in ("purge", "wrapped", "ping", "sweep")]
    assert places == sorted(places)


def test_page__what_runs_in_the_background(chief: Client, alone: None) -> None:
    hooks.register(HOOK, caching.ping, background=True, queue="slow", priority=4)
    for _ in range(3):
        ended("ping")
    ended("ping", 90.0, State.FAILED)
    html = text_of(chief)

    assert "In the background (" in html
    assert f'?hook={HOOK}&amp;function={HERE}.ping">4</a>' in html
    for told in ("slow", "Priority 4", "1 failed (25 %)", ">Waited</span> 500 ms", "up to 90 s"):
        assert told in html
    assert "newest 10,000 tasks" in html


def test_page__what_has_to_stay_is_collapsed(chief: Client) -> None:
    html, reason = text_of(chief), "It must act before the change, which it may refuse."
    assert 'class="w-panel background-hooks__group collapsed" id="bound-section"' in html
    assert f'<a href="{ADDRESS}?where=bound">Show them</a>' in html
    assert reason not in html
    html = text_of(chief, where="bound")
    assert 'class="w-panel background-hooks__group" id="bound-section"' in html
    assert reason in html


def test_page__of_nothing(chief: Client) -> None:
    assert "No function matches." in text_of(chief, q="no such function")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, {"ping", "purge", "nested"}),
        ({"q": "PING"}, {"ping"}),
        ({"q": HOOK}, {"purge", "nested"}),
        ({"where": "movable"}, {"ping"}),
        ({"where": "background"}, {"purge"}),
        ({"where": "kept", "q": "caching"}, {"nested"}),
        ({"where": "movable", "q": "purge"}, set()),
        ({"where": "no such place"}, {"ping", "purge", "nested"}),
    ],
)
def test_filter(chief: Client, alone: None, query: dict[str, str], shown: set[str]) -> None:
    wagtail_hooks.register("after_edit_page", caching.ping)
    hooks.register(HOOK, caching.purge, background=True)
    wagtail_hooks.register(HOOK, caching.nested)
    html = text_of(chief, **query)

    paths = {"ping": f"{HERE}.ping", "purge": f"{HERE}.purge", "nested": "&lt;locals&gt;.inner"}
    found = {name for name, path in paths.items() if f"{path}</code>" in html}
    assert found == shown


def test_page__escapes_what_functions_are_called(chief: Client, alone: None) -> None:
    wagtail_hooks.register(HOOK, caching.nameless)
    wagtail_hooks.register("after_<b>", caching.ping)
    html = text_of(chief, q="caching")

    assert "&lt;lambda&gt;" in html
    assert "after_<b>" not in html


def test_page__costs_as_many_queries_whatever_there_is(chief: Client, alone: None) -> None:
    hooks.register(HOOK, caching.ping, background=True)
    text_of(chief)
    with CaptureQueriesContext(connection) as few:
        text_of(chief)
    for function in (caching.purge, caching.sweep, caching.wrapped):
        hooks.register(HOOK, function, background=True)
        ended(function.__name__)
        sample(function.__name__, 1.0)
        user = get_user_model().objects.create_user(f"user-{function.__name__}")
        pausing.pause(function=f"{HERE}.{function.__name__}", user=user)
    with CaptureQueriesContext(connection) as many:
        text_of(chief)

    assert len(many) <= len(few) + 1  # who has paused
    assert len(many) <= 15


# Pauses -------------------------------------------------------------------------------------


def test_pause__a_function(chief: Client, alone: None, editor: Any) -> None:
    hooks.register(HOOK, caching.ping, background=True)
    html = text_of(chief)
    address = reverse("wagtail_async_hooks:pause")
    assert f"{address}?kind=function&amp;name={HERE}.ping&amp;next=" in html

    given = {"kind": "function", "name": f"{HERE}.ping", "reason": "It is <down>.", "next": ADDRESS}
    assert chief.post(address, given)["Location"] == ADDRESS

    [pause] = Pause.objects.all()
    assert (pause.kind, pause.name, pause.user) == ("function", f"{HERE}.ping", editor)
    html = text_of(chief)
    assert "This function, by an-editor" in html
    resume = html[html.index(f'<form action="{reverse("wagtail_async_hooks:resume")}"') :]
    assert 'name="csrfmiddlewaretoken"' in resume[: resume.index("</form>")]
    assert "It is &lt;down&gt;." in html
    assert ModelLogEntry.objects.filter(action="wagtail_async_hooks.pause").count() == 1

    chief.post(reverse("wagtail_async_hooks:resume"), {**given, "reason": ""})
    assert not Pause.objects.exists()
    assert "This function, by" not in text_of(chief)
    assert ModelLogEntry.objects.filter(action="wagtail_async_hooks.resume").count() == 1


def test_pause__its_hook_its_queue_or_everything(chief: Client, alone: None) -> None:
    hooks.register(HOOK, caching.ping, background=True, queue="slow")
    hooks.register("after_edit_page", caching.purge, background=True)
    pausing.pause(hook=HOOK)
    pausing.pause(queue="slow", reason="The night.")
    pausing.pause()
    pausing.pause(function="somebody.else")
    ping, purge = (text_of(chief, q=name) for name in (f"{HERE}.ping", f"{HERE}.purge"))

    for told in ("With its hook", "With its queue", "With all background tasks"):
        assert told in ping
    assert "The night." in ping
    assert "With all background tasks" in purge
    assert "With its" not in purge
    assert "This function" not in ping + purge


@pytest.mark.parametrize("name", ["pause", "resume"])
def test_pause__needs_the_permission_to_change(name: str) -> None:
    given = {"kind": "function", "name": f"{HERE}.ping", "reason": "No."}
    client = someone("view_backgroundtask")
    pausing.pause(hook=HOOK)

    response = client.post(reverse(f"wagtail_async_hooks:{name}"), given)
    assert response["Location"].startswith(reverse("wagtail_async_hooks:hooks")[:7])
    assert [pause.kind for pause in Pause.objects.all()] == ["hook"]


def test_pause__a_get_changes_nothing(chief: Client) -> None:
    query = {"kind": "function", "name": f"{HERE}.ping", "reason": "No."}
    assert chief.get(reverse("wagtail_async_hooks:pause"), query).status_code == 200
    assert chief.get(reverse("wagtail_async_hooks:resume"), query).status_code == 405
    assert not Pause.objects.exists()


# Permissions --------------------------------------------------------------------------------


def test_permission__nobody_else(alone: None) -> None:
    response = someone().get(ADDRESS)
    assert response.status_code == 302
    assert response["Location"] == "/admin/"


def test_permission__who_may_see_all_tasks_but_not_change_them(alone: None) -> None:
    hooks.register(HOOK, caching.ping, background=True)
    pausing.pause(function=f"{HERE}.ping")
    html = text_of(someone("view_backgroundtask"))

    assert f"{HERE}.ping" in html
    assert reverse("wagtail_async_hooks:pause") not in html
    assert reverse("wagtail_async_hooks:resume") not in html


def test_page__with_a_blank_backend(chief: Client, immediate: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert chief.get(ADDRESS).status_code == 404
    assert not [each for each in queries if "wagtail_async_hooks_" in each["sql"]]


def test_navigation__leads_to_it(chief: Client) -> None:
    assert f'href="{ADDRESS}" aria-current="page">Hooks</a>' in text_of(chief)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0 ms"),
        (0.0123, "12 ms"),
        (0.4999999, "500 ms"),
        (89.9999999, "90 s"),
        (1.84, "1.8 s"),
        (12.3, "12 s"),
        (119, "119 s"),
        (300, "5 min"),
        (9000, "2 h"),
    ],
)
def test_duration(seconds: float, told: str) -> None:
    assert duration_text(seconds) == told
