"""Runs the INSERT of tasks so that neither its failure nor a lock costs the caller anything.

An editor waits for it, in a transaction that holds the editor's change. PostgreSQL would abort that
if the INSERT fails, so there is a savepoint, in the same round trip. SQLite, MySQL and MariaDB undo
the failed statement alone; where they roll back more, no savepoint would help.

Nobody waits for a lock on the ledger for longer than ``locks.LOCK_WAIT``, and who records several
tasks waits so long for one of them only. That does not hold for SQLite, whose one lock is that of
the whole database: there, what counts is the site's ``timeout``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.ledger import locks, raw_sql
from wagtail_async_hooks.utils.database.errors import is_contention
from wagtail_async_hooks.utils.database.transactions import (
    SAVEPOINT,
    Harmless,
    is_aborted,
    is_open,
    is_undone_by,
    mark_aborted,
    roll_back_to_savepoint,
)

# On PostgreSQL the limit holds until the transaction ends, so the site's own is put back. A setting
# of our own keeps it meanwhile: nothing has to be asked for before.
_KEPT: Final = "'wagtail_async_hooks.lock_timeout'"
_KEEP: Final = f"set_config({_KEPT}, current_setting('lock_timeout'), true)"
_PUT_BACK: Final = f"set_config('lock_timeout', current_setting({_KEPT}), true)"


def insert(connection: BaseDatabaseWrapper, into: str, values: Sequence[Any]) -> list[int]:
    """Insert rows by one statement; return their primary keys, in their order.

    MySQL tells only the key of the first one.

    :param into: the INSERT from ``INTO`` on, with ``%s`` for each value.
    :raises Exception: if it failed. The caller's transaction is as it was before, or, where that
        cannot be, marked for a rollback.
    """
    try:
        if connection.vendor == "postgresql":
            keys = _insert_on_postgresql(connection, into, values)
        else:
            keys = _insert(connection, into, values)
    except Exception as error:
        if is_contention(error):
            locks.note_wait(connection, in_vain=True)
        raise
    locks.note_wait(connection, in_vain=False)
    return keys


def _insert(connection: BaseDatabaseWrapper, into: str, values: Sequence[Any]) -> list[int]:
    kind, held_up = locks.kind_of(connection), locks.is_held_up(connection)
    statement = locks.bounded(kind, f"INSERT {into}", held_up)
    try:
        if connection.features.can_return_columns_from_insert:
            returning = Harmless(f"{statement} RETURNING id")
            return _keys(raw_sql.rows_of(connection, returning, values))
        with connection.cursor() as cursor:  # MySQL
            cursor.execute(Harmless(statement), values)
            return [int(cursor.lastrowid)]
    except Exception as error:
        if is_open(connection) and (is_aborted(connection) or is_undone_by(connection, error)):
            mark_aborted(connection, error)
        raise


# PostgreSQL ---------------------------------------------------------------------------------


def _insert_on_postgresql(
    connection: BaseDatabaseWrapper, into: str, values: Sequence[Any]
) -> list[int]:
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    if not is_open(connection):
        if not raw_sql.takes_several(connection):
            return _one_by_one(connection, into, values)
        # Several statements at once are one transaction, with which the limit ends.
        statements = _alone(into, locks.is_held_up(connection))
        _, rows, *_ = raw_sql.several(connection, statements, values)
        return _keys(rows)
    if not raw_sql.takes_several(connection):
        return _one_by_one(connection, into, values)
    try:
        statements = _in_transaction(into, locks.is_held_up(connection))
        _, _, rows, *_ = raw_sql.several(connection, statements, values)
        return _keys(rows)
    except BaseException:
        if is_aborted(connection):  # else the statement was not even sent
            with suppress(Error):  # of which the transaction bears the mark
                roll_back_to_savepoint(connection)
        raise


@functools.lru_cache(maxsize=64)
def _alone(into: str, held_up: bool) -> Harmless:
    return Harmless(f"{_limit(held_up)}; INSERT {into} RETURNING id")


@functools.lru_cache(maxsize=64)
def _in_transaction(into: str, held_up: bool) -> Harmless:
    return Harmless(
        f"SAVEPOINT {SAVEPOINT}; {_limit(held_up)}; INSERT {into} RETURNING id, {_PUT_BACK}; "
        f"RELEASE SAVEPOINT {SAVEPOINT}"
    )


def _limit(held_up: bool) -> str:
    return f"SELECT {_KEEP}, {locks.limit_on_postgresql(held_up)}"


def _one_by_one(connection: BaseDatabaseWrapper, into: str, values: Sequence[Any]) -> list[int]:
    """Do the same where the driver takes one statement at a time."""
    with locks.brief(connection.alias, in_request=True), connection.cursor() as cursor:
        cursor.execute(f"INSERT {into} RETURNING id", values)
        return _keys(cursor.fetchall())


def _keys(rows: Sequence[Sequence[Any]]) -> list[int]:
    """Return the primary keys, which are what an INSERT returns first."""
    return [int(row[0]) for row in rows]
