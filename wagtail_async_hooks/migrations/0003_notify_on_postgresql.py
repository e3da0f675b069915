"""PostgreSQL tells listening workers of a task that waits, with the commit that made it wait.

A trigger rather than a statement of ours: it costs no round trip, and covers every way in which
a task comes to wait (enqueued, due, retried, rescued, resumed).
"""

from typing import Any

from django.db import migrations

TABLE = "wagtail_async_hooks_backgroundtask"
NAME = "wagtail_async_hooks_notify"

# Equal notifications of one transaction arrive as one.
CREATE = f"""
CREATE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('wagtail_async_hooks', ''); RETURN NULL; END $$;
CREATE TRIGGER {NAME} AFTER INSERT OR UPDATE OF state ON {TABLE}
FOR EACH ROW WHEN (NEW.state = 'waiting') EXECUTE FUNCTION {NAME}();
"""

DROP = f"DROP TRIGGER {NAME} ON {TABLE}; DROP FUNCTION {NAME}();"


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE)


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP)


class Migration(migrations.Migration):
    dependencies = [("wagtail_async_hooks", "0002_claim_index_of_mysql")]

    operations = [migrations.RunPython(create, drop)]
