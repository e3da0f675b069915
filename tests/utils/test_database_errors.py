"""Tests of what errors of databases mean: real ones, and those that a test cannot bring about."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from django.db.transaction import TransactionManagementError

from tests.limits import PATIENCE
from wagtail_async_hooks.utils.database.errors import (
    AWAY,
    Verdict,
    in_one_line,
    is_away,
    is_contention,
    is_lost,
    is_refusal,
    is_stale,
    judge,
    meaning,
    undid_transaction,
)


def error(
    kind: type[DatabaseError | InterfaceError] = OperationalError, *args: Any, **cause: Any
) -> Exception:
    """Return an error as Django raises it, with the driver's own as its cause."""
    raised = kind(*args)
    raised.__cause__ = type("DriversError", (Exception,), cause)(*args)
    return raised


CONTENTION = [
    *({"sqlstate": code} for code in ("40001", "40P01", "55P03", "57014")),
    *({"args": (code, "…")} for code in (1020, 1205, 1213, 3572, 1969)),
    *({"sqlite_errorname": f"SQLITE_{name}"} for name in ("BUSY", "BUSY_SNAPSHOT", "LOCKED")),
]
OUTAGES = {
    "refuses writes": ["25006", 1290, 1836, "SQLITE_READONLY", "SQLITE_READONLY_DBMOVED"],
    "no space": ["53100", 1021, 1114, "SQLITE_FULL"],
    "no more connections": ["53300", 1040, 1203, 1226],
    "refuses the login": ["28P01", "28000", 1045],
    "does not exist": ["3D000", 1049],
    "migrate": ["42P01", "42883", "42703", 1146, 1054, 1305],
    "denies": ["42501", 1142],
    "error of its own": [1030, 1105, "SQLITE_IOERR_WRITE", "SQLITE_CORRUPT"],
    "does not answer": ["57P01", "57P03", "08006", 0, 2006, 2013, 1053, "SQLITE_CANTOPEN"],
    "cannot be worked with": ["XX000", "0A000", "42601"],
}
REFUSALS = ["22001", "22003", "22021", "23505", "54000", "P0001", "42804", 1153, 1366, 1406, 4025]


def with_code(code: Any) -> Exception:
    if isinstance(code, int):
        return error(OperationalError, code, "…")
    name = "sqlite_errorname" if code.startswith("SQLITE") else "sqlstate"
    return error(OperationalError, "…", **{name: code.rstrip("_")})


@pytest.mark.parametrize("given", CONTENTION, ids=str)
def test_contention(given: dict[str, Any]) -> None:
    args = given.get("args", ("deadlock detected",))
    found = error(OperationalError, *args, **{k: v for k, v in given.items() if k != "args"})
    assert judge(found) is Verdict.CONTENTION
    assert is_contention(found)
    assert "Another transaction" in meaning(found)


@pytest.mark.parametrize(
    ("words", "code"), [(words, code) for words, codes in OUTAGES.items() for code in codes]
)
def test_outage(words: str, code: Any) -> None:
    assert judge(with_code(code)) is Verdict.OUTAGE
    assert words in meaning(with_code(code))


@pytest.mark.parametrize("code", REFUSALS)
def test_refusal(code: Any) -> None:
    assert judge(with_code(code)) is Verdict.REFUSAL
    assert is_refusal(with_code(code))
    assert "refuses what" in meaning(with_code(code))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), Verdict.REFUSAL),
        (ProgrammingError("cannot adapt type 'object'"), Verdict.REFUSAL),
        (IntegrityError("CHECK constraint failed"), Verdict.REFUSAL),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), Verdict.REFUSAL),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), Verdict.REFUSAL),
        (ValueError("database is locked"), Verdict.REFUSAL),
        (OperationalError("consuming input failed"), Verdict.OUTAGE),
        (InterfaceError(0, ""), Verdict.OUTAGE),
        (InterfaceError("connection already closed"), Verdict.OUTAGE),
        (ProgrammingError("Cannot operate on a closed database."), Verdict.OUTAGE),
        (InternalError("Packet sequence number wrong"), Verdict.OUTAGE),
        (TransactionManagementError("the current transaction is broken"), Verdict.OUTAGE),
        (OperationalError("database is locked"), Verdict.CONTENTION),
    ],
    ids=lambda value: str(value)[:30],
)
def test_without_a_code(found: Exception, verdict: Verdict) -> None:
    assert judge(found) is verdict


def test_drivers_own_error_is_judged_as_well() -> None:
    kind = type("OperationalError", (type("DatabaseError", (Exception,), {}),), {})
    assert judge(kind(1213, "Deadlock found")) is Verdict.CONTENTION


def test_in_one_line__leaves_out_where_it_was() -> None:
    assert in_one_line(DataError("\nrefused\nLINE 1: …")) == "DataError: refused"
    assert in_one_line(KeyError()) == "KeyError"


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_is_away__asks_the_connection(kind: type[Exception], db: None) -> None:
    assert not is_away(kind("…"), ["default"])
    assert not is_away(ValueError("…"), ["default"])


# Real ones ----------------------------------------------------------------------------------


