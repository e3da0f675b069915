"""How much of a table a statement reads, by what each database counts: rows, or steps on SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

ROW: int = {"sqlite": 5}.get(connection.vendor, 1)
"""What one more row costs at least."""


def effort(call: Callable[[], Any]) -> int:
    """Return how much the statements of a call read."""
    return {"sqlite": _steps, "mysql": _handled, "postgresql": _explained}[connection.vendor](call)


def _steps(call: Callable[[], Any]) -> int:
    """Count the steps of SQLite's virtual machine."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.ensure_connection()
    connection.connection.set_progress_handler(count, 1)
    try:
        call()
    finally:
        connection.connection.set_progress_handler(None, 1)
    return steps


def _handled(call: Callable[[], Any]) -> int:
    """Count the rows that MySQL's storage engine was asked for."""

    def total() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            return sum(int(value) for _, value in cursor.fetchall())

    before = total()
    call()
    return total() - before


def _explained(call: Callable[[], Any]) -> int:
    """Add up what PostgreSQL says of each node of the plans: rows, or blocks of a function."""
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        call()
        transaction.set_rollback(True)
    rows = 0
    for query in queries:
        if query["sql"].startswith(("SELECT", "UPDATE", "WITH")):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query['sql']}")
                [(found,)] = cursor.fetchall()
                transaction.set_rollback(True)
            plan = json.loads(found) if isinstance(found, str) else found
            rows += _rows_of(plan[0]["Plan"])
    return rows


def _rows_of(node: dict[str, Any]) -> int:
    if "Function Name" in node:
        return int(node["Shared Hit Blocks"] + node["Shared Read Blocks"])
    read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    own = int(read * node["Actual Loops"])
    return own + sum(_rows_of(child) for child in node.get("Plans", []))
