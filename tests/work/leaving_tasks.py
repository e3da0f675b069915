"""Tasks that leave something behind in their thread, its connections, or as another process."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import decimal
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, connections, transaction
from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation
from wagtail.log_actions import LogContext, get_active_log_context

from tests.limits import PATIENCE
from tests.work.children import wait_for_ever
from tests.work.tasks import leave_trace
from wagtail_async_hooks import background

VALUE: contextvars.ContextVar[str] = contextvars.ContextVar("value", default="nothing")

kept: list[Any] = []
"""What is never let go."""


def _leave_surroundings() -> None:
    translation.activate("de")
    timezone.activate("Asia/Tokyo")
    set_script_prefix("/elsewhere/")
    set_urlconf("tests.work.nowhere")
    decimal.getcontext().prec = 3
    VALUE.set("left behind")
    LogContext().__enter__()


def surroundings() -> list[str]:
    """Return what surrounds a function."""
    acting = get_active_log_context()
    return [
        translation.get_language(),
        timezone.get_current_timezone_name(),
        get_script_prefix(),
        str(get_urlconf()),
        str(decimal.getcontext().prec),
        VALUE.get(),
        str(acting.uuid),
    ]


@background.task()
def leave_surroundings() -> None:
    """Change all that surrounds a function."""
    _leave_surroundings()


@background.task()
async def leave_surroundings_in_coroutine() -> None:
    """Do so in a coroutine."""
    _leave_surroundings()


@background.task()
def deactivate_all() -> None:
    """Switch translation off."""
    translation.deactivate_all()


@background.task()
def tell_surroundings(path: str) -> list[str]:
    """Return what surrounds this function."""
    leave_trace(path, *surroundings())
    return surroundings()


def execute(statement: str, alias: str = "default") -> None:
    """Run a statement."""
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)


def _begin() -> None:
    execute("BEGIN")
    Group.objects.create(name="of an open transaction")


def _begin_after_comment() -> None:
    execute("/* who knows */ BEGIN")
    Group.objects.create(name="of an open transaction")


def _atomic() -> None:
    transaction.atomic().__enter__()
    Group.objects.create(name="of an open block")


def _atomic_twice() -> None:
    transaction.atomic().__enter__()
    transaction.atomic().__enter__()
    Group.objects.create(name="of an open block")
    transaction.on_commit(_never)


def _never() -> None:
    raise AssertionError("what was rolled back is not committed")


def _no_autocommit() -> None:
    connection.set_autocommit(False)
    Group.objects.create(name="of a connection without autocommit")


def _broken() -> None:
    transaction.atomic().__enter__()
    with contextlib.suppress(DatabaseError):
        execute("SELECT nothing FROM nowhere")


def _marked() -> None:
    transaction.atomic().__enter__()
    transaction.set_rollback(True)


def _closed_within() -> None:
    transaction.atomic().__enter__()
    connection.close()


def _driver() -> None:
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        connection.connection.execute("BEGIN IMMEDIATE")
    elif connection.vendor == "postgresql":
        connection.connection.autocommit = False
    else:
        connection.connection.begin()
    Group.objects.create(name="of the driver's transaction")


def _driver_mode() -> None:
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        connection.connection.isolation_level = "DEFERRED"
    elif connection.vendor == "postgresql":
        connection.connection.autocommit = False
    else:
        connection.connection.autocommit(False)


LEFT_OPEN: dict[str, Any] = {
    "begin": _begin,
    "begin elsewhere": lambda: execute("BEGIN", "other"),
    "begin after comment": _begin_after_comment,
    "atomic": _atomic,
    "atomic twice": _atomic_twice,
    "no autocommit": _no_autocommit,
    "broken": _broken,
    "marked": _marked,
    "closed within": _closed_within,
    "driver": _driver,
}
"""Ways to leave a transaction open."""


def _wrapper() -> None:
    def refuse(*args: Any) -> Any:
        raise AssertionError("of a wrapper that was left")

    connection.execute_wrappers.append(refuse)  # as execute_wrapper() does as it is entered


def _debug() -> None:
    connection.force_debug_cursor = True


def _close() -> None:
    execute("SELECT 1")
    connection.close()


def _delete() -> None:
    execute("SELECT 1")
    del connections["default"]


def _share() -> None:
    execute("SELECT 1")
    connection.inc_thread_sharing()
    kept.append(connections["default"])


def _row_factory() -> None:
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        connection.connection.row_factory = lambda cursor, row: {"nothing": row}


LEFT: dict[str, Any] = {
    "driver mode": _driver_mode,
    "wrapper": _wrapper,
    "debug": _debug,
    "close": _close,
    "delete": _delete,
    "share": _share,
    "row factory": _row_factory,
}
"""Other ways to leave a connection."""

SESSIONS: dict[str, list[tuple[str, str, str]]] = {
    "sqlite": [
        ("PRAGMA foreign_keys=OFF", "PRAGMA foreign_keys", "1"),
        ("PRAGMA query_only(1)", "PRAGMA query_only", "0"),
        ("CREATE TEMP TABLE left_behind (x int)", "SELECT count(*) FROM sqlite_temp_master", "0"),
        (
            "ATTACH DATABASE ':memory:' AS left_behind",
            "SELECT max(seq) FROM pragma_database_list",
            "0",
        ),
    ],
    "postgresql": [
        ("SET search_path TO nowhere", "SHOW search_path", '"$user", public'),
        ("set role pg_monitor", "SELECT current_user = session_user", "True"),
        ("SET SESSION statement_timeout = 1", "SHOW statement_timeout", "0"),
        ("SET default_transaction_read_only = on", "SHOW default_transaction_read_only", "off"),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SHOW default_transaction_isolation",
            "read committed",
        ),
        (
            "SELECT set_config('work_mem', '64kB', false)",
            "SELECT current_setting('work_mem') = '64kB'",
            "False",
        ),
        ("/* of a comment */ SET TIME ZONE 'Asia/Tokyo'", "SHOW timezone", "UTC"),
        (
            "SELECT pg_advisory_lock(4711)",
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711",
            "0",
        ),
        (
            "CREATE TEMPORARY TABLE left_behind (x int)",
            "SELECT to_regclass('pg_temp.left_behind') IS NULL",
            "True",
        ),
        (
            "SELECT 1 AS x INTO TEMP left_behind",
            "SELECT to_regclass('pg_temp.left_behind') IS NULL",
            "True",
        ),
    ],
    "mysql": [
        ("SET SESSION lock_wait_timeout = 7", "SELECT @@lock_wait_timeout <> 7", "1"),
        ("SET autocommit = 0", "SELECT @@autocommit", "1"),
        ("LOCK TABLES auth_group READ", "SELECT count(*) >= 0 FROM auth_user", "1"),
        ("SELECT GET_LOCK('left_behind', 0)", "SELECT IS_FREE_LOCK('left_behind')", "1"),
        ("SET foreign_key_checks = 0", "SELECT @@foreign_key_checks", "1"),
        ("CREATE TEMPORARY TABLE left_behind (x int)", "SELECT 1", "1"),
    ],
}
"""By database: what changes the session, what asks about that, and the answer of a clean one."""


@background.task()
def leave_open(name: str) -> str:
    """Leave a transaction open."""
    LEFT_OPEN[name]()
    return "done"


@background.task()
def leave_open_and_fail(name: str) -> None:
    """Leave a transaction open, and raise an error."""
    LEFT_OPEN[name]()
    raise ValueError("no luck")


@background.task()
def leave_connection(name: str) -> str:
    """Leave a connection otherwise than it was."""
    LEFT[name]()
    return "done"


@background.task()
def leave_session(statement: str) -> str:
    """Change the session of the connection."""
    execute(statement)
    return "done"


@background.task()
def ask(statement: str) -> str:
    """Return the answer of the database."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return str(cursor.fetchone()[0])


