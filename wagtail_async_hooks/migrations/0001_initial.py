"""The tables. Indexes are partial where the database can do that, and each is for one query.

Every column that is not given in each row has a default in the database: a process of an older
release gives no value for a column that a newer one has added.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.expressions import CombinedExpression

from wagtail_async_hooks.migrations import _initial_mysql, _initial_postgresql
from wagtail_async_hooks.models import ExactCharField
from wagtail_async_hooks.utils.database.instants import InstantField


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Worker",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("host", models.CharField(max_length=255)),
                (
                    "process_space",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Where the process number means something: this boot, "
                        "this container.",
                        max_length=255,
                    ),
                ),
                ("pid", models.PositiveIntegerField()),
                ("threads", models.PositiveSmallIntegerField()),
                ("release", models.CharField(max_length=64)),
                ("started_at", InstantField()),
                ("heartbeat_at", InstantField()),
                ("stopped_at", InstantField(null=True)),
                (
                    "queues",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Those that it serves; blank for all.",
                    ),
                ),
                (
                    "clock_ahead",
                    models.IntegerField(
                        db_default=0,
                        default=0,
                        help_text="Seconds by which its host's clock is ahead of the database's.",
                    ),
                ),
            ],
            options={
                "verbose_name": "worker",
                "verbose_name_plural": "workers",
            },
        ),
        migrations.CreateModel(
            name="Counter",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("storage", models.CharField(max_length=64)),
                ("key", ExactCharField(max_length=255)),
                ("value", models.BigIntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("storage", "key"), name="bgtask_counter_key")
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredValue",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("storage", models.CharField(max_length=64)),
                ("key", ExactCharField(max_length=255)),
                ("value", models.BinaryField()),
                ("expires_at", InstantField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("key", "storage"), name="bgtask_value_key")
                ],
            },
        ),
        migrations.CreateModel(
            name="BackgroundTask",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("task_id", ExactCharField(help_text="Huey's id of the task.", max_length=255)),
                (
                    "name",
                    models.CharField(
                        help_text="The task's name in Huey's registry.", max_length=255
                    ),
                ),
                ("hook", models.CharField(blank=True, db_default="", default="", max_length=100)),
                (
                    "function",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                ("message", models.BinaryField(help_text="Huey's message, as signed JSON.")),
                ("queue", ExactCharField(db_default="default", default="default", max_length=64)),
                (
                    "priority",
                    models.IntegerField(db_default=0, default=0, help_text="Higher runs first."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("scheduled", "Scheduled"),
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                            ("expired", "Expired"),
                            ("merged", "Merged"),
                        ],
                        db_default="waiting",
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("run_at", InstantField(help_text="Not before this time.", null=True)),
                (
                    "attempt",
                    models.PositiveIntegerField(
                        db_default=0, default=0, help_text="How often it was begun."
                    ),
                ),
                (
                    "deaths",
                    models.PositiveSmallIntegerField(
                        db_default=0, default=0, help_text="How many workers died while running it."
                    ),
                ),
                (
                    "subject_id",
                    ExactCharField(blank=True, db_default="", default="", max_length=255),
                ),
                ("enqueued_at", InstantField()),
                ("started_at", InstantField(null=True)),
                ("finished_at", InstantField(null=True)),
                (
                    "result",
                    models.BinaryField(help_text="What it returned, as signed JSON.", null=True),
                ),
                (
                    "error",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="What went wrong, in one line.",
                    ),
                ),
                (
                    "error_type",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                ("traceback", models.TextField(blank=True, db_default="", default="")),
                (
                    "subject_type",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="contenttypes.contenttype",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="Who triggered it.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "worker",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="tasks",
                        to="wagtail_async_hooks.worker",
                    ),
                ),
                (
                    "coalesce_key",
                    ExactCharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Of several waiting tasks with the same key only "
                        "the newest runs.",
                        max_length=255,
                    ),
                ),
                (
                    "merged_into",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The task that ran for this one as well.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="merged",
                        to="wagtail_async_hooks.backgroundtask",
                    ),
                ),
                (
                    "messages",
                    models.JSONField(
                        help_text="What the function had to tell the editor.", null=True
                    ),
                ),
                (
                    "cancel_requested",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="It is to end when it next reports its progress.",
                    ),
                ),
                (
                    "progress_done",
                    models.PositiveBigIntegerField(help_text="How much it has done.", null=True),
                ),
                (
                    "progress_note",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                (
                    "progress_total",
                    models.PositiveBigIntegerField(help_text="Of how much.", null=True),
                ),
                (
                    "exclusive_key",
                    ExactCharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Of several tasks with the same key only one runs at a time, "
                        "in their order.",
                        max_length=255,
                    ),
                ),
                (
                    "latest_at",
                    InstantField(
                        help_text="Not after this time, however many follow it; "
                        "if it is debounced.",
                        null=True,
                    ),
                ),
                (
                    "explanation",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="What the error means, for editors.",
                        max_length=500,
                    ),
                ),
                (
                    "side_effect",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="What a second run would do once more, in a word.",
                        max_length=64,
                    ),
                ),
                (
                    "snoozes",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="How often its function asked to be called again later.",
                    ),
                ),
                (
                    "title",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="What it does, for people.",
                        max_length=255,
                    ),
                ),
                (
                    "slot",
                    models.PositiveSmallIntegerField(
                        help_text="Its number among the running tasks of its queue, "
                        "if that has a limit.",
                        null=True,
                    ),
                ),
                (
                    "expires_at",
                    InstantField(help_text="Not to be begun after this time.", null=True),
                ),
            ],
            options={
                "verbose_name": "background task",
                "verbose_name_plural": "background tasks",
            },
        ),
        migrations.CreateModel(
            name="TaskAttempt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("started_at", InstantField(null=True)),
                ("ended_at", InstantField()),
                ("error", models.TextField(blank=True, db_default="", default="")),
                (
                    "error_type",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                ("traceback", models.TextField(blank=True, db_default="", default="")),
                (
                    "task",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempts",
                        to="wagtail_async_hooks.backgroundtask",
                    ),
                ),
                (
                    "worker",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="wagtail_async_hooks.worker",
                    ),
                ),
            ],
            options={
                "verbose_name": "attempt at a background task",
                "verbose_name_plural": "attempts at background tasks",
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", ExactCharField(max_length=255, unique=True)),
                (
                    "crontab",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Blank where a function says when it is due.",
                        max_length=255,
                    ),
                ),
                ("time_zone", models.CharField(max_length=255)),
                ("next_due_at", InstantField(help_text="When to look at it next.", null=True)),
                ("last_due_at", InstantField(help_text="The time that was kept last.", null=True)),
                (
                    "last_skipped_at",
                    InstantField(help_text="The time that was not kept last.", null=True),
                ),
                (
                    "last_task",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="wagtail_async_hooks.backgroundtask",
                    ),
                ),
            ],
            options={
                "verbose_name": "entry of the schedule",
                "verbose_name_plural": "entries of the schedule",
            },
        ),
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
                ("name", ExactCharField(blank=True, db_default="", default="", max_length=255)),
                ("paused_at", InstantField()),
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
                ("reason", models.TextField(blank=True, db_default="", default="")),
            ],
            options={
                "verbose_name": "pause",
                "verbose_name_plural": "pauses",
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "name"), name="bgtask_pause")
                ],
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                (
                    "task",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="wagtail_async_hooks.backgroundtask",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "notice of a background task",
                "verbose_name_plural": "notices of background tasks",
            },
        ),
        migrations.CreateModel(
            name="TaskItem",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", ExactCharField(help_text="Primary key of the object.", max_length=255)),
                ("label", models.CharField(help_text="What the object is called.", max_length=255)),
                (
                    "state",
                    models.CharField(
                        choices=[("done", "Done"), ("failed", "Failed")], max_length=10
                    ),
                ),
                (
                    "error",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="What went wrong, for editors.",
                    ),
                ),
                (
                    "result",
                    models.JSONField(help_text="What came of it, for what follows.", null=True),
                ),
                (
                    "is_told",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="What follows when all are done has been told of it.",
                    ),
                ),
                ("ended_at", InstantField()),
                (
                    "task",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="wagtail_async_hooks.backgroundtask",
                    ),
                ),
            ],
            options={
                "verbose_name": "object of a background task",
                "verbose_name_plural": "objects of background tasks",
                "constraints": [
                    models.UniqueConstraint(fields=("task", "key"), name="bgtask_item_key")
                ],
            },
        ),
        # Not among the model's options: Django would make them at the end of the migration, after
        # what replaces some of them on MySQL and MariaDB.
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                models.OrderBy(models.F("priority"), descending=True),
                models.F("id"),
                condition=models.Q(("state", "waiting")),
                name="bgtask_claim",
            ),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                condition=models.Q(("state", "scheduled")), fields=["run_at"], name="bgtask_due"
            ),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                condition=models.Q(("state", "running")), fields=["worker"], name="bgtask_running"
            ),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                condition=models.Q(
                    ("state__in", ("waiting", "scheduled")),
                    models.Q(("coalesce_key", ""), _negated=True),
                ),
                fields=["coalesce_key"],
                name="bgtask_coalesce",
            ),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                models.F("queue"),
                CombinedExpression(models.Value(-1), "-", models.F("priority")),
                models.F("id"),
                condition=models.Q(("state", "waiting")),
                name="bgtask_queue",
            ),
        ),
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
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                condition=models.Q(("subject_type__isnull", False)),
                fields=["subject_type", "subject_id", "id"],
                name="bgtask_about",
            ),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                condition=models.Q(("user__isnull", False)),
                fields=["user", "id"],
                name="bgtask_user",
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
        migrations.AddConstraint(
            model_name="backgroundtask",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("state", "running"), models.Q(("exclusive_key", ""), _negated=True)
                ),
                fields=("exclusive_key",),
                name="bgtask_exclusive",
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
        migrations.RunPython(_initial_mysql.create, migrations.RunPython.noop, atomic=False),
        migrations.RunPython(_initial_postgresql.create, _initial_postgresql.drop),
    ]
