"""Queues that are served by themselves, that have limits, and that are paused.

The index of exclusive keys gets the order of those that wait, as that of queues has it.

On MySQL and MariaDB, which have neither partial indexes nor conditional constraints: these indexes
begin with the state, and a computed column takes the place of the constraint's condition.
"""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.expressions import CombinedExpression

from wagtail_async_hooks.models import ExactCharField

TABLE = "wagtail_async_hooks_backgroundtask"
INDEXES = {"bgtask_queue": "queue", "bgtask_exclusive_next": "exclusive_key"}
COLUMN = "limited_queue"
TYPE = "varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
RUNNING = "CASE WHEN state = 'running' AND slot IS NOT NULL THEN queue END"


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "mysql":
        return
    drop_indexes(schema_editor)
    for name, column in INDEXES.items():
        schema_editor.execute(
            f"CREATE INDEX {name} ON {TABLE} (state, {column}, priority DESC, id)"
        )
    schema_editor.execute(
        f"ALTER TABLE {TABLE} ADD COLUMN {COLUMN} {TYPE} GENERATED ALWAYS AS ({RUNNING}) "
        f"VIRTUAL, ADD UNIQUE INDEX bgtask_slot ({COLUMN}, slot)"
    )


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "mysql":
        drop_indexes(schema_editor)
        schema_editor.execute(f"ALTER TABLE {TABLE} DROP INDEX bgtask_slot, DROP COLUMN {COLUMN}")


def drop_indexes(schema_editor: Any) -> None:
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        existing = connection.introspection.get_constraints(cursor, TABLE)
    for name in INDEXES.keys() & existing.keys():
        schema_editor.execute(f"DROP INDEX {name} ON {TABLE}")


class Migration(migrations.Migration):
    dependencies = [
        ("wagtail_async_hooks", "0010_descriptions_and_snoozes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Pause",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("everything", "Everything"),
                            ("queue", "Queue"),
                            ("hook", "Hook"),
                            ("function", "Function"),
                        ],
                        max_length=10,
                    ),
                ),
                ("name", ExactCharField(blank=True, max_length=255)),
                ("paused_at", models.DateTimeField()),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="Who paused it.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("reason", models.TextField(blank=True)),
            ],
            options={"verbose_name": "pause", "verbose_name_plural": "pauses"},
        ),
        migrations.AddConstraint(
            model_name="pause",
            constraint=models.UniqueConstraint(fields=("kind", "name"), name="bgtask_pause"),
        ),
        migrations.AddField(
            model_name="worker",
            name="queues",
            field=models.TextField(blank=True, help_text="Those that it serves; blank for all."),
        ),
        migrations.AddField(
            model_name="backgroundtask",
            name="slot",
            field=models.PositiveSmallIntegerField(
                help_text="Its number among the running tasks of its queue, if that has a limit.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="queue",
            field=ExactCharField(default="default", max_length=64),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                models.F("queue"),
                CombinedExpression(models.Value(-1), "-", models.F("priority")),
                models.F("id"),
                condition=models.Q(state="waiting"),
                name="bgtask_queue",
            ),
        ),
        migrations.RemoveIndex(model_name="backgroundtask", name="bgtask_exclusive_next"),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                models.F("exclusive_key"),
                CombinedExpression(models.Value(-1), "-", models.F("priority")),
                models.F("id"),
                condition=models.Q(
                    ("state", "waiting"), models.Q(("exclusive_key", ""), _negated=True)
                ),
                name="bgtask_exclusive_next",
            ),
        ),
        migrations.AddConstraint(
            model_name="backgroundtask",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "running"), ("slot__isnull", False)),
                fields=("queue", "slot"),
                name="bgtask_slot",
            ),
        ),
        # DDL in a transaction is impossible where these do anything.
        migrations.RunPython(create, drop, atomic=False),
    ]
