"""Tests of one object of a bulk action: what gets into its way, and what is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from wagtail.models import Page

from tests.integrations.bulk_actions.conftest import Act, make_pages
from tests.site.blog.models import HomePage
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.integrations.bulk_actions import execution, objects
from wagtail_async_hooks.integrations.bulk_actions.calls import BulkCall
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import ItemState, State

Work = Callable[[], BackgroundTask]


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Errors that come one after the other, when an object has been dealt with; then none."""
    errors: list[Any] = []
    execute = BulkCall.execute

    def troubled(self: BulkCall, key: Any) -> Any:
        found = execute(self, key)
        if errors:
            errors.pop(0)()
        return found

    monkeypatch.setattr(BulkCall, "execute", troubled)
    monkeypatch.setattr(objects, "_PAUSE", 0.001)
    yield errors
    assert errors == []


def conflict(**cause: Any) -> Callable[[], None]:
    """Return what raises an error as a driver's, through Django."""

    def fail() -> None:
        driver = type("DriversError", (Exception,), cause)("deadlock detected")
        raise OperationalError(*cause.get("args", ("deadlock detected",))) from driver

    return fail


def test_object__is_tried_again_after_a_deadlock(
    home: HomePage, act: Act, work: Work, trouble: list[Any]
) -> None:
    keys = make_pages(home, 3)
    act("wagtailcore.page.publish", keys)
    trouble += (objects.TRIES - 1) * [conflict(sqlstate="40P01")]
    task = work()

    assert task.state == State.SUCCEEDED
    assert Page.objects.filter(pk__in=keys, live=True).count() == 3
    assert Page.objects.get(pk=keys[0]).revisions.count() == 1  # the other tries were undone


def test_object__fails_after_so_many_deadlocks(
    home: HomePage, act: Act, work: Work, trouble: list[Any]
) -> None:
    keys = make_pages(home, 3)
    act("wagtailcore.page.publish", keys)
    trouble += objects.TRIES * [conflict(sqlstate="40P01")]
    task = work()

    assert [str(item) for item in ledger.items(task.pk)] == [
        "Post 0: failed",
        "Post 1: done",
        "Post 2: done",
    ]
    assert not Page.objects.get(pk=keys[0]).live


def test_object__another_error_of_the_database_is_the_objects(
    home: HomePage, act: Act, work: Work, trouble: list[Any]
) -> None:
    keys = make_pages(home, 3)
    act("wagtailcore.page.publish", keys)
    trouble.append(conflict())
    task = work()

    assert (task.state, task.error) == (State.FAILED, "1 of 3 pages failed.")


def test_object__that_a_worker_has_done_that_was_thought_dead(
    home: HomePage, act: Act, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = make_pages(home, 3)
    act("wagtailcore.page.publish", keys)
    [task] = BackgroundTask.objects.all()
    ledger.record_item(task.pk, str(keys[0]), "Post 0", ItemState.DONE, result=[1, 0])
    # It was done in the very moment before the row was locked.
    monkeypatch.setattr(ledger, "keys_done", lambda task: set())
    done = work()

    assert done.state == State.SUCCEEDED
    assert not Page.objects.get(pk=keys[0]).live
    assert Page.objects.filter(pk__in=keys[1:], live=True).count() == 2


def lose_the_connection() -> None:
    """Have the server end this thread's connection, and notice."""
    which, end = {
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%s)"),
        "mysql": ("SELECT connection_id()", "KILL %s"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(which)
        number = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute(end, number)
    other.close()
    Page.objects.exists()
    raise AssertionError("the connection is still there")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="a file does not go away")
def test_database__that_was_away_for_a_moment(
    home: HomePage, act: Act, work: Work, trouble: list[Any]
) -> None:
    keys = make_pages(home, 3)
    act("wagtailcore.page.publish", keys)

    trouble.append(lose_the_connection)

    assert work().state == State.SUCCEEDED
    assert Page.objects.filter(pk__in=keys, live=True).count() == 3


def test_database__that_is_away_lets_the_action_go_on_later(
    home: HomePage, act: Act, work: Work, trouble: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = make_pages(home, 3)
    act("wagtailcore.page.publish", keys)
    trouble.append(conflict())
    with monkeypatch.context() as patch:
        for module in (objects, execution):
            patch.setattr(module, "is_away", lambda error, aliases: True)
        task = work()
    assert (task.state, task.error) == (State.SCHEDULED, "the database was away")
    assert task.run_at is not None

    BackgroundTask.objects.update(state=State.WAITING)

    assert work().state == State.SUCCEEDED
    assert background.next() is None
    assert Page.objects.filter(pk__in=keys, live=True).count() == 3
