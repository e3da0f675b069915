"""Identifiers ascend, so that those of one time lie beside each other in an index."""

from __future__ import annotations

import time
import uuid

import pytest

from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.utils import uuid7


def test_new__is_a_uuid_of_version_7() -> None:
    made = uuid.UUID(uuid7.new())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_new__begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(uuid7.new()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_new__ascends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(1, 10**10, 10**7))  # every tenth of a second, for a hundred times
    monkeypatch.setattr(uuid7.time, "time_ns", lambda: next(moments))
    made = [uuid7.new() for _ in range(100)]
    assert made == sorted(made)


def test_new__differs_within_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid7.time, "time_ns", lambda: 1)
    made = {uuid7.new() for _ in range(10_000)}
    assert len(made) == 10_000
    assert {uuid.UUID(each).version for each in made} == {7}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "enqueue",
    [
        lambda: tasks.add(1, 2),
        lambda: tasks.add.schedule((1, 2), delay=60),
        lambda: background.enqueue(tasks.add.s(1, 2)),
        lambda: background.enqueue_many([tasks.add.s(1, 2)]),
        lambda: tasks.add.map([(1, 2)]),
    ],
    ids=["call", "schedule", "enqueue", "enqueue_many", "map"],
)
def test_each_task_has_one(enqueue: object) -> None:
    enqueue()  # type: ignore[operator]
    assert uuid.UUID(BackgroundTask.objects.get().task_id).version == 7
