"""On PostgreSQL, a function locks the task that comes next of all, and returns its number.

As a part of the statement that claims, the query was planned for each task, which took longer than
to run it. And where statistics were old, as they are while a queue grows or shrinks, the planner
read and sorted everything that waited or had been waiting. The function keeps its plan, and knows
only one way: along the index, in its order.

The query is that of ``ledger.choosing.choices()``, with which a test compares it.
"""

from typing import Any

from django.db import migrations

TABLE = "wagtail_async_hooks_backgroundtask"
NAME = "wagtail_async_hooks_next"

CREATE = f"""
CREATE FUNCTION {NAME}(suspects boolean) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan AS
$$ BEGIN RETURN (
SELECT id FROM {TABLE} WHERE state = 'waiting' AND (suspects OR deaths = 0)
AND (exclusive_key = '' OR (NOT EXISTS (SELECT 1 FROM {TABLE} other WHERE other.state = 'running'
AND NOT (other.exclusive_key = '') AND other.exclusive_key = {TABLE}.exclusive_key)
AND {TABLE}.id = (SELECT other.id FROM {TABLE} other WHERE other.state = 'waiting'
AND NOT (other.exclusive_key = '') AND other.exclusive_key = {TABLE}.exclusive_key
ORDER BY (-1 - priority), id LIMIT 1)))
ORDER BY priority DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED
); END $$;
"""

DROP = f"DROP FUNCTION {NAME}(boolean);"


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE)


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP)


class Migration(migrations.Migration):
    dependencies = [("wagtail_async_hooks", "0013_indexes_of_overviews")]

    operations = [migrations.RunPython(create, drop)]
