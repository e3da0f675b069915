"""Faults of servers: databases that go away, and a Redis that is stopped, emptied, full or mute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from redis.exceptions import OutOfMemoryError

from tests.faults.harness import RESCUE_LIMIT, THREADS, Harness, Result, answer, rows
from tests.faults.publishing import published_page
from tests.processes import Process, wait_until
from wagtail_async_hooks.utils.database.outages import RECONNECT_INTERVAL

GONE = "The database does not answer"
BACK = "The database answers again"
READ_ONLY = "The database refuses writes (read-only)"


# The database -------------------------------------------------------------------------------


def database_stopped_while_busy(harness: Harness) -> Result:
    """Stop the database in the middle of tasks that need it: those that it cut off run again."""
    worker = harness.ready_worker()
    numbers = harness.submit(harness.size.tasks, queries=True)
    harness.wait_for_ends(THREADS + 1)
    with out_of_order(harness):
        wait_until(lambda: GONE in worker.said(), "the worker notices")
    harness.wait_until_done()
    result = after_outage(harness, [worker], numbers)
    assert result.run_twice <= THREADS
    return result


def database_stopped_while_idle(harness: Harness) -> Result:
    """Stop the database while threads wait, and during long tasks that do not need it.

    Two workers have one each: the first that is back must not take the other one for dead.
    """
    workers = [harness.start_worker(threads=1) for _ in range(2)]
    for worker in workers:
        worker.wait_for("Background hooks")
    numbers = harness.submit(2, seconds=harness.size.outage + 3)
    wait_until(lambda: len(harness.traces.begun()) == 2, "the long tasks have begun")
    with out_of_order(harness):
        pass
    wait_until(lambda: all(BACK in w.said() for w in workers), "the workers are back")
    numbers += harness.submit(THREADS)
    harness.wait_until_done()
    result = after_outage(harness, workers, numbers)
    assert result.run_twice == 0, "the workers were alive all the time"
    assert not [w.said() for w in workers if "Traceback" in w.said()]
    return result


def database_crashed(harness: Harness) -> Result:
    """Kill the database server in the middle of tasks, two workers being at work."""
    workers = [harness.start_worker() for _ in range(2)]
    for worker in workers:
        worker.wait_for("Background hooks")
    numbers = harness.submit(harness.size.tasks)
    harness.wait_for_ends(THREADS + 1)
    assert harness.database is not None
    harness.database.kill()
    connections.close_all()
    harness.database.start()
    harness.wait_until_done()
    assert all(worker.is_running() for worker in workers)
    harness.stop_calmly(*workers)
    return harness.result(numbers)


def read_only_failover(harness: Harness) -> Result:
    """Have the database refuse all writes for a while, as one does that became a standby.

    It answers all that time: whoever connects anew at each error does nothing else.
    """
    assert harness.database is not None
    worker = harness.ready_worker()
    numbers = harness.submit(harness.size.tasks)
    harness.wait_for_ends(THREADS + 1)
    harness.database.set_read_only(True)
    try:
        wait_until(lambda: READ_ONLY in worker.said(), "the worker says that nothing is written")
        before = harness.database.sessions()
        time.sleep(harness.size.outage)
        opened = harness.database.sessions() - before
        # A new connection for each thread now and then, and what this asks.
        most = (THREADS + 3) * (1 + harness.size.outage / RECONNECT_INTERVAL) + 2
        assert opened <= most, f"{opened} new sessions in {harness.size.outage:g} s"
    finally:
        harness.database.set_read_only(False)
    harness.wait_until_done()
    harness.stop_calmly(worker)
    said = worker.said()
    assert said.count(READ_ONLY) == said.count(BACK) == 1, said
    assert "Traceback" not in said
    result = harness.result(numbers)
    assert result.run_twice == 0
    return result


def claim_unheard_of(harness: Harness) -> Result:
    """Have a worker claim a task without hearing of it; that worker itself goes on living."""
    worker = harness.start("tests.faults.forgetful_worker", "--threads", "2")
    numbers = harness.submit(THREADS)
    harness.wait_until_done(harness.limit(RESCUE_LIMIT))
    harness.stop_calmly(worker)
    return harness.result(numbers)


@contextmanager
def out_of_order(harness: Harness) -> Iterator[None]:
    """Stop the database, for at least as long as the harness's size says."""
    assert harness.database is not None
    harness.database.stop()
    connections.close_all()
    begun = time.monotonic()
    try:
        yield
        time.sleep(max(0.0, harness.size.outage - (time.monotonic() - begun)))
    finally:
        harness.database.start()
    wait_until(lambda: answer(lambda: rows().count()) is not None, "the database answers")


