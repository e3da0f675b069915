"""Tests of what an overview shows: the newest tasks, and how many by state, object, user, error."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from wagtail.models import Page

from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import overview
from wagtail_async_hooks.monitoring.overview import BoundedCount, OfError, OfSubject, OfUser
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db


def make(state: State = State.WAITING, **columns: Any) -> int:
    """Record a task; return its number."""
    tasks.add(1, 2)
    row = BackgroundTask.objects.latest("pk")
    if state.is_final:
        columns.setdefault("finished_at", timezone.now())
    BackgroundTask.objects.filter(pk=row.pk).update(state=state, **columns)
    return row.pk


def keys(rows: list[BackgroundTask]) -> list[int]:
    """Return the numbers of some rows."""
    return [row.pk for row in rows]


def test_newest__of_some_tasks() -> None:
    one, two, three = make(State.FAILED), make(), make(State.FAILED)
    assert keys(overview.newest(control.select())) == [three, two, one]
    assert keys(overview.newest(control.select(), 2)) == [three, two]
    assert keys(overview.newest(control.select(state="failed"))) == [three, one]


def test_newest__of_an_object_and_of_a_user(editor: Any) -> None:
    page = Page.get_first_root_node()
    page_type = ContentType.objects.get_for_model(page.specific_class)
    of_page = make(subject_type=page_type, subject_id=str(page.pk))
    make(subject_type=page_type, subject_id="0")
    of_editor = make(user=editor)
    assert keys(overview.newest(control.select(subject=page))) == [of_page]
    assert keys(overview.newest(control.select(user=editor))) == [of_editor]
    assert keys(overview.newest(control.select(user=editor.pk))) == [of_editor]


def test_first__in_the_order_that_tells_most() -> None:
    now, minute = timezone.now(), datetime.timedelta(minutes=1)
    later, sooner = (make(State.SCHEDULED, run_at=now + n * minute) for n in (2, 1))
    plain, urgent, second = make(), make(priority=5), make()
    young, old = (make(State.RUNNING, started_at=now - n * minute) for n in (1, 2))
    failed = [make(State.FAILED) for _ in range(3)]
    assert keys(overview.first(State.SCHEDULED)) == [sooner, later]
    assert keys(overview.first(State.WAITING)) == [urgent, plain, second]
    assert keys(overview.first(State.RUNNING)) == [old, young]
    assert keys(overview.first(State.FAILED, 2)) == failed[:0:-1]


def test_counts__up_to_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MANY", 2)
    for state, number in ((State.FAILED, 3), (State.WAITING, 2), (State.MERGED, 1)):
        for _ in range(number):
            make(state)
    found = overview.bounded_counts()
    assert list(found) == list(State)
    assert found[State.FAILED] == BoundedCount(2, is_all=False)
    assert found[State.WAITING] == BoundedCount(2, is_all=True)
    assert found[State.MERGED] == BoundedCount(1, is_all=True)
    assert found[State.EXPIRED] == BoundedCount(0, is_all=True)


def test_counts_by_queue__up_to_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MANY", 3)
    for state, queue in (
        *[(State.FAILED, "a"), (State.FAILED, "b"), (State.SCHEDULED, "b")],
        *[(State.WAITING, queue) for queue in "aaab"],
    ):
        make(state, queue=queue)

    found = overview.counts_by_queue()

    assert found.numbers == {
        "a": {State.FAILED: 1, State.WAITING: 3},
        "b": {State.FAILED: 1, State.WAITING: 1, State.SCHEDULED: 1},
    }
    assert found.at_least == {State.WAITING}
    numbers = overview.exact_counts()
    assert found.numbers == numbers
    make(State.FAILED, queue="c")
    make(State.FAILED, queue="c")
    few = overview.counts_by_queue((State.FAILED,))
    assert (overview.total(few.numbers, state=State.FAILED), few.at_least) == (3, {State.FAILED})


def test_oldest_waiting__by_when_it_could_have_run() -> None:
    now, minute = timezone.now(), datetime.timedelta(minutes=1)
    make(State.SCHEDULED, enqueued_at=now - 9 * minute)
    make(enqueued_at=now - 8 * minute, run_at=now)  # put off
    make(enqueued_at=now - 5 * minute, priority=7)
    oldest = make(enqueued_at=now - 7 * minute, queue="mail", priority=-3)
    make(enqueued_at=now - 6 * minute, queue="mail")

    found = overview.oldest_waiting()

    assert found is not None
    assert found.pk == oldest


def test_by_subject__those_with_most_first() -> None:
    page_type = ContentType.objects.get_for_model(Page)
    make()
    about = [make(subject_type=page_type, subject_id=key) for key in ("7", "8", "7", "9")]
    assert overview.by_subject() == [
        OfSubject(page_type.pk, "7", 2, about[2]),
        OfSubject(page_type.pk, "9", 1, about[3]),
        OfSubject(page_type.pk, "8", 1, about[1]),
    ]
    assert len(overview.by_subject(1)) == 1


def test_by_user__of_the_newest_tasks(
    editor: Any, admin_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "RECENT", 4)
    make(user=editor)
    make()
    first, _, last = make(user=editor), make(user=admin_user), make(user=admin_user)
    assert overview.by_user() == [OfUser(admin_user.pk, 2, last), OfUser(editor.pk, 1, first)]


def test_by_error__of_what_failed() -> None:
    keys = [make(State.FAILED, error_type=name) for name in ("A", "B", "B")]
    make(State.CANCELLED, error_type="C")
    make(error_type="C")  # which will be tried again
    path = "tests.work.tasks.add"
    assert overview.by_error() == [OfError("B", path, 2, keys[2]), OfError("A", path, 1, keys[0])]
