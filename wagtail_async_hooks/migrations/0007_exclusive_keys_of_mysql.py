"""The constraint on exclusive keys, on MySQL and MariaDB.

Neither has conditional constraints. A column that is computed from the row, and ``NULL`` unless the
task runs, takes the place of the condition. Django knows nothing of it, and need not.
"""

from typing import Any

from django.db import migrations

TABLE = "wagtail_async_hooks_backgroundtask"
COLUMN = "running_exclusively"
TYPE = "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
RUNNING = "CASE WHEN state = 'running' AND exclusive_key <> '' THEN exclusive_key END"


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(
            f"ALTER TABLE {TABLE} ADD COLUMN {COLUMN} {TYPE} GENERATED ALWAYS AS ({RUNNING}) "
            f"VIRTUAL, ADD UNIQUE INDEX bgtask_exclusive ({COLUMN})"
        )


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(f"ALTER TABLE {TABLE} DROP COLUMN {COLUMN}")


class Migration(migrations.Migration):
    # MySQL and MariaDB cannot change tables inside a transaction.
    atomic = False

    dependencies = [("wagtail_async_hooks", "0006_attempts_and_exclusive_keys")]

    operations = [migrations.RunPython(create, drop)]
