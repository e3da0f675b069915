"""The index that the claim uses on MySQL and MariaDB.

Neither has partial indexes, so Django makes the model's one without its condition (MySQL) or not
at all (MariaDB). This one begins with the state instead.
"""

from typing import Any

from django.db import migrations

TABLE = "wagtail_async_hooks_backgroundtask"
NAME = "bgtask_claim"


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "mysql":
        drop(apps, schema_editor)
        schema_editor.execute(f"CREATE INDEX {NAME} ON {TABLE} (state, priority DESC, id)")


def drop(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    with connection.cursor() as cursor:
        existing = connection.introspection.get_constraints(cursor, TABLE)
    if NAME in existing:
        schema_editor.execute(f"DROP INDEX {NAME} ON {TABLE}")


class Migration(migrations.Migration):
    # MySQL and MariaDB cannot change tables inside a transaction.
    atomic = False

    dependencies = [("wagtail_async_hooks", "0001_initial")]

    operations = [migrations.RunPython(create, drop)]
