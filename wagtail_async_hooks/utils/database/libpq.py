"""Runs a statement by libpq itself, past psycopg's cursor, which is written in Python.

Two thirds of the processor time of a short statement are the cursor's. And while psycopg waits for
an answer it lets other threads run several times, and each time has to wait until they let it go
on, where they compute; libpq does all of it in one call. Importing this module needs psycopg.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

from psycopg import OperationalError, errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus

_PLACEHOLDER: Final = re.compile("%[s%]")


def takes(driver: Any) -> bool:
    """Return whether a statement on a connection of psycopg's may be run so.

    It commits by itself; within a transaction it is the driver's. Under gevent psycopg lets other
    greenlets run while it waits, as libpq would not.
    """
    if not driver.autocommit:
        return False
    monkey = sys.modules.get("gevent.monkey")
    return monkey is None or not monkey.is_module_patched("select")


def rows_of(driver: Any, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement, and return its rows.

    It cannot be interrupted while it waits for the server.

    :param statement: with ``%s`` for each parameter.
    :raises psycopg.Error: as by psycopg's cursor.
    """
    adapted = Transformer(driver)
    values = adapted.dump_sequence(parameters, [PyFormat.AUTO] * len(parameters))
    with driver.lock:
        result = driver.pgconn.exec_params(
            _numbered(statement), values, adapted.types, adapted.formats
        )
    if result.status == ExecStatus.TUPLES_OK:
        adapted.set_pgresult(result)
        rows: list[tuple[Any, ...]] = adapted.load_rows(0, result.ntuples, tuple)
        return rows
    is_known = bool(result.error_field(DiagnosticField.SQLSTATE))
    if driver.pgconn.status != ConnStatus.OK and not is_known:
        raise OperationalError(result.get_error_message())
    raise errors.error_from_result(result)


@functools.lru_cache(maxsize=64)
def _numbered(statement: str) -> bytes:
    """Return a statement with the placeholders of the server."""
    numbers = itertools.count(1)
    return _PLACEHOLDER.sub(
        lambda found: f"${next(numbers)}" if found[0] == "%s" else "%", statement
    ).encode()
