"""Short waits for locks, so that one locked row holds up nothing else.

A worker that is cut off or frozen in the middle of a transaction keeps its rows locked until the
database notices, which may take hours. Whoever keeps the ledger tidy passes over such rows, or
gives up after a moment and tries again later; and no request waits for the ledger for longer.

Limits are those of a transaction on PostgreSQL, of a statement on MariaDB, and of the session on
MySQL. A site's own limit counts if it is shorter. SQLite has no locks of rows; how long it waits
for its only one, says the option ``timeout`` of the site's ``DATABASES``.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

LOCK_WAIT: Final = 1
"""Seconds that a statement waits for a lock at most."""

HELD_UP: Final = 5.0
"""Seconds after a wait in vain in which no request waits again, but for a moment."""

_held_up: Final[dict[str, float]] = {}
"""When a request has waited in vain last, by database."""

_NAMES: Final = ("lock_wait_timeout", "innodb_lock_wait_timeout")
"""The limits of MySQL and MariaDB: for locks of tables, and for those of rows."""

_NOW: Final = "current_setting('lock_timeout')"
_LIMIT: Final = f"""set_config('lock_timeout',
CASE WHEN {_NOW}::interval > '0' AND {_NOW}::interval < '{{0}}' THEN {_NOW}
ELSE '{{0}}' END, true)"""

_LIMIT_OF_MARIADB: Final = "SET STATEMENT " + ", ".join(
    f"{name} = LEAST(@@{name}, {{0}})" for name in _NAMES
)
_LIMIT_OF_MYSQL: Final = "/*+ " + " ".join(f"SET_VAR({n} = {LOCK_WAIT})" for n in _NAMES) + " */"
_LIMIT_OF_SESSION: Final = "SET " + ", ".join(
    f"SESSION {name} = LEAST(@@SESSION.{name}, {LOCK_WAIT})" for name in _NAMES
)

READ_COMMITTED: Final = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
"""Before a transaction: it locks no gaps."""

M = TypeVar("M", bound=Model)


@contextmanager
def gaps_left_free(alias: str) -> Iterator[None]:
    """Hold a transaction that locks rows on MySQL and MariaDB, but not the gaps between them.

    Who inserts there would wait for its end. Django asks for the isolation that has no such locks
    unless it is told otherwise; here it is asked for once more, for this transaction.
    """
    _leave_gaps_free(connections[alias])
    with transaction.atomic(using=alias):
        yield


@contextmanager
def brief(alias: str, *, in_request: bool = False) -> Iterator[None]:
    """Hold a transaction in which no statement waits long for a lock.

    :param in_request: hardly wait at all if another request has just waited in vain.
    :raises OperationalError: if another transaction was in the way for that long.
    """
    connection = connections[alias]
    held_up = in_request and is_held_up(connection)
    kind = kind_of(connection)
    _leave_gaps_free(connection)
    if kind == "mysql":
        with _session_of_mysql(connection), transaction.atomic(using=alias):
            yield
        return
    with transaction.atomic(using=alias):
        if kind == "postgresql":
            is_inner = len(connection.atomic_blocks) > 1
            limit = limit_on_postgresql(held_up)
            [before, _] = _ask(connection, f"SELECT {_NOW}, {limit}")
            yield
            if is_inner:  # what goes on in the transaction around this one is not ours
                _ask(connection, "SELECT set_config('lock_timeout', %s, true)", [before])
        elif kind == "mariadb":
            with connection.execute_wrapper(functools.partial(_run_bounded, held_up)):
                yield
        else:
            yield


def free(rows: QuerySet[M]) -> QuerySet[M]:
    """Return those of some rows that nobody else has locked, and lock them.

    The caller holds a transaction of :func:`brief`: on databases that cannot pass over locked rows
    one of those ends it.
    """
    features: Any = connections[rows.db].features
    return rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)


def locks_gaps(connection: BaseDatabaseWrapper) -> bool:
    """Return whether transactions lock gaps on MySQL or MariaDB, as a site has set them to."""
    connection.ensure_connection()
    isolation: str | None = connection.isolation_level  # type: ignore[attr-defined]
    return isolation != "read committed"


def is_held_up(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a request has waited for a lock just now, in vain."""
    since = _held_up.get(connection.alias)
    return since is not None and time.monotonic() - since < HELD_UP


def note_wait(connection: BaseDatabaseWrapper, *, in_vain: bool) -> None:
    """Note whether a request has waited for a lock in vain, or got what it asked for."""
    if in_vain:
        _held_up[connection.alias] = time.monotonic()
    else:
        _held_up.pop(connection.alias, None)


def limit_on_postgresql(held_up: bool) -> str:
    """Return the expression that limits the waits of a transaction."""
    return _LIMIT.format("50ms" if held_up else f"{LOCK_WAIT}s")


def kind_of(connection: BaseDatabaseWrapper) -> str:
    """Return the vendor of a database; ``"mariadb"`` is a kind of its own."""
    if connection.vendor == "mysql" and connection.mysql_is_mariadb:  # type: ignore[attr-defined]
        return "mariadb"
    return connection.vendor


@functools.lru_cache(maxsize=64)
def bounded(kind: str, statement: str, held_up: bool) -> str:
    """Return a statement that does not wait for longer for a lock, on MySQL and MariaDB.

    :param kind: of the database.
    :param held_up: whether a request has waited in vain just now; MySQL waits a second at least.
    """
    if kind == "mariadb":
        return f"{_LIMIT_OF_MARIADB.format(0 if held_up else LOCK_WAIT)} FOR {statement}"
    if kind == "mysql":
        return statement.replace(" ", f" {_LIMIT_OF_MYSQL} ", 1)
    return statement


def _run_bounded(
    held_up: bool, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
) -> Any:
    if isinstance(sql, str) and sql.startswith(("SELECT ", "INSERT ", "UPDATE ", "DELETE ")):
        sql = bounded("mariadb", sql, held_up)
    return execute(sql, params, many, context)


def _leave_gaps_free(connection: BaseDatabaseWrapper) -> None:
    """Ask for another isolation of the next transaction, unless one is open, or it is that one."""
    if connection.vendor != "mysql" or connection.in_atomic_block:
        return
    if locks_gaps(connection) and connection.get_autocommit():
        _set(connection, READ_COMMITTED)


def _ask(connection: BaseDatabaseWrapper, question: str, values: Any = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(question, values)
        return cursor.fetchone()


@contextmanager
def _session_of_mysql(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Limit the waits of a session; MySQL has no such limits of a transaction."""
    before = _ask(connection, "SELECT " + ", ".join(f"@@SESSION.{name}" for name in _NAMES))
    _set(connection, _LIMIT_OF_SESSION)
    driver = connection.connection
    try:
        yield
    finally:
        if connection.connection is driver and not connection.needs_rollback:
            with suppress(DatabaseError, InterfaceError):  # lost, and its settings with it
                _set(connection, "SET " + ", ".join(f"SESSION {n} = %s" for n in _NAMES), before)


def _set(connection: BaseDatabaseWrapper, statement: str, values: Any = None) -> None:
    # Not by Django's cursor: what watches it would take the session for one that stays changed.
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(statement, values)
