"""Runs a statement that each task needs by the database's driver, where Django's cursor adds much.

Of the time of a task that does nothing, Django's cursor took an eighth on SQLite, for which it
rewrites the placeholders of each statement, and on PostgreSQL a third of what the statement costs
the process.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

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


def _is_watched(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether somebody wants to see each statement, or Django itself has to, in a transaction.

    Django refuses to go on in a transaction that is broken.
    """
    return bool(
        connection.in_atomic_block or connection.execute_wrappers or connection.queries_logged
    )


def _is_known(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether the driver is one of those whose own interface is used here."""
    driver: Any = connection.connection
    return connection.vendor == "sqlite" or hasattr(driver, "pgconn")  # psycopg 3


def _run(
    connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    driver: Any = connection.connection
    if connection.vendor == "sqlite":
        return list(driver.execute(_marked(statement), parameters).fetchall())
    from psycopg import Cursor

    # Not the connection's own kind of cursor, which is Django's.
    return Cursor(driver).execute(statement, parameters).fetchall()


@functools.lru_cache(maxsize=64)
def _marked(statement: str) -> str:
    """Return a statement with the placeholders of SQLite's driver."""
    return statement.replace("%s", "?").replace("%%", "%")
