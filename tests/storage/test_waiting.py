"""How quickly a waiting thread hears of a task, and that it never misses one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import pytest
from django.db import connection, connections, transaction

from tests.processes import wait_until
from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.storage.waiter import DatabaseWaiter

pytestmark = pytest.mark.slow

LONG = 30.0
"""Seconds that no wait in these tests should last."""


@pytest.fixture
def waiter(committed_db: None) -> Iterator[DatabaseWaiter]:
    waiter = DatabaseWaiter("default")
    settle(waiter)
    yield waiter
    waiter.close()


def settle(waiter: DatabaseWaiter) -> None:
    """Wait until the waiter has nothing more to tell."""
    mark = -1
    while waiter.mark() != mark:
        mark = waiter.mark()
        waiter.wait(mark, 0.5)


def waited(waiter: DatabaseWaiter, mark: int, timeout: float) -> float:
    """Return how long a wait lasted, in seconds."""
    begun = time.monotonic()
    waiter.wait(mark, timeout)
    return time.monotonic() - begun


def test_wait__ends_when_a_task_is_committed(waiter: DatabaseWaiter) -> None:
    mark = waiter.mark()
    with transaction.atomic():
        tasks.add(1, 2)
    assert waited(waiter, mark, LONG) < LONG


def test_wait__threads_take_turns_to_look_without_a_notification(waiter: DatabaseWaiter) -> None:
    mark = waiter.mark()
    other = threading.Thread(target=waiter.wait, args=[mark, LONG])
    other.start()
    try:
        wait_until(lambda: waiter._waiting == 1, "the other thread waits")
        assert waited(waiter, mark, 0.1) >= 0.2
    finally:
        waiter.close()
        other.join()


def test_wait__ends_when_a_task_is_retried(waiter: DatabaseWaiter) -> None:
    tasks.add.schedule((1, 2), delay=60)
    settle(waiter)
    mark = waiter.mark()
    BackgroundTask.objects.update(state="waiting")
    assert waited(waiter, mark, LONG) < LONG


def test_wait__what_came_between_mark_and_wait_is_not_missed(waiter: DatabaseWaiter) -> None:
    mark = waiter.mark()
    tasks.add(1, 2)
    wait_until(lambda: waited(waiter, mark, 5.0) < 5.0, "the wait ends early")


def test_wait__each_thread_that_finds_a_task_wakes_the_next(waiter: DatabaseWaiter) -> None:
    woken: queue.Queue[float] = queue.Queue()
    mark = waiter.mark()

    def wait() -> None:
        woken.put(waited(waiter, mark, LONG))

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    tasks.add(1, 2)

    first = woken.get(timeout=LONG)
    with pytest.raises(queue.Empty):
        woken.get(timeout=0.3)
    waiter.found()
    second = woken.get(timeout=LONG)
    with pytest.raises(queue.Empty):
        woken.get(timeout=0.3)
    waiter.found()
    for thread in threads:
        thread.join()
    assert max(first, second, woken.get()) < LONG


def test_wait__ends_after_its_timeout(waiter: DatabaseWaiter) -> None:
    assert 0.2 <= waited(waiter, waiter.mark(), 0.2) < LONG


def test_close__wakes_who_waits(committed_db: None) -> None:
    waiter = DatabaseWaiter("default")
    thread = threading.Thread(target=waiter.wait, args=(waiter.mark() + 1_000_000, LONG))
    waiter.close()
    thread.start()
    thread.join(LONG / 2)
    assert not thread.is_alive()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's own way")
def test_wait__a_lost_connection_to_postgresql_is_replaced(waiter: DatabaseWaiter) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
        )
        assert cursor.fetchone() == (1,)
    settle(waiter)
    mark = waiter.mark()
    tasks.add(1, 2)
    assert waited(waiter, mark, LONG) < LONG
