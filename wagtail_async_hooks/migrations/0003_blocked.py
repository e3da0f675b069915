"""What waits for its exclusive key behind many others is out of the way of claims."""

from django.db import migrations, models
from django.db.models.expressions import CombinedExpression

from wagtail_async_hooks.migrations import _blocked_mysql, _initial_postgresql

WAITING = models.Q(("state", "waiting"))


class Migration(migrations.Migration):
    dependencies = [("wagtail_async_hooks", "0002_admin")]

    operations = [
        migrations.AddField(
            model_name="backgroundtask",
            name="blocked",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text=(
                    "Claims pass over it, as it waits behind many others with its exclusive key."
                ),
            ),
        ),
        migrations.RemoveIndex(model_name="backgroundtask", name="bgtask_claim"),
        migrations.RemoveIndex(model_name="backgroundtask", name="bgtask_queue"),
        migrations.RemoveIndex(model_name="backgroundtask", name="bgtask_exclusive_next"),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                models.F("blocked"),
                models.OrderBy(models.F("priority"), descending=True),
                models.F("id"),
                condition=WAITING,
                name="bgtask_claim",
            ),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                models.F("queue"),
                models.F("blocked"),
                CombinedExpression(models.Value(-1), "-", models.F("priority")),
                models.F("id"),
                condition=WAITING,
                name="bgtask_queue",
            ),
        ),
        migrations.AddIndex(
            model_name="backgroundtask",
            index=models.Index(
                models.F("exclusive_key"),
                CombinedExpression(models.Value(-1), "-", models.F("priority")),
                models.F("id"),
                models.F("blocked"),
                condition=WAITING & models.Q(("exclusive_key", ""), _negated=True),
                name="bgtask_exclusive_next",
            ),
        ),
        migrations.RunPython(_blocked_mysql.replace, migrations.RunPython.noop, atomic=False),
        migrations.RunPython(_initial_postgresql.replace, migrations.RunPython.noop),
    ]
