"""What people see: titles, causes, places of errors, statistics, muted errors, alerts, code."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from wagtail_async_hooks.models import ExactCharField
from wagtail_async_hooks.utils.database.instants import InstantField


class Migration(migrations.Migration):
    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("wagtail_async_hooks", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AlertRecord",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("target", ExactCharField(max_length=255)),
                (
                    "key",
                    ExactCharField(
                        help_text="What it is; the same as long as it lasts.", max_length=100
                    ),
                ),
                ("kind", models.CharField(max_length=32)),
                (
                    "title",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                ("since", InstantField(help_text="When it began.")),
                (
                    "told_at",
                    InstantField(help_text="When it was told last; blank if not yet.", null=True),
                ),
                ("ended_at", InstantField(null=True)),
            ],
            options={
                "verbose_name": "alert",
                "verbose_name_plural": "alerts",
                "constraints": [
                    models.UniqueConstraint(fields=("target", "key"), name="bgtask_alert_key")
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertTarget",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", ExactCharField(max_length=255, unique=True)),
                (
                    "holder",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="The process that tells now, by a number of its own.",
                        max_length=64,
                    ),
                ),
                (
                    "held_until",
                    InstantField(help_text="Until then, nobody else tells.", null=True),
                ),
                (
                    "failures",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="How often telling has failed, since it last did not.",
                    ),
                ),
            ],
            options={
                "verbose_name": "recipient of alerts",
                "verbose_name_plural": "recipients of alerts",
            },
        ),
        migrations.CreateModel(
            name="HookSample",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hook", models.CharField(max_length=100)),
                ("function", models.CharField(max_length=255)),
                ("at", InstantField(help_text="When the last of the calls was made.")),
                ("calls", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "seconds",
                    models.FloatField(
                        db_default=0.0, default=0.0, help_text="That the calls took, altogether."
                    ),
                ),
                (
                    "durations",
                    models.JSONField(
                        default=list,
                        help_text="Seconds that some of the calls took, chosen at random.",
                    ),
                ),
            ],
            options={
                "verbose_name": "sample of a hook's function",
                "verbose_name_plural": "samples of hooks' functions",
            },
        ),
        migrations.CreateModel(
            name="MutedError",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "key",
                    ExactCharField(
                        help_text="Hash of the three columns that make the group.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                (
                    "error_type",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                (
                    "function",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                (
                    "error_place",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                ("muted_at", InstantField()),
            ],
            options={
                "verbose_name": "muted error",
                "verbose_name_plural": "muted errors",
            },
        ),
        migrations.CreateModel(
            name="QueueSample",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("start", InstantField(help_text="When the five minutes began.")),
                ("queue", ExactCharField(max_length=64)),
                ("waiting", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "oldest",
                    models.FloatField(
                        db_default=0.0,
                        default=0.0,
                        help_text="Seconds for which one of them had waited, at most.",
                    ),
                ),
            ],
            options={
                "verbose_name": "sample of a queue",
                "verbose_name_plural": "samples of queues",
            },
        ),
        migrations.CreateModel(
            name="TaskStatistic",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("start", InstantField(help_text="When the five minutes began.")),
                ("queue", ExactCharField(max_length=64)),
                ("hook", models.CharField(blank=True, db_default="", default="", max_length=100)),
                (
                    "function",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                ("succeeded", models.PositiveIntegerField(db_default=0, default=0)),
                ("failed", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "ended_otherwise",
                    models.PositiveIntegerField(
                        db_default=0, default=0, help_text="Cancelled, or expired."
                    ),
                ),
                (
                    "repeated",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Attempts after which the task was to run again.",
                    ),
                ),
                (
                    "ran",
                    models.FloatField(
                        db_default=0.0,
                        default=0.0,
                        help_text="Seconds that the attempts took, altogether.",
                    ),
                ),
                (
                    "longest_run",
                    models.FloatField(db_default=0.0, default=0.0, help_text="In seconds."),
                ),
            ],
            options={
                "verbose_name": "statistic of background tasks",
                "verbose_name_plural": "statistics of background tasks",
            },
        ),
        migrations.AddField(
            model_name="backgroundtask",
            name="cause",
            field=models.UUIDField(
                help_text="The id by which Wagtail's log groups what one request did.", null=True
            ),
        ),
        migrations.AddField(
            model_name="backgroundtask",
            name="error_place",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The function of the site's own code in which it went wrong.",
                max_length=255,
            ),
        ),
        migrations.AddField(
            model_name="backgroundtask",
            name="subject_title",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What the object was called when the task was enqueued.",
                max_length=255,
            ),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                condition=models.Q(("cause__isnull", False)), fields=["cause"], name="bgtask_cause"
            ),
        ),
        migrations.AddIndex(
            model_name="hooksample",
            index=models.Index(fields=["at"], name="bgtask_hook_sample_at"),
        ),
        migrations.AddField(
            model_name="mutederror",
            name="user",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="Who muted it.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="queuesample",
            constraint=models.UniqueConstraint(
                fields=("start", "queue"), name="bgtask_sample_start"
            ),
        ),
        migrations.AddField(
            model_name="taskstatistic",
            name="worker",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="wagtail_async_hooks.worker",
            ),
        ),
        migrations.AddIndex(
            model_name="taskstatistic",
            index=models.Index(fields=["start"], name="bgtask_statistic_start"),
        ),
        migrations.AddField(
            model_name="worker",
            name="code",
            field=models.JSONField(
                help_text="Hashes of the modules with background functions, as it has loaded them.",
                null=True,
            ),
        ),
    ]
