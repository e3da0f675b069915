"""Keeps the caller's transaction whole, whatever becomes of what is done on the side in it.

A statement that fails endangers the transaction around it: PostgreSQL runs nothing more in it and
makes a rollback of the commit, without an error. So what may fail, and what has its errors logged,
is done within :class:`guarded`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from wagtail_async_hooks.utils.catching import as_exception, passes
from wagtail_async_hooks.utils.database.driver_state import (
    ABORTED,
    OPEN,
    UNKNOWN,
    status_on_postgresql,
)
from wagtail_async_hooks.utils.database.errors import is_lost, undid_transaction
from wagtail_async_hooks.utils.database.opened import opened

SAVEPOINT: Final = "background_task"
"""Name of the savepoint of a statement of ours; those of other names are :class:`guarded`'s."""

# The slots of the class: that of an error may have attributes of its own which are anything.
_CAUSE: Final = BaseException.__dict__["__cause__"]
_CONTEXT: Final = BaseException.__dict__["__context__"]

Otherwise = Callable[[Exception], None]


class Harmless(str):
    """A statement that endangers nothing around it when it fails, and needs no savepoint."""

    __slots__ = ()


def is_open(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a transaction is open, also one that Django has not begun."""
    if connection.in_atomic_block:
        return True
    if connection.connection is None:
        return False
    if not connection.autocommit:
        return True
    return connection.vendor == "postgresql" and status_on_postgresql(connection) in (OPEN, ABORTED)


def is_aborted(connection: BaseDatabaseWrapper) -> bool:
    """Return whether all that is left to an open transaction is its rollback."""
    if connection.needs_rollback or connection.closed_in_transaction:
        return True
    if connection.vendor == "sqlite":
        return _is_begun(connection) and not connection.connection.in_transaction
    if connection.vendor != "postgresql" or connection.connection is None:
        return False
    return status_on_postgresql(connection) in (ABORTED, UNKNOWN)


def is_undone_by(connection: BaseDatabaseWrapper, error: BaseException | None) -> bool:
    """Return whether MySQL or MariaDB has rolled back a transaction, of which Django knows nothing.

    They say so by the error of the statement alone. It may be one of another connection, too.
    """
    errors = [each for each in _chain(error) if issubclass(type(each), Error)]
    if connection.vendor != "mysql" or not errors:
        return False
    is_mariadb = connection.mysql_is_mariadb  # type: ignore[attr-defined]
    try:
        # Not by Django's cursor, which wrappers of statements may keep from it.
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute("SELECT @@in_transaction" if is_mariadb else "SELECT 0")
            (goes_on,) = cursor.fetchone()
    except Error:
        return True  # the connection is gone
    return not goes_on and any(
        undid_transaction(each, connection) for each in errors if not is_lost(each)
    )


def mark_aborted(connection: BaseDatabaseWrapper, error: BaseException | None) -> None:
    """Have Django refuse all that follows in a transaction, and roll it back at its end."""
    if connection.in_atomic_block:
        connection.needs_rollback = True
        connection.rollback_exc = error  # type: ignore[attr-defined]  # its stubs lack it


def roll_back_to_savepoint(connection: BaseDatabaseWrapper) -> None:
    """Undo what was done since a statement of ours has set its savepoint.

    :raises DatabaseError: if there is none, or the connection is gone: the transaction is marked.
    """
    undo = Harmless(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}; RELEASE SAVEPOINT {SAVEPOINT}")
    try:
        with connection.cursor() as cursor:
            cursor.execute(undo)
    except Error as error:
        mark_aborted(connection, error)
        raise


def _is_begun(connection: BaseDatabaseWrapper) -> bool:
    """Return whether Django has begun a transaction itself, rather than left it to the driver."""
    return connection.in_atomic_block and connection.commit_on_exit


class guarded:  # noqa: N801  (it is used as a function)
    """Does something on the side of the caller's transactions, without a danger for them.

    What a block does in an open transaction is undone if the block raises an error, or if it has
    broken the transaction and passed over that. Then ``otherwise`` is called with the error. Where
    the database has rolled back more than the block, or the connection is gone, nothing can make
    good for it: the transaction is marked for a rollback, and the error is raised.

    A savepoint is made before the first statement of the block, so that a block without any costs
    nothing of the database's.

    :param otherwise: what to do about an error; by default it is raised.
    :param keeps_work: whether a block that raises an error and has broken nothing keeps what it
        has written.
    """

    __slots__ = ("_keeps_work", "_otherwise", "_sides")

    def __init__(self, otherwise: Otherwise | None = None, *, keeps_work: bool = False) -> None:
        self._otherwise = otherwise
        self._keeps_work = keeps_work
        self._sides: list[_Side] = []

    def __enter__(self) -> None:
        for connection in opened():
            if is_open(connection):
                self._sides.append(_Side(connection))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None and not self._sides:
            return False
        whole, undo = True, error is not None and not self._keeps_work
        for side in reversed(self._sides):
            whole = side.end(error, undo=side.was_broken_by(error) or undo) and whole
        if error is None:
            if not any(side.is_broken for side in self._sides):
                return False
            told = TransactionManagementError(
                "A statement failed, and its error was passed over, within the transaction of the "
                "caller."
            )
            if not whole or self._otherwise is None:
                raise told
            self._otherwise(told)
            return False
        if not whole or self._otherwise is None or passes(error):
            return False
        self._otherwise(as_exception(error))
        return True


@contextmanager
def raising_if_lost() -> Iterator[None]:
    """Raise an error if a block has lost a transaction of the caller's, and says nothing of it.

    :raises TransactionManagementError: in that case.
    """
    whole = [
        connection
        for connection in connections.all(initialized_only=True)
        if connection.in_atomic_block and not connection.needs_rollback
    ]
    yield
    for connection in whole:
        if connection.needs_rollback:
            raise TransactionManagementError(
                "The transaction was lost in which a background task ran at once."
            ) from connection.rollback_exc  # type: ignore[attr-defined]


class _Side:
    """One open transaction that a block of :class:`guarded` may write in.

    It stands among the connection's wrappers of statements until the block ends.
    """

    __slots__ = ("_connection", "_hooks", "_number", "_savepoint", "_was_aborted", "is_broken")

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._hooks = len(connection.run_on_commit)
        self._savepoint = ""
        self._was_aborted = is_aborted(connection)
        self.is_broken = False
        connection.execute_wrappers.append(self)
        self._number = len(connection.execute_wrappers)

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        if not self._savepoint and not isinstance(sql, Harmless) and not self._was_aborted:
            name = f"{SAVEPOINT}_{self._number}"
            with self._connection.cursor() as cursor:
                cursor.execute(Harmless(self._connection.ops.savepoint_create_sql(name)))
            self._savepoint = name
        return execute(sql, params, many, context)

    def was_broken_by(self, error: BaseException | None) -> bool:
        """Return whether the block has broken the transaction."""
        connection = self._connection
        connection.execute_wrappers.remove(self)
        if self._was_aborted:
            return False
        self.is_broken = is_aborted(connection) or (
            not self._savepoint and is_undone_by(connection, error)
        )
        return self.is_broken

    def end(self, error: BaseException | None, *, undo: bool) -> bool:
        """End the block; return whether the transaction is as it was before, or may go on.

        :param undo: whether what was done in it is undone.
        """
        if self._was_aborted:
            return error is None
        try:
            if self._savepoint:
                self._connection.needs_rollback = False  # else no statement is run
                self._leave(undo=undo)
            elif self.is_broken:
                mark_aborted(self._connection, error)
                return False
        except Error as failed:
            # There is no such savepoint any more, or no connection.
            self.is_broken = True
            mark_aborted(self._connection, error or failed)
            return False
        if undo:
            del self._connection.run_on_commit[self._hooks :]
        return True

    def _leave(self, *, undo: bool) -> None:
        ops = self._connection.ops
        with self._connection.cursor() as cursor:
            if undo:
                cursor.execute(Harmless(ops.savepoint_rollback_sql(self._savepoint)))
            cursor.execute(Harmless(ops.savepoint_commit_sql(self._savepoint)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and what it comes from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = _CAUSE.__get__(error) or _CONTEXT.__get__(error)
