"""Runs the statements that every task needs by the database driver, past Django's cursor.

Of the time of a task that does nothing, Django's cursor took an eighth on SQLite, for which it
rewrites the placeholders of each statement, and on PostgreSQL a third of what the statement costs
the process.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper


def rows_of(
    connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Run a statement, and return its rows.

    :param statement: with ``%s`` for each parameter; outside a transaction it commits by itself.
    :raises DatabaseError: Django's, as by its own cursor.
    """
    connection.ensure_connection()
    if _is_watched(connection) or not _is_known(connection):
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())
    with connection.wrap_database_errors:
        return _run(connection, statement, parameters)


@contextmanager
def together(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Hold a transaction for a few statements of :func:`rows_of`, on SQLite past Django's.

    Nothing within may hold a transaction of its own, or wait for its end.

    :raises DatabaseError: Django's.
    """
    connection.ensure_connection()
    is_watched = _is_watched(connection) or not connection.get_autocommit()
    if is_watched or connection.vendor != "sqlite":
        with transaction.atomic(using=connection.alias):
            yield
        return
    driver: Any = connection.connection
    with connection.wrap_database_errors:
        try:
            driver.execute("BEGIN IMMEDIATE")
            yield
            driver.execute("COMMIT")
        except BaseException:
            if driver.in_transaction:
                driver.execute("ROLLBACK")
            raise


def takes_several(connection: BaseDatabaseWrapper) -> bool:
    """Return whether PostgreSQL's driver can run several statements with values at once.

    That needs the values within the statements, as Django has them unless it is told otherwise:
    psycopg 2 keeps no result but the last one, and the server binds values to one statement only.
    """
    if not hasattr(connection.connection, "pgconn"):
        return False
    from psycopg import ClientCursor

    made: Any = connection.connection.cursor_factory
    return not _is_seen(connection) or issubclass(made, ClientCursor)


def several(
    connection: BaseDatabaseWrapper, statements: str, values: Sequence[Any]
) -> list[list[tuple[Any, ...]]]:
    """Run several statements in one round trip; return the rows of each, none where it has none.

    Where Django refuses to go on in a broken transaction, that is for the caller to see to.

    :param statements: where :func:`takes_several`, with ``%s`` for each of the values.
    :raises DatabaseError: Django's, as by its own cursor.
    """
    if _is_seen(connection):
        with connection.cursor() as cursor:
            cursor.execute(statements, values)
            return _results(cursor)
    from psycopg import ClientCursor

    with connection.wrap_database_errors:
        return _results(ClientCursor(connection.connection).execute(statements, values))


def _results(cursor: Any) -> list[list[tuple[Any, ...]]]:
    results = [cursor.fetchall() if cursor.description else []]
    while cursor.nextset():
        results.append(cursor.fetchall() if cursor.description else [])
    return results


def _is_watched(connection: BaseDatabaseWrapper) -> bool:
    """Return whether statements are logged or wrapped, or Django has to see them, in a transaction.

    Django refuses to go on in a transaction that is broken.
    """
    return connection.in_atomic_block or _is_seen(connection)


def _is_seen(connection: BaseDatabaseWrapper) -> bool:
    return bool(connection.execute_wrappers or connection.queries_logged)


def _is_known(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the driver is one of those whose own interface is used here."""
    driver: Any = connection.connection
    return connection.vendor == "sqlite" or hasattr(driver, "pgconn")  # psycopg 3


def _run(
    connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    driver: Any = connection.connection
    if connection.vendor == "sqlite":
        return list(driver.execute(_marked(statement), parameters).fetchall())
    from wagtail_async_hooks.utils.database import libpq

    if libpq.takes(driver):
        return libpq.rows_of(driver, statement, parameters)
    from psycopg import Cursor

    # Not the connection's own kind of cursor, which is Django's.
    return Cursor(driver).execute(statement, parameters).fetchall()


@functools.lru_cache(maxsize=64)
def _marked(statement: str) -> str:
    """Return a statement with the placeholders of SQLite's driver."""
    return statement.replace("%s", "?").replace("%%", "%")
