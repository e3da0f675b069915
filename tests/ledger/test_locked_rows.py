"""One row that is locked, as by a worker that was cut off, holds nothing else up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.models import Model

from tests.limits import PATIENCE
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.ledger import locks
from wagtail_async_hooks.models import BackgroundTask, Schedule, Worker
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import Bounds, State
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.worker import scheduler
from wagtail_async_hooks.worker.rescuing import Rescuer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="it has no locks of rows"),
    pytest.mark.usefixtures("committed_db"),
]

SOON = PATIENCE / 2
"""Seconds that nothing here takes, unless it waits for the lock."""


@contextmanager
def locked(model: type[Model], **which: Any) -> Iterator[None]:
    """While another connection holds a row, in a transaction that does not end by itself."""
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            model._default_manager.select_for_update().get(**which)
            held.set()
            leave.wait(2 * PATIENCE)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(PATIENCE)
    try:
        yield
    finally:
        leave.set()
        thread.join(PATIENCE)


@pytest.fixture(autouse=True)
def _not_for_ever(committed_db: None) -> Iterator[None]:
    """What waits for the lock all the same ends, with an error."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"SET lock_timeout = '{PATIENCE:.0f}s'")
        else:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [int(PATIENCE)])
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < SOON * 2
    connection.close()
    for claim in background.claims.holding.all():
        background.claims.holding.discard(claim)


def register() -> Worker:
    return ledger.register_worker(Worker(host="there", pid=1, threads=1, release="1"))


def in_time(action: Callable[[], Any]) -> Any:
    begun = time.monotonic()
    value = action()
    assert time.monotonic() - begun < SOON
    return value


def states() -> list[str]:
    return list(BackgroundTask.objects.order_by("pk").values_list("state", flat=True))


def test_rescue__takes_the_others_back_and_tells_once(caplog: pytest.LogCaptureFixture) -> None:
    worker = register()
    for _ in range(3):
        tasks.add(1, 2)
    running = [background.next(worker.pk) for _ in range(3)]
    rescuer = Rescuer(background, 3)
    with locked(BackgroundTask, pk=running[1].claim.pk):
        in_time(lambda: rescuer.rescue([worker.pk]))
        assert states() == [State.WAITING, State.RUNNING, State.WAITING]
        in_time(lambda: rescuer.rescue([worker.pk]))
        assert caplog.text.count("cannot be taken from its worker") == 1
        Worker.objects.filter(pk=worker.pk).update(heartbeat_at=worker.started_at)
        assert ledger.silent_workers(0) == [worker.pk]  # it is tried again
    rescuer.rescue([worker.pk])
    assert states() == [State.WAITING] * 3


def test_rescue__of_a_worker_whose_own_row_is_locked() -> None:
    worker = register()
    tasks.add(1, 2)
    background.next(worker.pk)
    with locked(Worker, pk=worker.pk):
        in_time(lambda: Rescuer(background, 3).rescue([worker.pk]))
        assert states() == [State.WAITING]


def test_orphans__that_are_locked_are_passed_over() -> None:
    for _ in range(2):
        tasks.add(1, 2)
    first, _ = (background.next() for _ in range(2))
    with locked(BackgroundTask, pk=first.claim.pk):
        in_time(lambda: Rescuer(background, 3).rescue_orphans(0))
        assert states() == [State.RUNNING, State.WAITING]


def test_stop__hands_the_others_back() -> None:
    worker = register()
    for _ in range(2):
        tasks.add(1, 2)
    first, _ = (background.next(worker.pk) for _ in range(2))
    with locked(BackgroundTask, pk=first.claim.pk):
        assert in_time(lambda: ledger.stop_worker(worker.pk)) == 1
    assert states() == [State.RUNNING, State.WAITING]


def test_beat__of_a_row_that_is_locked_gives_up_soon() -> None:
    worker = register()
    with locked(Worker, pk=worker.pk), pytest.raises(OperationalError):
        in_time(lambda: ledger.beat(worker))
    assert ledger.beat(worker) is ledger.Beat.ALIVE


