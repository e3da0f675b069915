"""Tests of the compound statement by which a worker on MariaDB records an end and claims."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from tests.work import tasks
from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger import claiming, mariadb
from wagtail_async_hooks.ledger.locks import kind_of
from wagtail_async_hooks.ledger.selection import Sql
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import EVERYTHING, Bounds, Claim, Outcome, State

pytestmark = [
    pytest.mark.skipif("connection.vendor != 'mysql'", reason="a statement of MariaDB's"),
    pytest.mark.usefixtures("committed_db"),
]


@pytest.fixture(autouse=True)
def _not_on_mysql(committed_db: None) -> None:
    if kind_of(connection) != "mariadb":
        pytest.skip("MySQL has no such statement")


BOUNDS = [
    EVERYTHING,
    Bounds(queues=("default",)),
    Bounds(left_out=("mail",)),
    Bounds(hooks=("after_edit_page",)),
    Bounds(limits={"default": 1}),
]


@pytest.fixture
def worker() -> Worker:
    return ledger.register_worker(Worker(host="here", pid=1, threads=1, release="1"))


def enqueue(number: int) -> list[int]:
    for _ in range(number):
        tasks.add(1, 2)
    return list(BackgroundTask.objects.order_by("pk").values_list("pk", flat=True))


def claim(bounds: Bounds = EVERYTHING, worker: Worker | None = None) -> Claim:
    _, found = ledger.step(None, worker and worker.pk, bounds=bounds)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "bounds", BOUNDS, ids=["everything", "queue", "queue left out", "pause", "limit"]
)
def test_step__is_one_round_trip(
    bounds: Bounds, worker: Worker, django_assert_num_queries: Any
) -> None:
    first, second = enqueue(2)
    with django_assert_num_queries(1):
        running = claim(bounds, worker)
    assert (running.pk, running.attempt, running.worker) == (first, 1, worker.pk)
    with django_assert_num_queries(1):
        kept, found = ledger.step(Outcome(running, State.SUCCEEDED), worker.pk, bounds=bounds)
    assert kept
    assert found is not None
    assert (found.pk, found.slot) == (second, 0 if bounds.limits else None)
    row = BackgroundTask.objects.get(pk=second)
    assert (row.state, row.attempt, row.worker_id) == (State.RUNNING, 1, worker.pk)
    assert row.started_at is not None
    assert BackgroundTask.objects.get(pk=first).state == State.SUCCEEDED


def test_step__tells_what_is_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue(2)
    at_once = claim()
    BackgroundTask.objects.filter(pk=at_once.pk).update(state=State.WAITING, attempt=0)
    monkeypatch.setattr(mariadb, "takes", lambda connection: False)
    assert claim() == at_once


def test_step__of_nothing_that_waits() -> None:
    enqueue(1)
    running = claim()
    assert ledger.step(None, None) == (False, None)
    assert ledger.step(Outcome(running, State.SUCCEEDED), None) == (True, None)
    assert ledger.step(Outcome(running, State.SUCCEEDED), None) == (False, None)


def test_step__of_a_task_that_waits_again_claims_it() -> None:
    [pk] = enqueue(1)
    running = claim()
    kept, again = ledger.step(Outcome(running, State.WAITING), None)
    assert kept
    assert again is not None
    assert (again.pk, again.attempt) == (pk, 2)


def test_step__that_does_not_count_claims_all_the_same() -> None:
    first, second = enqueue(2)
    late = claim()
    BackgroundTask.objects.filter(pk=first).update(attempt=2)
    kept, found = ledger.step(Outcome(late, State.SUCCEEDED), None)
    assert not kept
    assert found is not None
    assert found.pk == second
    assert BackgroundTask.objects.get(pk=first).state == State.RUNNING


@pytest.mark.parametrize("part", ["source", "begin", "told"])
def test_failure__undoes_all_of_it(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = enqueue(2)
    running = claim()
    sent = mariadb.step

    def broken(connection: Any, parts: mariadb.Parts) -> Any:
        wrong = {
            "source": Sql("FROM no_such_table LIMIT 1"),
            "begin": Sql("UPDATE no_such_table SET id = 1"),
            "told": Sql("no_such_column"),
        }
        return sent(connection, parts._replace(**{part: wrong[part]}))

    monkeypatch.setattr(mariadb, "step", broken)
    with pytest.raises(DatabaseError, match="no_such"):
        ledger.step(Outcome(running, State.SUCCEEDED), None)
    monkeypatch.undo()

    states = dict(BackgroundTask.objects.values_list("pk", "state"))
    assert states == {first: State.RUNNING, second: State.WAITING}
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@in_transaction")
        assert cursor.fetchone() == (0,)
    kept, found = ledger.step(Outcome(running, State.SUCCEEDED), None)
    assert kept
    assert found is not None


def test_collision__is_what_it_is_elsewhere() -> None:
    first, second = enqueue(2)
    BackgroundTask.objects.filter(pk=first).update(state=State.RUNNING, exclusive_key="k")
    parts = mariadb.Parts(
        finish=Sql(""),
        slot=Sql("NULL"),
        source=Sql("FROM wagtail_async_hooks_backgroundtask WHERE id = %s", (second,)),
        begin=Sql(f"{claiming._BEGIN}, exclusive_key = 'k'", (None,)),
        told=Sql("id"),
    )
    with pytest.raises(IntegrityError):
        mariadb.step(connection, parts)
    assert BackgroundTask.objects.get(pk=second).state == State.WAITING


def test_takes__neither_a_transaction_nor_another_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mariadb.takes(connection)
    with transaction.atomic():
        assert not mariadb.takes(connection)
    connection.set_autocommit(False)
    try:
        assert not mariadb.takes(connection)
    finally:
        connection.set_autocommit(True)
    monkeypatch.setattr(connection, "Database", ModuleType("mysql.connector"))
    assert not mariadb.takes(connection)


def test_transaction__of_an_editor_is_not_committed() -> None:
    """In immediate mode, and in tests, tasks may be claimed within a transaction."""
    enqueue(1)
    with transaction.atomic():
        running = claim()
        ledger.step(Outcome(running, State.SUCCEEDED), None)
        transaction.set_rollback(True)
    assert BackgroundTask.objects.get(pk=running.pk).state == State.WAITING
