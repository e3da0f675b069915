"""Times are instants, which the database's clock compares: the columns that this needs.

The columns that there are stay as they are: they are of the types that they have always had. What
is in them is read as UTC from now on, also with ``USE_TZ=False``.

On PostgreSQL, the function of migration 0014 asks the clock itself, and says of a task that
it claims whether it has expired. And it records an end only for the task that was claimed: after a
restore of the database, another one may have the same number.
"""

from importlib import import_module
from typing import Any

from django.db import migrations, models

from wagtail_async_hooks.utils.database.instants import InstantField

_before: Any = import_module("wagtail_async_hooks.migrations.0014_step_on_postgresql")

_CHANGES = {
    "ended_attempt integer,": "ended_attempt integer, ended_task_id text,",
    "t.attempt = ended_attempt": "t.attempt = ended_attempt AND t.task_id = ended_task_id",
    "moment timestamptz, by_worker": "by_worker",
    "OUT revocations boolean,": "OUT revocations boolean, OUT expired boolean,",
    "DECLARE chosen": "DECLARE moment CONSTANT timestamptz := statement_timestamp(); chosen",
    "t.latest_at\n": "t.latest_at, t.expires_at < moment\n",
    "claimed_latest_at;": "claimed_latest_at, expired;",
}


def _changed() -> str:
    """Return the function as it is from now on."""
    created: str = _before.CREATE
    for old, new in _CHANGES.items():
        assert created.count(old) == 1, old
        created = created.replace(old, new)
    return created


CREATE = _changed()


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(_before.DROP)
        schema_editor.execute(CREATE)


def restore(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(_before.DROP)
        schema_editor.execute(_before.CREATE)


def of(model: str, name: str, told: str = "", *, null: bool = True) -> migrations.AlterField:
    return migrations.AlterField(model, name, InstantField(null=null, help_text=told))


class Migration(migrations.Migration):
    dependencies = [("wagtail_async_hooks", "0015_progress_of_large_numbers")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                of("backgroundtask", "enqueued_at", null=False),
                of("backgroundtask", "finished_at"),
                of(
                    "backgroundtask",
                    "latest_at",
                    "Not after this time, however many follow it; if it is debounced.",
                ),
                of("backgroundtask", "run_at", "Not before this time."),
                of("backgroundtask", "started_at"),
                of("pause", "paused_at", null=False),
                of("schedule", "last_due_at", "The time that was kept last."),
                of("schedule", "last_skipped_at", "The time that was not kept last."),
                of("schedule", "next_due_at", "When to look at it next."),
                of("storedvalue", "expires_at"),
                of("taskattempt", "ended_at", null=False),
                of("taskattempt", "started_at"),
                of("taskitem", "ended_at", null=False),
                of("worker", "heartbeat_at", null=False),
                of("worker", "started_at", null=False),
                of("worker", "stopped_at"),
            ]
        ),
        migrations.AddField(
            "backgroundtask",
            "expires_at",
            InstantField(help_text="Not to be begun after this time.", null=True),
        ),
        migrations.AddField(
            "worker",
            "clock_ahead",
            models.IntegerField(
                db_default=0,
                default=0,
                help_text="Seconds by which its host's clock is ahead of the database's.",
            ),
        ),
        migrations.RunPython(create, restore),
    ]