def raised_by(statement: str, *parameters: Any) -> Exception:
    """Run a statement, and return what it raises."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
    except Exception as raised:
        return raised
    raise AssertionError(f"nothing was wrong with {statement}")


@pytest.fixture
def table(committed_db: None) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE judged (id integer PRIMARY KEY, name varchar(5) NOT NULL)")
        cursor.execute("INSERT INTO judged VALUES (1, 'one')")
    yield "judged"
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE judged")


def test_real__table_and_column_and_function_that_are_missing(table: str) -> None:
    for statement in (
        "SELECT * FROM judged_away",
        "SELECT no_such_column FROM judged",
        "SELECT no_such_function(1)",
    ):
        found = raised_by(statement)
        assert judge(found) is Verdict.OUTAGE
        assert "migrate" in meaning(found)


def test_real__data_that_are_refused(table: str) -> None:
    assert judge(raised_by("INSERT INTO judged VALUES (1, 'uno')")) is Verdict.REFUSAL
    assert judge(raised_by("INSERT INTO judged VALUES (2, NULL)")) is Verdict.REFUSAL
    assert judge(raised_by("INSERT INTO judged VALUES (3, %s)", "\ud800")) is Verdict.REFUSAL
    if connection.vendor == "sqlite":
        assert judge(raised_by("SELECT %s", 2**64)) is Verdict.REFUSAL
    else:
        assert judge(raised_by("INSERT INTO judged VALUES (4, 'too long')")) is Verdict.REFUSAL
        assert judge(raised_by("INSERT INTO judged VALUES (%s, 'x')", 2**40)) is Verdict.REFUSAL


def test_real__connection_that_was_lost(committed_db: None) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no server")
    own = {"postgresql": "pg_backend_pid()", "mysql": "CONNECTION_ID()"}[connection.vendor]
    kill = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
    other = connection.copy()
    with connection.cursor() as cursor, other.cursor() as killer:
        cursor.execute(f"SELECT {own}")
        killer.execute(kill[connection.vendor], [cursor.fetchone()[0]])
    other.close()
    found = raised_by("SELECT 1")
    assert judge(found) is Verdict.OUTAGE
    assert is_lost(found)
    assert is_stale(found)
    assert meaning(found) == AWAY
    assert undid_transaction(found, connection)
    connection.close()


def test_real__lock_that_another_holds(table: str) -> None:
    other = connection.copy()
    wait = {
        "postgresql": "SET lock_timeout = '50ms'",
        "mysql": "SET innodb_lock_wait_timeout = 1",
        "sqlite": "PRAGMA busy_timeout = 50",
    }[connection.vendor]
    update = "UPDATE judged SET name = 'two'"
    try:
        with connection.cursor() as cursor:
            cursor.execute(wait)
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(update)
        found = raised_by(update)
        assert judge(found) is Verdict.CONTENTION
        assert not undid_transaction(found, connection)
    finally:
        other.rollback()
        other.close()
        connection.close()


def test_real__deadlock_of_mariadb_undoes_the_transaction(table: str) -> None:
    if connection.vendor != "mysql":
        pytest.skip("elsewhere a savepoint is left")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO judged VALUES (2, 'two')")
    found = deadlock()
    assert found.args[0] == 1213
    assert judge(found) is Verdict.CONTENTION


def deadlock() -> Exception:
    """Bring two transactions into each other's way; return what ours is told."""
    import threading

    ours_has, theirs_has = threading.Event(), threading.Event()

    def theirs() -> None:
        other = connection.copy()
        try:
            other.set_autocommit(False)
            with other.cursor() as cursor:
                # Much has been written here, so that ours is the one to be undone.
                for number in range(10, 60):
                    cursor.execute("INSERT INTO judged VALUES (%s, 'x')", [number])
                cursor.execute("UPDATE judged SET name = 'b' WHERE id = 2")
                theirs_has.set()
                ours_has.wait(PATIENCE)
                cursor.execute("UPDATE judged SET name = 'b' WHERE id = 1")
            other.rollback()
        finally:
            other.close()

    thread = threading.Thread(target=theirs)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE judged SET name = 'a' WHERE id = 1")
        thread.start()
        theirs_has.wait(PATIENCE)
        ours_has.set()
        found = raised_by("UPDATE judged SET name = 'a' WHERE id = 2")
        assert undid_transaction(found, connection)
        transaction.set_rollback(True)
    thread.join()
    return found


def test_sqlite__transaction_that_it_undid_itself(committed_db: None, tmp_path: Path) -> None:
    where = {**connections.settings["default"], "ENGINE": "django.db.backends.sqlite3"}
    where |= {"NAME": str(tmp_path / "full.sqlite3"), "OPTIONS": {}}
    connections.settings["full"] = where
    full = connections["full"]
    try:
        with full.cursor() as cursor:
            cursor.execute("CREATE TABLE judged (name text)")
            cursor.execute("PRAGMA max_page_count = 2")
        with transaction.atomic(using="full"):
            with pytest.raises(DatabaseError) as raised, full.cursor() as cursor:
                cursor.execute("INSERT INTO judged VALUES (%s)", ["x" * 100_000])
            assert judge(raised.value) is Verdict.OUTAGE
            assert "space" in meaning(raised.value)
            assert undid_transaction(raised.value, full) is not full.connection.in_transaction
            transaction.set_rollback(True, using="full")
    finally:
        full.close()
        del connections["full"], connections.settings["full"]


def test_sqlite__file_that_may_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "read_only.sqlite3"
    sqlite3.connect(path).execute("CREATE TABLE judged (name text)").connection.close()
    driver = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as raised:
        driver.execute("INSERT INTO judged VALUES ('x')")
    driver.close()
    assert judge(raised.value) is Verdict.OUTAGE
    assert "read-only" in meaning(raised.value)
