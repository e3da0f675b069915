"""What keeps a task from being recorded: each is made for real, in the tests' own database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.db import OperationalError, connection, connections

TABLE = "wagtail_async_hooks_backgroundtask"  # not by the model: faults are listed without Django


def run_sql(*statements: str) -> None:
    """Run statements that have no values."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def no_table() -> Iterator[None]:
    """As on a site that has not migrated yet."""
    run_sql(f"ALTER TABLE {TABLE} RENAME TO {TABLE}_away")
    try:
        yield
    finally:
        run_sql(f"ALTER TABLE {TABLE}_away RENAME TO {TABLE}")


@contextmanager
def newer_column() -> Iterator[None]:
    """As where a migration of a newer release has run, and this process is of the old one."""
    if connection.vendor == "sqlite":  # which adds none without a default
        with refusing("newer"):
            yield
        return
    run_sql(f"ALTER TABLE {TABLE} ADD COLUMN newer integer NOT NULL")
    if connection.vendor == "mysql":  # which has a default of its own where it is not strict
        run_sql(f"ALTER TABLE {TABLE} ALTER COLUMN newer DROP DEFAULT")
    try:
        yield
    finally:
        run_sql(f"ALTER TABLE {TABLE} DROP COLUMN newer")


@contextmanager
def missing_column() -> Iterator[None]:
    """As where a process of a newer release runs before the migration."""
    run_sql(f"ALTER TABLE {TABLE} RENAME COLUMN title TO title_away")
    try:
        yield
    finally:
        run_sql(f"ALTER TABLE {TABLE} RENAME COLUMN title_away TO title")


@contextmanager
def disk_full() -> Iterator[None]:
    """The server says that there is no space left; SQLite really has none."""
    if connection.vendor != "sqlite":
        with refusing("disk full", sqlstate="53100", number=1114):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE filler (data BLOB)")
        (pages,) = cursor.execute("PRAGMA page_count").fetchone()
        (limit,) = cursor.execute("PRAGMA max_page_count").fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
        # What is free within the file is taken, but for some bytes of each page.
        with suppress(OperationalError):  # it is full
            while True:
                cursor.execute("INSERT INTO filler VALUES (zeroblob(3000))")
    try:
        yield
    finally:
        run_sql(f"PRAGMA max_page_count = {limit}", "DROP TABLE filler", "VACUUM")


@contextmanager
def refusing(what: str, sqlstate: str = "23514", number: int = 1644) -> Iterator[None]:
    """A trigger of the site's refuses what is inserted.

    :param sqlstate: of PostgreSQL's error.
    :param number: of MySQL's error.
    """
    if connection.vendor == "postgresql":
        run_sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{what}' USING ERRCODE = '{sqlstate}'; END $$",
            f"CREATE TRIGGER refuse BEFORE INSERT ON {TABLE} "
            "FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        end = f"DROP TRIGGER refuse ON {TABLE}; DROP FUNCTION refuse()"
    elif connection.vendor == "mysql":
        run_sql(
            f"CREATE TRIGGER refuse BEFORE INSERT ON {TABLE} FOR EACH ROW "
            f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{what}'"
        )
        end = "DROP TRIGGER refuse"
    else:
        run_sql(
            f"CREATE TRIGGER refuse BEFORE INSERT ON {TABLE} "
            f"BEGIN SELECT RAISE(ABORT, '{what}'); END"
        )
        end = "DROP TRIGGER refuse"
    try:
        yield
    finally:
        run_sql(end)


@contextmanager
def locked(mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
    """Another session holds a lock on the ledger.

    :param mode: PostgreSQL's.
    """
    with elsewhere() as run:
        if connection.vendor == "postgresql":
            run("BEGIN", f"LOCK TABLE {TABLE} IN {mode} MODE")
        elif connection.vendor == "mysql":
            run(f"LOCK TABLES {TABLE} {'READ' if mode == 'SHARE' else 'WRITE'}")
        else:
            run("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            run("UNLOCK TABLES" if connection.vendor == "mysql" else "ROLLBACK")


@contextmanager
def elsewhere() -> Iterator[Callable[..., None]]:
    """Return what runs statements on another connection to the same database."""
    other = connections["default"].copy()
    other.inc_thread_sharing()

    def run(*statements: str) -> None:
        with other.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    try:
        yield run
    finally:
        other.close()
        other.dec_thread_sharing()


@contextmanager
def in_thread(work: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread, with its own connection, until the block ends."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            problems.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    for problem in problems:
        raise problem
