"""What a function leaves behind in the database connections of its thread, and its end.

A transaction that it did not end is rolled back, and the task fails: what it wrote there is lost.
A session that it has changed (``SET``, ``LOCK TABLES``, temporary tables, locks by name,
``PRAGMA``) is replaced, by closing the connection. What a driver is told past Django's cursor, or
what a stored procedure does to the session, is not noticed.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, cast

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from wagtail_async_hooks.exceptions import TransactionLeftOpen
from wagtail_async_hooks.serialization.context import apart
from wagtail_async_hooks.utils.database.driver_state import (
    is_clean,
    is_in_transaction,
    knows_transactions,
)
from wagtail_async_hooks.utils.database.opened import drop, forget, opened

logger = logging.getLogger(__name__)

_ORDINARY: Final = frozenset({"INSERT", "UPDATE", "DELETE"})
_QUERY: Final = "SELECT"

_BEGINS: Final = re.compile(r"\s*(BEGIN|START\s+TRANSACTION)\b", re.IGNORECASE)
_ENDS: Final = re.compile(r"\s*(COMMIT|ROLLBACK(?!\s+TO)|END)\b", re.IGNORECASE)
"""Needed where the driver does not say whether a transaction is open."""

_CHANGES: Final = re.compile(
    r"""\s*(?:
        SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b|STATEMENT\b)
        | RESET\b | DISCARD\b | LISTEN\b | LOAD\b | PREPARE\b | USE\b | HANDLER\b | XA\b
        | LOCK\s+TABLES?\b | FLUSH\b | BACKUP\b | ATTACH\b | DETACH\b
        | CREATE\s+(?:OR\s+REPLACE\s+)?(?:GLOBAL\s+|LOCAL\s+)?TEMP(?:ORARY)?\b
        | DECLARE\b.*\bWITH\s+HOLD\b
        | PRAGMA\s+(?!(?:\w+\.)?(?:table_\w+|index_\w+|foreign_key_(?:list|check)|data_version
            |integrity_check|quick_check|wal_checkpoint|optimize|database_list)\b)
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_CALLS: Final = ("advisory_lock", "get_lock(", "set_config(", " into temp")
"""What a statement may call, or be, beside what it begins with."""

_COMMENT: Final = re.compile(r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)+", re.DOTALL)


class _Thread(threading.local):
    """What watches the connections of this thread, and those that Django's handler has had."""

    guard: Guard | None = None

    def __init__(self) -> None:
        self.by_alias: dict[str, BaseDatabaseWrapper] = {}


_here: Final = _Thread()


class _State(NamedTuple):
    """What a connection was like before the function was called."""

    savepoints: tuple[str | None, ...] = ()
    blocks: int = 0
    in_atomic_block: bool = False
    wrappers: tuple[Any, ...] = ()
    debug: bool = False
    is_shared: bool = False
    is_clean: bool = True


_FRESH: Final = _State()


def call(function: Callable[[], Any], name: Callable[[], str]) -> Any:
    """Call a function in somebody else's request, and put the connections back.

    :param name: returns what is called, for the log.
    :raises TransactionLeftOpen: if the function returned and left one open.
    """
    guard = Guard(sessions=False)
    guard.begin()
    try:
        value = apart(function)
    except BaseException:
        guard.end(name)
        raise
    if lost := guard.end(name):
        raise TransactionLeftOpen(lost)
    return value


