"""Tests of the groups of errors: what is in them, since when, and in which release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from wagtail.models import Page

from tests.failed import FUNCTION, HOUR, fail
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.monitoring import errors, overview
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db


def work_in(release: str) -> Worker:
    """Record a worker of a release."""
    now = timezone.now()
    return Worker.objects.create(
        host="a", pid=1, threads=1, release=release, started_at=now, heartbeat_at=now
    )


def only() -> errors.Group:
    """Return the one group there is."""
    [group] = errors.errors().groups
    return group


def test_groups__by_class_function_and_place() -> None:
    keys = [fail(), fail(), fail(place="shop.pay_later"), fail("OSError")]
    fail(function="shop.other")
    fail(state=State.SUCCEEDED)
    fail(state=State.WAITING, finished_at=None)
    found = errors.errors()
    named = [(g.name, g.function.rpartition(".")[2], g.error_place, g.number) for g in found.groups]
    assert named == [
        ("PaymentError", "other", "shop.pay", 1),
        ("OSError", "add", "shop.pay", 1),
        ("PaymentError", "add", "shop.pay_later", 1),
        ("PaymentError", "add", "shop.pay", 2),
    ]
    assert (found.looked_at, found.is_all) == (5, True)
    assert len({group.key for group in found.groups}) == 4
    assert found.groups[-1].newest == keys[1]
    assert found.find(found.groups[1].key) is found.groups[1]
    assert found.find("nonsense") is None
    assert found.groups[0].title == "PaymentError in Other"


def test_groups__when() -> None:
    for hours in (0.5, 0.7, 1.5, 23.5, 24.5, 167, 169):
        fail(ago=hours)
    group = only()
    assert (group.last_hour, group.last_day, group.last_week, group.number) == (2, 4, 6, 7)
    assert group.hourly == [1, *[0] * 21, 1, 2]
    now = timezone.now()
    assert (now - group.first_seen) // HOUR == 169
    assert (now - group.last_seen) // HOUR == 0


def test_groups__objects() -> None:
    kind = ContentType.objects.get_for_model(Page)
    for key in ("1", "2", "2"):
        fail(subject_type=kind, subject_id=key)
    fail()
    assert only().objects == 2


def test_groups__of_the_newest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    fail("Old")
    keys = [fail(), fail()]
    monkeypatch.setattr(overview, "RECENT", 2)
    found = errors.errors()
    assert [group.number for group in found.groups] == [2]
    assert (found.looked_at, found.is_all) == (2, False)
    assert [task.pk for task in found.groups[0].tasks] == keys[::-1]


def test_groups__without_an_exception() -> None:
    fail("", "", function="")
    assert (only().name, only().title) == ("No exception", "No exception")


def test_groups__of_what_is_run_again_no_longer() -> None:
    control.retry([fail()])
    assert errors.errors() == ([], 0, True)


def test_groups__examples_and_tasks() -> None:
    keys = [fail(side_effect="email"), fail()]
    group = only()
    [example] = errors.examples([group]).values()
    assert (example.pk, example.error) == (keys[1], "no money")
    assert group.tasks == [(keys[1], "", 1, "failed"), (keys[0], "email", 1, "failed")]


def test_groups__muted() -> None:
    fail()
    fail("OSError")
    muted, is_new = ledger.mute("OSError", FUNCTION, "shop.pay")
    assert is_new
    found = errors.errors()
    assert [group.name for group in found.open] == ["PaymentError"]
    assert [(group.name, group.muted) for group in found.muted] == [("OSError", muted)]
    assert set(ledger.muted_errors()) == {found.muted[0].key}


# Releases -----------------------------------------------------------------------------------


@pytest.fixture
def releases() -> Callable[[str], Worker]:
    """Workers of three releases, the oldest first."""
    found = {name: work_in(name) for name in ("1.9", "1.10", "2.0")}
    return found.__getitem__


def ran(worker: Worker) -> None:
    """Record a task that a worker ran without an error."""
    fail(state=State.SUCCEEDED, error_type="", error_place="", worker=worker)


def test_release__new_since(releases: Callable[[str], Worker]) -> None:
    ran(releases("1.9"))
    fail(worker=releases("2.0"))
    fail(worker=releases("1.10"))
    assert (only().first_release, only().is_new) == ("1.10", True)


def test_release__no_news_if_an_earlier_one_has_it(releases: Callable[[str], Worker]) -> None:
    ran(releases("1.9"))
    fail(worker=releases("2.0"))
    fail(worker=releases("1.9"), ago=1)
    assert (only().first_release, only().is_new) == ("1.9", False)


def test_release__no_news_if_no_task_of_an_earlier_one_is_left(
    releases: Callable[[str], Worker],
) -> None:
    fail(worker=releases("2.0"))
    ran(releases("2.0"))
    assert (only().first_release, only().is_new) == ("2.0", False)


def test_release__unknown(releases: Callable[[str], Worker]) -> None:
    ran(releases("1.9"))
    fail()  # which no worker ran
    assert (only().first_release, only().is_new) == ("", False)
    fail(worker=releases("1.10"))
    assert (only().first_release, only().is_new) == ("1.10", True)
    fail(worker_id=releases("2.0").pk + 1)  # which is deleted
    assert (only().first_release, only().is_new) == ("", False)


# Cost ---------------------------------------------------------------------------------------


def test_cost__the_same_number_of_queries_however_many(
    django_assert_num_queries: Any, releases: Callable[[str], Worker]
) -> None:
    for number in (1, 5):
        for n in range(number):
            fail(f"E{n}", worker=releases("2.0"))
        with django_assert_num_queries(3):
            errors.errors()
