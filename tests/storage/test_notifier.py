"""A storage beside the ledger: what it carries, and what happens without it."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from huey.storage import MemoryStorage

from tests.limits import PATIENCE
from tests.processes import wait_until
from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.storage import notifier
from wagtail_async_hooks.storage.notifier import NotifierStorage
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker import bounds

pytestmark = pytest.mark.usefixtures("committed_db")


class Fragile(MemoryStorage):  # type: ignore[misc]  # Huey has no types
    """A storage of Huey's that can be made to fail, and counts how often it was asked."""

    def __init__(self, name: str = "fragile") -> None:
        super().__init__(name)
        self.broken = False
        self.asked = 0
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def _ask(self) -> None:
        self.asked += 1
        if self.broken:
            raise ConnectionError("the wire is cut")

    def enqueue(self, data: bytes, priority: int | None = None) -> None:
        self._ask()
        super().enqueue(data, priority)

    def dequeue(self) -> Any:
        self._ask()
        return super().dequeue()


LONG = 30.0
"""Seconds that no wait in these tests should last."""


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> Fragile:
    """The storage that notifies the task queue."""
    fragile = Fragile()
    storage = NotifierStorage("tests", lambda: fragile, lambda: fragile)
    monkeypatch.setattr(background, "storage", storage)
    return fragile


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a storage again at once after it did not answer."""
    monkeypatch.setattr(notifier, "OUTAGE_INTERVAL", 0)


def run_all() -> int:
    """Run what waits; return how many."""
    number = 0
    while (task := background.dequeue()) is not None:
        background.execute(task)
        number += 1
    return number


def test_close__only_what_was_made(fragile: Fragile) -> None:
    background.storage.close()
    assert fragile.closed == 0
    background.storage.notify(7, 0)
    background.storage.close()
    assert fragile.closed == 1
    background.storage.notify(7, 0)
    background.storage.listen(0, threading.Event())
    assert background.storage.listener is background.storage.notifier
    background.storage.close()
    assert fragile.closed == 3


def test_close__when_the_settings_change(fragile: Fragile, settings: Any) -> None:
    tasks.add(1, 2)
    settings.WAGTAIL_TASKS = {"BACKEND": ""}
    assert fragile.closed == 1


def test_notify__carries_the_key_and_nothing_else(fragile: Fragile) -> None:
    tasks.add(1, 2)
    assert fragile.enqueued_items() == [b"%d" % BackgroundTask.objects.get().pk]


def test_notify__of_many_tasks_comes_with_the_commit_for_the_first_of_them(
    fragile: Fragile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "MAX_NOTIFICATIONS", 2)
    calls = [tasks.add.s(1, 2), tasks.add.s(3, 4, priority=5), tasks.add.s(5, 6), tasks.add.s(7, 8)]
    with transaction.atomic():
        background.enqueue_many([*calls, tasks.add.s(1, 1, delay=60)])
        assert fragile.enqueued_items() == []
        assert len(connection.run_on_commit) == 1
    first, second, *_ = BackgroundTask.objects.order_by("pk").values_list("pk", flat=True)
    assert fragile.enqueued_items() == [b"%d" % second, b"%d" % first]
    assert run_all() == 4


def test_notify__comes_with_the_commit(fragile: Fragile) -> None:
    with transaction.atomic():
        tasks.add(1, 2)
        assert fragile.enqueued_items() == []
    assert len(fragile.enqueued_items()) == 1


def test_notify__not_for_a_task_that_was_rolled_back(fragile: Fragile) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012  # both are the point
        tasks.add(1, 2)
        raise RuntimeError
    assert fragile.enqueued_items() == []


def test_notify__for_a_scheduled_task_when_it_is_due(fragile: Fragile) -> None:
    tasks.add.schedule((1, 2), delay=3600)
    assert fragile.enqueued_items() == []
    earlier = timezone.now() - timedelta(minutes=1)
    assert BackgroundTask.objects.filter(state=State.SCHEDULED).update(run_at=earlier) == 1
    background.read_schedule()
    assert len(fragile.enqueued_items()) == 1


def test_lost_rings__are_made_up_for_from_the_ledger(fragile: Fragile) -> None:
    for _ in range(3):
        tasks.add(1, 2)
    fragile.flush_all()
    assert run_all() == 3


def test_false_rings__are_dropped(fragile: Fragile, caplog: Any) -> None:
    waiter = background.storage.waiter()
    thread = threading.Thread(target=waiter.wait, args=(0, LONG))
    thread.start()
    for false in (b"not a number", b"\xff", b"-1", b"9" * 5000, "½", object()):
        caplog.clear()
        fragile.enqueue(false)  # type: ignore[arg-type]  # of somebody else's making
        wait_until(lambda: "A message that is not ours was dropped" in caplog.text, "it is told")
    assert thread.is_alive()
    fragile.enqueue(b"999999")  # of a task that is done, perhaps
    thread.join(LONG)
    assert not thread.is_alive()
    assert run_all() == 0


def test_outage__tasks_are_recorded_and_found(fragile: Fragile, caplog: Any) -> None:
    fragile.broken = True
    for _ in range(3):
        tasks.add(1, 2)
    assert run_all() == 3
    assert caplog.text.count("cannot be reached") == 1
    assert caplog.text.count("the wire is cut") == 1


def test_outage__is_waited_for_once(fragile: Fragile) -> None:
    fragile.broken = True
    for _ in range(5):
        tasks.add(1, 2)
    assert fragile.asked == 1


def test_outage__the_end_is_told(fragile: Fragile, no_pause: None, caplog: Any) -> None:
    caplog.set_level("INFO")
    fragile.broken = True
    tasks.add(1, 2)
    fragile.broken = False
    tasks.add(3, 4)
    assert caplog.text.count("answers again") == 1
    assert run_all() == 2


def test_wait__ends_when_it_is_notified(fragile: Fragile) -> None:
    waiter = background.storage.waiter()
    thread = threading.Thread(target=waiter.wait, args=(0, LONG))
    thread.start()
    tasks.add(1, 2)
    thread.join(LONG)
    assert not thread.is_alive()
    waiter.found()
    assert fragile.enqueued_items() == []  # who was notified need not notify others
    assert run_all() == 1


def test_wait__forgets_what_rang_for_busy_threads(fragile: Fragile) -> None:
    for _ in range(3):
        tasks.add(1, 2)
    assert run_all() == 3
    assert len(fragile.enqueued_items()) == 3

    waiter = background.storage.waiter()
    waiter.wait(0, LONG)  # returns at once: the ledger is to be looked into once more

    assert fragile.enqueued_items() == []
    assert run_all() == 0
    begun = time.monotonic()
    waiter.wait(0, 0.2)
    assert time.monotonic() - begun >= 0.2


def test_limit_notifications__while_all_are_busy(
    fragile: Fragile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MANY_NOTIFICATIONS", 2)
    claim_bounds = bounds.ClaimBounds(background, [], [])
    for kept in (1, 2):
        tasks.add(1, 2)
        claim_bounds.limit_notifications()
        assert fragile.queue_size() == kept
    tasks.add(1, 2)
    claim_bounds.limit_notifications()
    assert fragile.queue_size() == 0
    assert run_all() == 3


def test_found__who_forgot_notifications_notifies_another_thread(fragile: Fragile) -> None:
    waiter = background.storage.waiter()
    for _ in range(3):
        tasks.add(1, 2)
    waiter.wait(0, LONG)
    assert fragile.enqueued_items() == []

    waiter.found()
    waiter.found()

    assert fragile.enqueued_items() == [notifier.NEXT]


def test_found__who_was_notified_like_that_passes_it_on(fragile: Fragile) -> None:
    waiter = background.storage.waiter()

    def wait_and_find() -> None:
        waiter.wait(0, LONG)
        waiter.found()

    threads = [threading.Thread(target=wait_and_find) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: fragile.asked > 10, "all of them listen")
    fragile.enqueue(notifier.NEXT)
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    assert fragile.enqueued_items() == [notifier.NEXT]


def test_wait__of_a_storage_that_is_away_ends_after_its_timeout(fragile: Fragile) -> None:
    fragile.broken = True
    waiter = background.storage.waiter()
    begun = time.monotonic()
    waiter.wait(waiter.mark(), 0.2)
    assert time.monotonic() - begun >= 0.2


def test_close__ends_a_wait(fragile: Fragile) -> None:
    waiter = background.storage.waiter()
    thread = threading.Thread(target=waiter.wait, args=(0, 30.0))
    thread.start()
    waiter.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_storage_without_priorities__takes_none(fragile: Fragile) -> None:
    fragile.priority = False
    tasks.add(1, 2, priority=5)
    assert run_all() == 1