class Guard:
    """Looks after the connections of this thread while a function runs.

    :param sessions: also replace connections whose session the function has changed: the thread
        serves nobody else.
    """

    __slots__ = ("_before", "_begun", "_changed", "_lost", "_outer", "_sessions")

    def __init__(self, *, sessions: bool) -> None:
        self._sessions = sessions
        self._changed: set[BaseDatabaseWrapper] = set()
        self._begun: set[BaseDatabaseWrapper] = set()
        self._before: dict[BaseDatabaseWrapper, _State] = {}
        self._lost: list[str] = []
        self._outer = _here.guard

    def begin(self) -> None:
        """The function is about to be called."""
        for wrapper in opened():
            # In a worker's thread, what is not in an atomic block is clean at this moment.
            was_clean = self._sessions or is_clean(wrapper)
            is_plain = not (wrapper.execute_wrappers or wrapper.force_debug_cursor)
            if wrapper.in_atomic_block or not (was_clean and is_plain):
                self._before[wrapper] = _State(
                    tuple(wrapper.savepoint_ids),
                    len(wrapper.atomic_blocks),
                    wrapper.in_atomic_block,
                    tuple(wrapper.execute_wrappers),
                    wrapper.force_debug_cursor,
                    wrapper.allow_thread_sharing,
                    was_clean,
                )
            if self._sessions:
                wrapper.execute_wrappers.append(self._watch)
        _here.guard = self

    def end(self, name: Callable[[], str]) -> list[str]:
        """Put the connections back; return the databases where a transaction was left open.

        :param name: returns what was called, for the log.
        """
        _here.guard = self._outer
        lost = self._put_back(name)
        return [*self._lost, *lost]

    def pause(self, name: Callable[[], str]) -> None:
        """Put the connections back, as something else is to use them until the next ``begin()``."""
        self._lost = self.end(name)
        self._before.clear()
        self._begun.clear()
        self._changed.clear()

    def _put_back(self, name: Callable[[], str]) -> list[str]:
        lost = []
        for wrapper in opened():
            before = self._before.get(wrapper, _FRESH)
            if wrapper.execute_wrappers:
                wrapper.execute_wrappers[:] = before.wrappers
            if wrapper.force_debug_cursor is not before.debug:
                wrapper.force_debug_cursor = before.debug
            if before.in_atomic_block:
                if _has_entered_more(wrapper, before):
                    _leave(wrapper, before)
                    lost.append(wrapper.alias)
            elif before.is_clean and not self._is_clean(wrapper, before):
                if is_in_transaction(wrapper) or wrapper in self._begun:
                    lost.append(wrapper.alias)
                _replace(wrapper, name)
        for alias in lost:
            logger.warning(
                "%s left a transaction of the database %r open, which is rolled back: what was "
                "written there is lost.",
                name(),
                alias,
            )
        return lost

    def _is_clean(self, wrapper: BaseDatabaseWrapper, before: _State) -> bool:
        if not is_clean(wrapper) or wrapper in self._begun:
            return False
        return not self._sessions or not (
            wrapper in self._changed or (wrapper.allow_thread_sharing and not before.is_shared)
        )

    def _watch(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        if type(sql) is not str or sql[:6] not in _ORDINARY:
            self._look_at(sql, context["connection"])
        return execute(sql, params, many, context)

    def _look_at(self, statement: Any, wrapper: BaseDatabaseWrapper) -> None:
        text = statement if isinstance(statement, str) else _text_of(statement, wrapper)
        lowered = text.lower()
        if any(call in lowered for call in _CALLS):
            self._changed.add(wrapper)
        if text.startswith(_QUERY):
            return
        if text.lstrip()[:2] in ("--", "/*"):
            text = _COMMENT.sub("", text, count=1)
        if _CHANGES.match(text):
            self._changed.add(wrapper)
        elif not knows_transactions(wrapper):
            if _BEGINS.match(text):
                self._begun.add(wrapper)
            elif _ENDS.match(text):
                self._begun.discard(wrapper)


@contextmanager
def set_aside(name: Callable[[], str]) -> Iterator[None]:
    """While this thread does something else than to call the function that is watched here."""
    guard = _here.guard
    if guard is None:
        yield
        return
    guard.pause(name)
    try:
        yield
    finally:
        guard.begin()


def watched(function: Callable[[], Any], name: Callable[[], str]) -> Any:
    """Call a part of a task's function in a thread that serves such functions only.

    :param name: returns what it is a part of, for the log.
    :raises TransactionLeftOpen: if it returned and left one open.
    """
    guard = Guard(sessions=True)
    guard.begin()
    try:
        value = function()
    except BaseException:
        guard.end(name)
        raise
    if lost := guard.end(name):
        raise TransactionLeftOpen(lost)
    return value


def tidy() -> None:
    """Do between tasks what Django does between requests: no connection is old, broken, or busy.

    What a function left is put back already. Others are called around it, such as receivers.
    """
    for wrapper in opened():
        if not is_clean(wrapper):
            logger.warning(
                "The connection to the database %r is replaced: something that is called before "
                "or after a task, such as a receiver, left a transaction open.",
                wrapper.alias,
            )
            _replace(wrapper, lambda: "a task")
        is_checked = wrapper.health_check_enabled  # type: ignore[attr-defined]  # its stubs lack it
        if wrapper.errors_occurred or wrapper.close_at is not None or is_checked:
            wrapper.close_if_unusable_or_obsolete()
        if wrapper.queries_log:
            wrapper.queries_log.clear()


def restore_handler() -> None:
    """Have Django's handler make its own connections again, where a function has put others."""
    for alias in connections:
        wrapper = connections[alias]
        if wrapper.alias != alias or wrapper.settings_dict is not connections.settings[alias]:
            logger.warning("The connection %r is not that of DATABASES, and is dropped.", alias)
            del connections[alias]
            forget()


def _connected(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Watch a function's own connections from their beginning."""
    _drop_predecessor(connection)
    guard = _here.guard
    if guard is not None and guard._sessions:
        # One that was closed is watched already: what Django itself has just set is no change.
        guard._changed.discard(connection)
        if guard._watch not in connection.execute_wrappers:
            connection.execute_wrappers.append(guard._watch)


def _drop_predecessor(connection: BaseDatabaseWrapper) -> None:
    """Close what the handler had in the place of a connection, and what was deleted from there."""
    alias = connection.alias
    if alias not in connections.settings or connections[alias] is not connection:
        return  # somebody's own
    before, _here.by_alias[alias] = _here.by_alias.get(alias), connection
    if before is not None and before is not connection and not before.allow_thread_sharing:
        _close(before)


connection_created.connect(_connected, dispatch_uid=__name__)


# One connection -------------------------------------------------------------------------------


def _text_of(statement: Any, wrapper: BaseDatabaseWrapper) -> str:
    """Return the text of a statement that is put together by ``psycopg.sql``."""
    try:
        return str(statement.as_string(wrapper.connection))
    except Exception:
        return str(statement)


def _has_entered_more(wrapper: BaseDatabaseWrapper, before: _State) -> bool:
    return (
        len(wrapper.savepoint_ids) > len(before.savepoints)
        or len(wrapper.atomic_blocks) > before.blocks
    )


def _leave(wrapper: BaseDatabaseWrapper, before: _State) -> None:
    """Undo what atomic blocks did that were entered and not left, inside of somebody else's."""
    entered = wrapper.savepoint_ids[len(before.savepoints) :]
    first = entered[0] if entered else None
    del wrapper.savepoint_ids[len(before.savepoints) :]
    del wrapper.atomic_blocks[before.blocks :]
    wrapper.needs_rollback = first is None
    if first is not None:
        try:
            wrapper.savepoint_rollback(first)
            wrapper.savepoint_commit(first)
        except Error:
            wrapper.needs_rollback = True


def _replace(wrapper: BaseDatabaseWrapper, name: Callable[[], str]) -> None:
    """Close a connection, so that Django opens a new one when that is needed."""
    logger.debug("The connection to %r is replaced after %s.", wrapper.alias, name())
    if wrapper.allow_thread_sharing:
        # Another thread may be using it, and is not to be cut off, nor waited for.
        with suppress(AttributeError):
            del connections[wrapper.alias]
        drop(wrapper)
        return
    in_memory = wrapper.vendor == "sqlite" and cast(Any, wrapper).is_in_memory_db()
    driver = wrapper.connection
    if driver is not None:
        with suppress(Exception):  # it is closed in any case, and the server rolls back then
            driver.rollback()
    wrapper.in_atomic_block = wrapper.needs_rollback = wrapper.closed_in_transaction = False
    wrapper.savepoint_ids, wrapper.atomic_blocks, wrapper.run_on_commit = [], [], []
    if in_memory:
        wrapper.set_autocommit(wrapper.settings_dict["AUTOCOMMIT"])
    else:
        _close(wrapper)


def _close(wrapper: BaseDatabaseWrapper) -> None:
    driver = wrapper.connection
    if driver is not None and getattr(wrapper, "pool", None):
        with suppress(Exception):
            driver.close()  # a pool would hand it out again as it is
    with suppress(Exception):
        wrapper.close()
    wrapper.connection = None
