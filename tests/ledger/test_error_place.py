"""Tests of where a row says that its error was raised, within transactions and outside of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from huey.exceptions import CancelExecution

from tests.draining import run_all
from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.ledger import postgresql
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import Claim, Outcome, State

WORK = "tests.work.tasks"


@pytest.fixture(params=["db", "committed_db"], autouse=True)
def ledger_db(request: pytest.FixtureRequest) -> None:
    """A database; PostgreSQL's function records what ends outside of a transaction alone."""
    request.getfixturevalue(request.param)


def newest() -> BackgroundTask:
    """Return the task that was enqueued last."""
    return BackgroundTask.objects.latest("pk")


def test_error_place__of_what_failed(task_of: Callable[..., Any]) -> None:
    tasks.fail()
    tasks.leave()
    tasks.add(1, 2)
    run_all()
    places = BackgroundTask.objects.order_by("pk").values_list("state", "error_place")
    assert list(places) == [
        (State.FAILED, f"{WORK}.fail"),
        (State.FAILED, f"{WORK}.leave"),
        (State.SUCCEEDED, ""),
    ]


def test_error_place__is_gone_after_a_retry_that_succeeds(
    trace_file: Any, retried_at_once: None
) -> None:
    tasks.fail_twice(str(trace_file))
    background.execute(background.next())
    background.settle()
    assert newest().error_place == f"{WORK}.fail_twice"
    run_all()
    row = newest()
    assert (row.state, row.attempt, row.error_place, row.error_type) == ("succeeded", 3, "", "")


def test_error_place__is_gone_after_people_have_run_it_again(task_of: Callable[..., Any]) -> None:
    fails = [True]

    def fail_once() -> None:
        if fails.pop():
            raise ValueError("no luck")

    task_of(fail_once)()
    run_all()
    assert newest().error_place.endswith("fail_once")
    fails.append(False)
    control.retry(BackgroundTask.objects.all())
    run_all()
    row = newest()
    assert (row.state, row.error_place) == ("succeeded", "")


def test_error_place__of_nothing_that_went_wrong(task_of: Callable[..., Any]) -> None:
    def give_up() -> None:
        raise CancelExecution

    task_of(give_up)()
    tasks.put_off(60)
    tasks.add(1, 2)
    control.cancel([newest().pk])
    run_all()
    places = BackgroundTask.objects.order_by("pk").values_list("state", "error_place")
    assert list(places) == [("cancelled", ""), ("scheduled", ""), ("cancelled", "")]


def test_error_place__what_postgresqls_function_records() -> None:
    def outcome(attempt: int = 1, **columns: Any) -> Outcome:
        claim = Claim(1, "id", "name", "", "", "default", 0, attempt, 0, b"")
        return Outcome(claim, **{"state": State.SUCCEEDED, **columns})

    assert postgresql.takes(outcome())
    assert postgresql.takes(outcome(state=State.CANCELLED, error="it was revoked"))
    # It does not know the column, so it neither sets it nor clears it.
    assert not postgresql.takes(outcome(state=State.FAILED, error_place="shop.pay"))
    assert not postgresql.takes(outcome(attempt=2))
