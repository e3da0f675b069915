"""Short waits for locks, so that one locked row holds up nothing else.

A worker that is cut off or frozen in the middle of a transaction keeps its rows locked until the
database notices, which may take hours. Whoever keeps the ledger tidy passes over such rows, or
gives up after a moment and tries again later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

SECONDS: Final = 1
"""So long is waited for a lock. SQLite has no locks of rows; how long it waits for its only one,
says the option ``timeout`` of the site's ``DATABASES``."""

_NAMES: Final = ("innodb_lock_wait_timeout", "lock_wait_timeout")

M = TypeVar("M", bound=Model)


@contextmanager
def brief(alias: str) -> Iterator[None]:
    """Hold a transaction in which no statement waits long for a lock.

    :raises OperationalError: if one was in the way for that long.
    """
    connection = connections[alias]
    if connection.vendor == "mysql":
        with _session_of_mysql(connection), transaction.atomic(using=alias):
            yield
        return
    with transaction.atomic(using=alias):
        if connection.vendor != "postgresql":
            yield
            return
        is_inner = len(connection.atomic_blocks) > 1
        before = _ask(connection, "SELECT current_setting('lock_timeout')")[0] if is_inner else ""
        _limit(connection, f"{SECONDS}s")
        yield
        if is_inner:  # what goes on in the transaction around this one is not ours
            _limit(connection, before)


def free(rows: QuerySet[M]) -> QuerySet[M]:
    """Return those of some rows that nobody else has locked, and lock them.

    The caller holds a transaction of :func:`brief`: on databases that cannot pass over locked rows
    one of those ends it.
    """
    features: Any = connections[rows.db].features
    return rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)


def _limit(connection: BaseDatabaseWrapper, timeout: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [timeout])


def _ask(connection: BaseDatabaseWrapper, question: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()


@contextmanager
def _session_of_mysql(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """MySQL and MariaDB know no limits of a transaction, only of the session."""
    names = ", ".join(f"@@SESSION.{name}" for name in _NAMES)
    before = _ask(connection, f"SELECT {names}")
    _set(connection, [SECONDS] * len(_NAMES))
    driver = connection.connection
    try:
        yield
    finally:
        if connection.connection is driver and not connection.needs_rollback:
            with suppress(DatabaseError, InterfaceError):  # lost, and its settings with it
                _set(connection, before)


def _set(connection: BaseDatabaseWrapper, values: Any) -> None:
    with connection.cursor() as cursor:
        assignments = ", ".join(f"SESSION {name} = %s" for name in _NAMES)
        cursor.execute(f"SET {assignments}", list(values))
