"""How a database goes about the statements that a call sends: each is explained before it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db import connection

from wagtail_async_hooks.models import BackgroundTask, Pause, Worker

TABLE: Final = BackgroundTask._meta.db_table
OTHERS: Final = (Worker._meta.db_table, Pause._meta.db_table)
"""Tables of which there are few rows."""


def oddities(call: Callable[[], Any]) -> list[str]:
    """Return in which statements of a call the database reads all tasks, or sorts some."""
    steps = {"sqlite": _of_sqlite, "postgresql": _of_postgresql, "mysql": _of_mysql}
    found: list[str] = []

    def explain(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if TABLE in sql and sql.lstrip("( ").startswith(("SELECT", "UPDATE", "WITH", "DELETE")):
            found.extend(
                f"{step}: {sql[:400]}" for step in steps[connection.vendor](sql, parameters)
            )
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(explain):
        call()
    return found


def _explained(statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _of_sqlite(sql: str, parameters: Any) -> Iterator[str]:
    # Those by the primary key are called scans as well; only the effort tells where they end.
    by_key = "ORDER BY" in sql and "LIMIT" in sql
    for *_, step in _explained(f"EXPLAIN QUERY PLAN {sql}", parameters):
        if step.startswith(f"SCAN {TABLE}") and "INDEX" not in step and not by_key:
            yield f"reads ({step})"
        if "TEMP B-TREE" in step:
            yield f"sorts ({step})"


def _of_postgresql(sql: str, parameters: Any) -> Iterator[str]:
    [(found,)] = _explained(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
    nodes = [(json.loads(found) if isinstance(found, str) else found)[0]["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] == TABLE:
            yield f"reads ({node['Node Type']})"
        if node["Node Type"].endswith("Sort"):
            yield f"sorts ({node['Node Type']})"


def _of_mysql(sql: str, parameters: Any) -> Iterator[str]:
    for row in _explained(f"EXPLAIN {sql}", parameters):
        table, how, told = row[2], row[3], row[-1] or ""
        if how == "ALL" and not table.startswith(("<", *OTHERS)):
            yield f"reads ({table})"
        if "filesort" in told:
            yield f"sorts ({table}: {told})"