def test_due__the_others_wait_for_a_worker() -> None:
    for _ in range(3):
        tasks.add.schedule((1, 2), delay=60)
    BackgroundTask.objects.update(run_at=DatabaseNow())
    first = BackgroundTask.objects.order_by("pk").first()
    assert first is not None
    with locked(BackgroundTask, pk=first.pk):
        assert len(in_time(ledger.promote_due)) == 2
    assert len(ledger.promote_due()) == 1


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(),
        Bounds(queues=("default",)),
        Bounds(queues=("default", "mail")),
        Bounds(left_out=("mail",)),
        Bounds(limits={"mail": 1}),
        Bounds(queues=("default", "mail"), limits={"mail": 1}),
        Bounds(hooks=("after_edit_page",), limits={"mail": 1}),
    ],
)
def test_claim__passes_over_the_first_task_while_another_worker_claims_it(bounds: Bounds) -> None:
    for _ in range(3):
        tasks.add(1, 2)
    first, second, third = BackgroundTask.objects.order_by("pk")
    BackgroundTask.objects.filter(pk=third.pk).update(queue="mail")
    with locked(BackgroundTask, pk=first.pk):
        _, claim = in_time(lambda: ledger.step(None, None, bounds=bounds))
    assert claim is not None
    assert (claim.pk, claim.slot) == (second.pk, None)


def test_cancel__of_a_task_whose_transaction_has_reported_progress(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(3):
        tasks.add(1, 2)
    first = background.next()
    with locked(BackgroundTask, pk=first.claim.pk):
        keys = list(BackgroundTask.objects.values_list("pk", flat=True))
        assert in_time(lambda: control.cancel(keys)) == 2
        assert caplog.text.count(f"Task {first.claim.pk} cannot be cancelled at this moment") == 1
    assert control.cancel([first.claim.pk]) == 1


def test_schedule__one_entry_in_the_way_of_no_other(settings: Any) -> None:
    entry = {"function": "tests.work.tasks.add", "args": [1, 2], "crontab": "0 4 * * *"}
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "SCHEDULE": {name: {**entry} for name in "ab"},
    }
    looks = scheduler.Scheduler()
    looks.enqueue_due()
    Schedule.objects.update(next_due_at=DatabaseNow())
    with locked(Schedule, name="a"):
        with pytest.raises(OperationalError):
            in_time(looks.enqueue_due)
        assert Schedule.objects.get(name="b").last_task_id
        assert not Schedule.objects.get(name="a").last_task_id
    looks.enqueue_due()
    assert Schedule.objects.get(name="a").last_task_id


def test_workers__that_are_locked_are_pruned_later() -> None:
    import datetime

    first, second = register(), register()
    Worker.objects.update(stopped_at=DatabaseNow() - datetime.timedelta(days=9))
    with locked(Worker, pk=first.pk):
        assert in_time(lambda: ledger.prune_workers(datetime.timedelta(days=1))) == 1
    assert list(Worker.objects.values_list("pk", flat=True)) == [first.pk]
    assert second.pk != first.pk


@pytest.mark.parametrize("in_request", [False, True])
@pytest.mark.parametrize("kind", [connection.vendor, "mariadb"])
def test_brief__leaves_what_surrounds_it_as_it_was(
    kind: str, in_request: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "mariadb" and connection.vendor != "mysql":
        pytest.skip("there are no limits of a statement")
    monkeypatch.setattr(locks, "kind_of", lambda connection: kind)  # MariaDB knows MySQL's way, too

    def limits() -> Any:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SHOW lock_timeout")
            else:
                cursor.execute("SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout")
            return cursor.fetchone()

    before = limits()
    with ledger.brief("default", in_request=in_request):
        assert limits() != before
    assert limits() == before
    with transaction.atomic():
        with ledger.brief("default", in_request=in_request):
            within = limits()
            assert within != before
            with ledger.brief("default"):
                assert limits() == within
            assert limits() == within
        assert limits() == before
    assert limits() == before


def test_log__is_none_where_nothing_is_locked(caplog: pytest.LogCaptureFixture) -> None:
    worker = register()
    tasks.add(1, 2)
    background.next(worker.pk)
    with caplog.at_level(logging.WARNING):
        Rescuer(background, 3).rescue([worker.pk])
    assert not caplog.records