def after_outage(harness: Harness, workers: list[Process], numbers: list[int]) -> Result:
    """Check that workers have lived through it, and have not made much of it."""
    harness.stop_calmly(*workers)
    for worker in workers:
        said = worker.said()
        assert said.count(GONE) == said.count(BACK) == 1, said
    return harness.result(numbers)


# Redis --------------------------------------------------------------------------------------


def redis_stopped(harness: Harness) -> Result:
    """Stop Redis in the middle of tasks, publish, and start it again."""

    def damage(redis: Any) -> Callable[[], None]:
        redis.stop()
        return redis.start

    return without_redis(harness, damage, away=harness.size.outage)


def redis_frozen(harness: Harness) -> Result:
    """Have Redis accept connections and never answer."""

    def damage(redis: Any) -> Callable[[], None]:
        redis.freeze()
        return redis.thaw

    return without_redis(harness, damage, away=harness.size.outage)


def redis_full(harness: Harness) -> Result:
    """Have Redis refuse writes, as it does when its memory is full and it may not evict."""

    def damage(redis: Any) -> Callable[[], None]:
        with redis.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1mb")
            try:
                client.set("filler", "x" * 1_000_000)
            except OutOfMemoryError:
                pass  # it was full before
            else:
                raise AssertionError("Redis is not full")

        def undo() -> None:
            with redis.client() as client:
                client.config_set("maxmemory", "0")

        return undo

    return without_redis(harness, damage)


def redis_flushed(harness: Harness) -> Result:
    """Empty Redis, again and again, in the middle of tasks."""

    def damage(redis: Any) -> Callable[[], None]:
        def flush() -> None:
            with redis.client() as client:
                client.flushall()

        flush()
        return flush

    return without_redis(harness, damage)


def redis_unreachable(harness: Harness) -> Result:
    """Publish while Redis is away and no worker is at work; one starts later, without it too."""
    assert harness.redis is not None
    harness.redis.stop()
    try:
        with published_page() as page:
            hooks = page.publish(harness)
            numbers = harness.submit(THREADS)
            worker = harness.start_worker()
            harness.wait_until_done()
            harness.stop_calmly(worker)
            return with_hooks(harness.result(numbers), hooks)
    finally:
        harness.redis.start()


def without_redis(
    harness: Harness, damage: Callable[[Any], Callable[[], None]], *, away: float = 0.0
) -> Result:
    """Damage Redis in the middle of tasks; publish, and see all run before it is repaired.

    :param damage: does the damage; returns what repairs it.
    :param away: seconds for which it stays damaged at least.
    """
    assert harness.redis is not None
    worker = harness.ready_worker()
    with published_page() as page:
        numbers = harness.submit(harness.size.tasks)
        harness.wait_for_ends(THREADS)
        repair = damage(harness.redis)
        begun = time.monotonic()
        try:
            hooks = page.publish(harness)
            numbers += harness.submit(THREADS)
            harness.wait_until_done()
            time.sleep(max(0.0, away - (time.monotonic() - begun)))
        finally:
            repair()
        hooks += page.publish(harness)
        numbers += harness.submit(THREADS)
        harness.wait_until_done()
        harness.stop_calmly(worker)
    assert "Traceback" not in worker.said(), worker.said()
    result = with_hooks(harness.result(numbers), hooks)
    assert result.run_twice == 0
    return result


def with_hooks(result: Result, hooks: int) -> Result:
    """Add the background hooks that a publish has fired to the count."""
    found = rows().exclude(hook="")
    run = found.filter(state="succeeded").count()
    twice = found.filter(attempt__gt=1).count()
    assert found.count() == hooks
    return Result(
        submitted=result.submitted + hooks,
        run=result.run + run,
        run_twice=result.run_twice + twice,
        lost=result.lost + hooks - run,
    )
