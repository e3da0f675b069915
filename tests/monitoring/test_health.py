"""The view for load balancers: thresholds, who is told what, and what it costs."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.work import tasks
from wagtail_async_hooks import pausing
from wagtail_async_hooks.health import background_health
from wagtail_async_hooks.models import BackgroundTask, QueueSample, Worker
from wagtail_async_hooks.monitoring import moment
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database.instants import FromNow

pytestmark = pytest.mark.django_db


def ask(user: Any = None, **arguments: Any) -> tuple[int, dict[str, Any]]:
    """Return the status and the document of the answer."""
    request = RequestFactory().get("/health/")
    request.user = user or AnonymousUser()
    return _read(background_health(request, **arguments))


def _read(response: HttpResponse) -> tuple[int, dict[str, Any]]:
    import json

    return response.status_code, json.loads(response.content)


def add_worker(**values: Any) -> Worker:
    """Record a worker that is alive."""
    now = timezone.now()
    given = {"host": "web-1", "pid": 7, "threads": 4, "started_at": now, "heartbeat_at": now}
    return Worker.objects.create(**{**given, **values})


def add_waiting(seconds: float, **values: Any) -> BackgroundTask:
    """Record a task that waits for so long."""
    tasks.add(1, 2)
    row = BackgroundTask.objects.latest("pk")
    then = timezone.now() - datetime.timedelta(seconds=seconds)
    BackgroundTask.objects.filter(pk=row.pk).update(**{"enqueued_at": then, **values})
    return row


@pytest.fixture
def viewer() -> User:
    """Somebody who may see background tasks."""
    user = User.objects.create_user("a-viewer")
    user.user_permissions.add(Permission.objects.get(codename="view_backgroundtask"))
    return user


def test_all_is_well() -> None:
    add_worker()
    add_waiting(10)
    assert ask() == (200, {"status": "ok"})


def test_no_worker(viewer: User) -> None:
    assert ask() == (503, {"status": "failing"})
    add_worker(heartbeat_at=timezone.now() - datetime.timedelta(seconds=60))
    add_worker(stopped_at=timezone.now())
    status, said = ask(viewer)
    assert (status, said["workers"]) == (503, 0)
    assert said["problems"] == ["0 of at least 1 workers are alive."]
    assert ask(min_workers=0)[0] == 200


def test_a_task_that_waits_too_long(viewer: User) -> None:
    add_worker()
    add_waiting(400)
    add_waiting(10)
    status, said = ask(viewer)
    assert status == 503
    assert said["status"] == "failing"
    assert 400 <= said["oldest_waiting_seconds"] < 460
    [problem] = said["problems"]
    assert problem.startswith("A task waits for 4")
    assert problem.endswith("s, which is more than 300 s.")
    assert ask(max_wait=1000)[0] == ask(max_wait=None)[0] == 200


def test_a_scheduled_task__counts_from_its_time() -> None:
    add_worker()
    later, before = (timezone.now() + datetime.timedelta(seconds=s) for s in (100, -400))
    row = add_waiting(1000, state=State.SCHEDULED, run_at=later)
    assert ask()[0] == 200
    BackgroundTask.objects.filter(pk=row.pk).update(run_at=before)
    assert ask()[0] == 503


def test_a_paused_task__does_not_count() -> None:
    add_worker()
    add_waiting(400)
    pausing.pause(queue="default")
    assert ask()[0] == 200


def test_settings__have_the_thresholds(settings: Any) -> None:
    add_worker()
    add_waiting(10)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HEALTH": {"max_wait": 5}}
    assert ask()[0] == 503
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HEALTH": {"max_wait": None}}
    assert ask()[0] == 200
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HEALTH": {"min_workers": 2}}
    assert ask()[0] == 503


def test_immediate_mode__needs_no_worker(immediate: None) -> None:
    assert ask() == (200, {"status": "ok"})


def test_very_many__are_not_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moment, "TASKS", 2)
    monkeypatch.setattr("wagtail_async_hooks.monitoring.health.TASKS", 2)
    add_worker()
    for _ in range(3):
        add_waiting(10, priority=5)
    add_waiting(1000, priority=-5)
    assert ask()[0] == 200
    QueueSample.objects.create(start=FromNow(), waiting=4, oldest=1000)
    assert ask()[0] == 503


def test_cost__is_one_query() -> None:
    add_worker()
    for _ in range(20):
        add_waiting(10)
    ask()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        ask()
    assert len(queries) == 1


def test_details__are_not_for_everybody(viewer: User, editor: User) -> None:
    add_worker()
    somebody = User.objects.create_user("somebody", is_staff=True)
    assert ask(somebody) == (200, {"status": "ok"})
    assert ask(viewer)[1].keys() == ask(editor)[1].keys()
    assert ask(viewer)[1]["workers"] == 1


def test_database__that_does_not_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: Any) -> None:
        raise DatabaseError("no such table at db.internal")

    monkeypatch.setattr("wagtail_async_hooks.monitoring.health.health", fail)
    assert ask() == (503, {"status": "failing"})
    assert "cannot be told: no such table at db.internal" in caplog.text


def test_request__without_users_and_by_other_methods() -> None:
    add_worker()
    request: HttpRequest = RequestFactory().head("/health/")
    response = background_health(request)
    assert response.status_code == 200
    assert "no-cache" in response["Cache-Control"]
    assert background_health(RequestFactory().post("/health/")).status_code == 405


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_wait": "5"}, "max_wait=…) should be a number of seconds of at least 0, but is '5'."),
        ({"max_wait": -1}, "max_wait=…) should be a number of seconds of at least 0, but is -1."),
        ({"min_workers": None}, "min_workers=…) should be a whole number of at least 0, but is"),
    ],
)
def test_arguments__of_no_use(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError) as refused:
        ask(**arguments)
    assert said in str(refused.value)