@background.task()
def replace(how: str) -> None:
    """Put another connection in the place of the ledger's."""
    connections["default"] = connections["other"]
    if how == "another":
        connections["default"] = connections.create_connection("other")
        connections["default"].alias = "default"
        execute("SELECT 1")


# Processes ------------------------------------------------------------------------------------


@background.task()
def fork(path: str, how: str) -> int:
    """Fork, and come back in both processes, in one of several ways."""
    Group.objects.count()
    child = os.fork()
    if child:
        leave_trace(path, "parent", os.getpid(), child)
        os.waitpid(child, 0)
        Group.objects.count()
        return os.getpid()
    leave_trace(path, "child", os.getpid())
    if how == "queries":
        Group.objects.get_or_create(name="of a child")
    elif how == "raises":
        raise ValueError("in the child")
    elif how == "exits":
        sys.exit(3)
    elif how == "own":
        raise BaseException("in the child")
    return os.getpid()


@background.task()
async def fork_in_coroutine(path: str) -> int:
    """Fork in a coroutine."""
    child = os.fork()
    if child:
        leave_trace(path, "parent", os.getpid(), child)
        os.waitpid(child, 0)
        return os.getpid()
    leave_trace(path, "child", os.getpid())
    await asyncio.sleep(0)
    return os.getpid()


@background.task()
def fork_in_transaction(path: str) -> int:
    """Fork amid a transaction, of which the child knows nothing."""
    with transaction.atomic():
        Group.objects.create(name="of the parent")
        child = os.fork()
        if child:
            leave_trace(path, "parent", os.getpid(), child)
            os.waitpid(child, 0)
        else:
            leave_trace(path, "child", os.getpid())
            os._exit(0)
    return os.getpid()


def count_groups() -> int:
    """Ask the database something, in a child."""
    return Group.objects.count()


@background.task()
def terminate(path: str, method: str) -> int | None:
    """Start a child by multiprocessing, and terminate it; return its exit code."""
    child = multiprocessing.get_context(method).Process(target=wait_for_ever, args=(path,))
    child.start()
    while "child" not in open(path).read():  # noqa: SIM115  (it is closed at once)
        time.sleep(0.01)
    child.terminate()
    child.join(PATIENCE)
    code = child.exitcode
    if code is None:
        child.kill()
    Group.objects.count()
    return code


@background.task()
def use_pool() -> list[int]:
    """Have the children of a pool ask the database something, beside this process."""
    Group.objects.count()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        found = [future.result() for future in [pool.submit(count_groups) for _ in range(4)]]
    Group.objects.count()
    return found
