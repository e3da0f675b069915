"""Fills the ledger with rows, by SQL: copies of a task that was recorded as any other."""

from __future__ import annotations

from typing import Any, Final

_SERIES: Final = {
    "postgresql": "generate_series(1, %s)",
    "mysql": "(SELECT seq AS n FROM seq_1_to_1000000000 LIMIT %s)",
    "sqlite": (
        "(WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series LIMIT %s) "
        "SELECT n FROM series)"
    ),
}
_TASK_ID: Final = {
    "postgresql": "lpad(to_hex(series), 8, '0') || substr(CAST(gen_random_uuid() AS text), 9)",
    "mysql": "CONCAT(LPAD(HEX(n), 8, '0'), LEFT(SHA2(UUID(), 256), 28))",
    "sqlite": "printf('%%08x', n) || lower(hex(randomblob(14)))",
}
"""Ascending in front and random behind, as those of tasks are."""


def fill(number: int, **columns: Any) -> None:
    """Add so many rows of tasks that do nothing.

    :param columns: what differs from a task that waits, by the names of the model's fields.
    """
    from django.db import connection

    from wagtail_async_hooks.models import BackgroundTask

    pattern = _recorded()
    selected, parameters = [], []
    fields = [field for field in BackgroundTask._meta.concrete_fields if not field.primary_key]
    for field in fields:
        if field.name == "task_id":
            selected.append(_TASK_ID[connection.vendor])
        elif field.attname in columns:
            selected.append("%s")
            parameters.append(field.get_db_prep_save(columns[field.attname], connection))
        else:
            selected.append(f"pattern.{field.column}")
    table = BackgroundTask._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(str(field.column) for field in fields)}) "
            f"SELECT {', '.join(selected)} "
            f"FROM {table} pattern, {_SERIES[connection.vendor]} series WHERE pattern.id = %s",
            [*parameters, number, pattern.pk],
        )
        assert cursor.rowcount == number
    pattern.delete()


def tidy() -> None:
    """Do what a database server does in time, so that none of it falls into what is measured."""
    from django.db import connection

    from wagtail_async_hooks.models import BackgroundTask

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"VACUUM ANALYZE {BackgroundTask._meta.db_table}")
            cursor.execute("CHECKPOINT")
        elif connection.vendor == "mysql":
            cursor.execute(f"ANALYZE TABLE {BackgroundTask._meta.db_table}")
            cursor.fetchall()
        else:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _recorded() -> Any:
    """Return the row of a task that waits."""
    from benchmarks import tasks
    from wagtail_async_hooks.models import BackgroundTask

    result = tasks.ours(0.0, 0.0)
    return BackgroundTask.objects.get(task_id=result.id)
