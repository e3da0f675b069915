"""Runs the INSERT of a task so that neither its failure nor a lock costs the caller anything.

An editor waits for it, in a transaction that holds the editor's change. PostgreSQL would abort that
if the INSERT fails, so there is a savepoint, in the same round trip. SQLite, MySQL and MariaDB undo
the failed statement alone; where they roll back more, no savepoint would help.

Nobody waits for a lock on the ledger for longer than :data:`LOCK_WAIT`, and who records several
tasks waits so long for one of them only. That does not hold for SQLite, whose one lock is that of
the whole database: there, what counts is the site's ``timeout``.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from django.db import Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.ledger import raw_sql
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

LOCK_WAIT: Final = 1
"""Seconds that an INSERT waits for a lock at most; a site's own limit counts if it is shorter."""

HELD_UP: Final = 5.0
"""Seconds after such a wait in which nobody waits again, but for a moment."""

_held_up: Final[dict[str, float]] = {}
"""When somebody waited in vain last, by database."""

# On PostgreSQL the limit holds until the transaction ends, so the site's own is put back. A setting
# of our own keeps it meanwhile: nothing has to be asked for before.
_KEPT: Final = "'wagtail_async_hooks.lock_timeout'"
_NOW: Final = "current_setting('lock_timeout')"
_LIMIT: Final = f"""SELECT set_config({_KEPT}, {_NOW}, true), set_config('lock_timeout',
CASE WHEN {_NOW}::interval > '0' AND {_NOW}::interval < '{{0}}' THEN {_NOW}
ELSE '{{0}}' END, true)"""
_PUT_BACK: Final = f"set_config('lock_timeout', current_setting({_KEPT}), true)"

_LIMIT_OF_MARIADB: Final = "SET STATEMENT " + ", ".join(
    f"{name} = LEAST(@@{name}, {{0}})" for name in ("lock_wait_timeout", "innodb_lock_wait_timeout")
)
_LIMIT_OF_MYSQL: Final = (
    f"/*+ SET_VAR(lock_wait_timeout = {LOCK_WAIT}) "
    f"SET_VAR(innodb_lock_wait_timeout = {LOCK_WAIT}) */"
)


def insert(connection: BaseDatabaseWrapper, into: str, values: Sequence[Any]) -> int:
    """Insert a row; return its primary key.

    :param into: the INSERT from ``INTO`` on, with ``%s`` for each value.
    :raises Exception: if it failed. The caller's transaction is as it was before, or, where that
        cannot be, marked for a rollback.
    """
    try:
        if connection.vendor == "postgresql":
            pk = _insert_on_postgresql(connection, into, values)
        else:
            pk = _insert(connection, into, values)
    except Exception as error:
        if is_contention(error):
            _held_up[connection.alias] = time.monotonic()
        raise
    _held_up.pop(connection.alias, None)
    return pk


def _insert(connection: BaseDatabaseWrapper, into: str, values: Sequence[Any]) -> int:
    wait = _is_held_up(connection)
    statement = _bounded(_kind_of(connection), f"INSERT {into}", wait)
    try:
        if connection.features.can_return_columns_from_insert:
            returning = Harmless(f"{statement} RETURNING id")
            [(pk,)] = raw_sql.rows_of(connection, returning, values)
        else:  # MySQL
            with connection.cursor() as cursor:
                cursor.execute(Harmless(statement), values)
                pk = cursor.lastrowid
    except Exception as error:
        if is_open(connection) and (is_aborted(connection) or is_undone_by(connection, error)):
            mark_aborted(connection, error)
        raise
    return int(pk)


@contextmanager
def without_long_waits(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Run several statements, all of them or none, each of which waits no longer for a lock."""
    with transaction.atomic(using=connection.alias):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(_LIMIT.format(_wait_on_postgresql(connection)))
                yield
                cursor.execute(f"SELECT {_PUT_BACK}")
        else:
            bounds = _kind_of(connection), _is_held_up(connection)
            with connection.execute_wrapper(functools.partial(_run_bounded, *bounds)):
                yield


def _run_bounded(
    kind: str,
    held_up: bool,
    execute: Callable[..., Any],
    sql: Any,
    params: Any,
    many: bool,
    context: Any,
) -> Any:
    writes = isinstance(sql, str) and sql.startswith(("INSERT ", "UPDATE ", "DELETE "))
    return execute(_bounded(kind, sql, held_up) if writes else sql, params, many, context)


def _is_held_up(connection: BaseDatabaseWrapper) -> bool:
    """Return whether somebody has waited for a lock just now, in vain."""
    since = _held_up.get(connection.alias)
    return since is not None and time.monotonic() - since < HELD_UP


def _wait_on_postgresql(connection: BaseDatabaseWrapper) -> str:
    return "50ms" if _is_held_up(connection) else f"{LOCK_WAIT}s"


def _kind_of(connection: BaseDatabaseWrapper) -> str:
    if connection.vendor == "mysql" and connection.mysql_is_mariadb:  # type: ignore[attr-defined]
        return "mariadb"
    return connection.vendor


@functools.lru_cache(maxsize=64)
def _bounded(kind: str, statement: str, held_up: bool) -> str:
    """Return a statement that writes, and does not wait for longer for a lock.

    :param kind: of the database.
    :param held_up: whether somebody has waited in vain just now; MySQL waits a second at least.
    """
    if kind == "mariadb":
        return f"{_LIMIT_OF_MARIADB.format(0 if held_up else LOCK_WAIT)} FOR {statement}"
    if kind == "mysql":
        return statement.replace(" ", f" {_LIMIT_OF_MYSQL} ", 1)
    return statement


# PostgreSQL ---------------------------------------------------------------------------------


def _insert_on_postgresql(connection: BaseDatabaseWrapper, into: str, values: Sequence[Any]) -> int:
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    if not is_open(connection):
        if not raw_sql.takes_several(connection):
            return _one_by_one(connection, into, values)
        # Several statements at once are one transaction, with which the limit ends.
        statements = _alone(into, _wait_on_postgresql(connection))
        return _first(raw_sql.several(connection, statements, values))
    if not raw_sql.takes_several(connection):
        return _one_by_one(connection, into, values)
    try:
        statements = _in_transaction(into, _wait_on_postgresql(connection))
        _, *results = raw_sql.several(connection, statements, values)
        return _first(results)
    except BaseException:
        if is_aborted(connection):  # else the statement was not even sent
            with suppress(Error):  # of which the transaction bears the mark
                roll_back_to_savepoint(connection)
        raise


@functools.lru_cache(maxsize=64)
def _alone(into: str, wait: str) -> Harmless:
    return Harmless(f"{_LIMIT.format(wait)}; INSERT {into} RETURNING id")


@functools.lru_cache(maxsize=64)
def _in_transaction(into: str, wait: str) -> Harmless:
    return Harmless(
        f"SAVEPOINT {SAVEPOINT}; {_LIMIT.format(wait)}; INSERT {into} RETURNING id, {_PUT_BACK}; "
        f"RELEASE SAVEPOINT {SAVEPOINT}"
    )


def _first(results: Sequence[Sequence[Any]]) -> int:
    """Return the primary key, from the rows of the limit and those of the INSERT."""
    (pk, *_), *_ = results[1]
    return int(pk)


def _one_by_one(connection: BaseDatabaseWrapper, into: str, values: Sequence[Any]) -> int:
    """Do the same where the driver takes one statement at a time."""
    with without_long_waits(connection), connection.cursor() as cursor:
        cursor.execute(f"INSERT {into} RETURNING id", values)
        (pk,) = cursor.fetchone()
    return int(pk)
