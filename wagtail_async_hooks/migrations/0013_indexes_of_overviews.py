"""The indexes by which an overview finds the newest tasks of a state, a user, or an object.

They have the tasks' numbers, as the newest are asked for, and leave out what has not ended, or has
no user or no object, where the database can do that. That of Huey's ids is made anew without the
second one that PostgreSQL got beside it, for LIKE, which nobody uses.

On MySQL and MariaDB, which have no partial indexes: that of what is due begins with the state, or
all that was due once would be read.
"""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from wagtail_async_hooks.models import ExactCharField

TABLE = "wagtail_async_hooks_backgroundtask"
NAME = "bgtask_due"


def begin_with_state(apps: Any, schema_editor: Any) -> None:
    replace(schema_editor, "state, run_at")


def begin_with_time(apps: Any, schema_editor: Any) -> None:
    replace(schema_editor, "run_at")


def replace(schema_editor: Any, columns: str) -> None:
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(
            f"ALTER TABLE {TABLE} DROP INDEX {NAME}, ADD INDEX {NAME} ({columns})"
        )


class Migration(migrations.Migration):
    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("wagtail_async_hooks", "0012_items_and_notices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # The new ones come first, or Django would make one more on MySQL and MariaDB, as it takes
        # the last index of a foreign key for needed.
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                condition=models.Q(("subject_type__isnull", False)),
                fields=["subject_type", "subject_id", "id"],
                name="bgtask_about",
            ),
        ),
        migrations.RemoveIndex(model_name="backgroundtask", name="bgtask_subject"),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                condition=models.Q(("user__isnull", False)),
                fields=["user", "id"],
                name="bgtask_user",
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="task_id",
            field=ExactCharField(help_text="Huey's id of the task.", max_length=255),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="user",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="Who triggered it.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(fields=["task_id"], name="bgtask_task_id"),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["state", "id", "queue"],
                name="bgtask_state",
            ),
        ),
        # DDL in a transaction is impossible where these do anything.
        migrations.RunPython(begin_with_state, begin_with_time, atomic=False),
    ]
