"""Statements by the database's driver do what they do by Django's cursor."""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, ProgrammingError, connection, transaction

from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.ledger import raw_sql
from wagtail_async_hooks.models import BackgroundTask, StoredValue
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database.errors import is_lost

NOTHING = "SELECT id FROM wagtail_async_hooks_backgroundtask WHERE id = %s"


@pytest.fixture
def cursors(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each cursor of Django's."""
    made: list[int] = []
    make = connection.cursor

    def cursor(*args: Any) -> Any:
        made.append(1)
        return make(*args)

    monkeypatch.setattr(connection, "cursor", cursor)
    return made


def passing_on(execute: Callable[..., Any], *args: Any) -> Any:
    """Do nothing but run the statement."""
    return execute(*args)


knows_the_driver = pytest.mark.skipif(
    connection.vendor not in ("sqlite", "postgresql"), reason="by Django's cursor here"
)


@pytest.mark.parametrize("watched", [False, True])
def test_rows_of__values_come_back(committed_db: None, watched: bool) -> None:
    tasks.add(1, 2)
    row = BackgroundTask.objects.get()

    with connection.execute_wrapper(passing_on) if watched else nullcontext():
        found = raw_sql.rows_of(
            connection,
            "SELECT id, task_id, priority, message, state, run_at "
            "FROM wagtail_async_hooks_backgroundtask WHERE id = %s AND name = %s",
            [row.pk, row.name],
        )

    [(pk, task_id, priority, message, state, run_at)] = found
    assert (pk, task_id, priority) == (row.pk, row.task_id, row.priority)
    assert (bytes(message), state, run_at) == (bytes(row.message), "waiting", None)


@knows_the_driver
def test_rows_of__asks_the_driver_and_who_watches_sees_it(
    committed_db: None, cursors: list[int]
) -> None:
    assert raw_sql.rows_of(connection, NOTHING, [0]) == []
    assert cursors == []

    seen: list[str] = []

    def watch(execute: Any, statement: str, *args: Any) -> Any:
        seen.append(statement)
        return execute(statement, *args)

    with connection.execute_wrapper(watch):
        assert raw_sql.rows_of(connection, NOTHING, [0]) == []
    assert seen == [NOTHING]


def test_rows_of__belongs_to_a_transaction(committed_db: None) -> None:
    StoredValue.objects.create(storage="tests", key="kept", value=b"before")
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012  # both are the point
        raw_sql.rows_of(connection, "SELECT 1 WHERE 1 = %s", [1])
        StoredValue.objects.update(value=b"after")
        raise RuntimeError
    assert bytes(StoredValue.objects.get().value) == b"before"


def test_rows_of__raises_djangos_errors(committed_db: None) -> None:
    with pytest.raises((OperationalError, ProgrammingError)):
        raw_sql.rows_of(connection, "SELECT nothing_like_that WHERE 1 = %s", [1])
    tasks.add(1, 2)
    pk = BackgroundTask.objects.get().pk
    if connection.vendor != "mysql":  # which has no RETURNING of an UPDATE
        with pytest.raises(IntegrityError):
            raw_sql.rows_of(
                connection,
                "UPDATE wagtail_async_hooks_backgroundtask SET name = NULL WHERE id = %s "
                "RETURNING id",
                [pk],
            )
    assert raw_sql.rows_of(connection, NOTHING, [pk]) == [(pk,)]


@knows_the_driver
def test_claim_and_finish__need_no_cursor_of_djangos(
    committed_db: None, cursors: list[int]
) -> None:
    for _ in range(2):
        tasks.add(1, 2)
    cursors.clear()

    task = background.dequeue()
    assert task is not None
    background.attempt(task)
    assert background.dequeue() is not None

    assert cursors == []
    states = BackgroundTask.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.SUCCEEDED, State.RUNNING]


# A few statements together -------------------------------------------------------------------

FINISH = (
    "UPDATE wagtail_async_hooks_backgroundtask SET state = 'succeeded' WHERE id = %s RETURNING id"
)


def state_of(pk: int) -> str:
    """Return the state of a row."""
    return BackgroundTask.objects.get(pk=pk).state


@knows_the_driver
def test_together__are_committed_when_the_block_ends(committed_db: None) -> None:
    tasks.add(1, 2)
    pk = BackgroundTask.objects.get().pk
    with raw_sql.together(connection):
        assert raw_sql.rows_of(connection, FINISH, [pk]) == [(pk,)]
    assert state_of(pk) == State.SUCCEEDED


@knows_the_driver
@pytest.mark.parametrize("watched", [False, True])
def test_together__none_of_them_counts_if_one_fails(committed_db: None, watched: bool) -> None:
    tasks.add(1, 2)
    pk = BackgroundTask.objects.get().pk

    def fail() -> None:
        with raw_sql.together(connection):
            raw_sql.rows_of(connection, FINISH, [pk])
            raw_sql.rows_of(connection, "SELECT nothing_like_that WHERE 1 = %s", [1])

    with (
        connection.execute_wrapper(passing_on) if watched else nullcontext(),
        pytest.raises((OperationalError, ProgrammingError)),
    ):
        fail()

    assert state_of(pk) == State.WAITING


@knows_the_driver
def test_together__within_a_transaction_of_djangos(committed_db: None) -> None:
    tasks.add(1, 2)
    pk = BackgroundTask.objects.get().pk
    with transaction.atomic():
        with raw_sql.together(connection):
            raw_sql.rows_of(connection, FINISH, [pk])
        transaction.set_rollback(True)
    assert state_of(pk) == State.WAITING


@knows_the_driver
def test_together__whoever_else_wants_to_write_waits_or_is_told(committed_db: None) -> None:
    """Django's error, as by its own transaction."""
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one lock for all")
    other = connection.copy()
    other.settings_dict = {**connection.settings_dict, "OPTIONS": {"timeout": 0.1}}
    try:
        with (
            raw_sql.together(connection),
            pytest.raises(OperationalError),
            raw_sql.together(other),
        ):
            raise AssertionError("both hold it")
        with raw_sql.together(other):
            pass
    finally:
        other.close()


# By libpq --------------------------------------------------------------------------------------


@pytest.mark.skipif(connection.vendor != "postgresql", reason="of PostgreSQL's driver")
def test_rows_of__by_libpq_is_what_it_is_by_the_drivers_cursor(committed_db: None) -> None:
    from psycopg import Cursor

    statement = (
        "SELECT %s::text, %s::int, %s::bigint, %s::bytea, %s::boolean, %s::text, %s::float8, "
        "%s::timestamptz, '100 %%'"
    )
    moment = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)
    values = ["é 'x' %s", 5, 2**40, b"\0\xff", True, None, 0.1, moment]

    found = raw_sql.rows_of(connection, statement, values)

    assert found == Cursor(connection.connection).execute(statement, values).fetchall()
    assert found == [(*values, "100 %")]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="of PostgreSQL's driver")
@pytest.mark.parametrize("how", ["ended by the server", "cut off"])
def test_rows_of__a_lost_connection_is_an_outage(committed_db: None, how: str) -> None:
    raw_sql.rows_of(connection, NOTHING, [0])
    driver: Any = connection.connection
    if how == "cut off":
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
    else:
        other = connection.copy()
        with closing(other), other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [driver.info.backend_pid])

    with pytest.raises(OperationalError) as caught:
        raw_sql.rows_of(connection, NOTHING, [0])
    assert is_lost(caught.value)
    connection.close_if_unusable_or_obsolete()
    assert raw_sql.rows_of(connection, NOTHING, [0]) == []
