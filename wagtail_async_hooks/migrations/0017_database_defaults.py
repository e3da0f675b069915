"""A process of an older release gives no value for a column that a newer one has added: the
database has one for each column that is not given in every row."""

from django.db import migrations, models

import wagtail_async_hooks.models


class Migration(migrations.Migration):
    dependencies = [
        ("wagtail_async_hooks", "0016_instants"),
    ]

    operations = [
        migrations.AlterField(
            model_name="backgroundtask",
            name="attempt",
            field=models.PositiveIntegerField(
                db_default=0, default=0, help_text="How often it was begun."
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="cancel_requested",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="It is to end when it next reports its progress.",
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="coalesce_key",
            field=wagtail_async_hooks.models.ExactCharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of several waiting tasks with the same key only the newest runs.",
                max_length=255,
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="deaths",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, help_text="How many workers died while running it."
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="error",
            field=models.TextField(
                blank=True, db_default="", default="", help_text="What went wrong, in one line."
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="error_type",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="exclusive_key",
            field=wagtail_async_hooks.models.ExactCharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of several tasks with the same key only one runs at a time, "
                "in their order.",
                max_length=255,
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="explanation",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What the error means, for editors.",
                max_length=500,
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="function",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="hook",
            field=models.CharField(blank=True, db_default="", default="", max_length=100),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="priority",
            field=models.IntegerField(db_default=0, default=0, help_text="Higher runs first."),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="progress_note",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="queue",
            field=wagtail_async_hooks.models.ExactCharField(
                db_default="default", default="default", max_length=64
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="side_effect",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What a second run would do once more, in a word.",
                max_length=64,
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="snoozes",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="How often its function asked to be called again later.",
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="state",
            field=models.CharField(
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
        migrations.AlterField(
            model_name="backgroundtask",
            name="subject_id",
            field=wagtail_async_hooks.models.ExactCharField(
                blank=True, db_default="", default="", max_length=255
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="title",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What it does, for people.",
                max_length=255,
            ),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="traceback",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AlterField(
            model_name="pause",
            name="name",
            field=wagtail_async_hooks.models.ExactCharField(
                blank=True, db_default="", default="", max_length=255
            ),
        ),
        migrations.AlterField(
            model_name="pause",
            name="reason",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AlterField(
            model_name="schedule",
            name="crontab",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Blank where a function says when it is due.",
                max_length=255,
            ),
        ),
        migrations.AlterField(
            model_name="taskattempt",
            name="error",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AlterField(
            model_name="taskattempt",
            name="error_type",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AlterField(
            model_name="taskattempt",
            name="traceback",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AlterField(
            model_name="taskitem",
            name="error",
            field=models.TextField(
                blank=True, db_default="", default="", help_text="What went wrong, for editors."
            ),
        ),
        migrations.AlterField(
            model_name="taskitem",
            name="is_told",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="What follows when all are done has been told of it.",
            ),
        ),
        migrations.AlterField(
            model_name="worker",
            name="process_space",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Where the process number means something: this boot, this container.",
                max_length=255,
            ),
        ),
        migrations.AlterField(
            model_name="worker",
            name="queues",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="Those that it serves; blank for all.",
            ),
        ),
    ]
