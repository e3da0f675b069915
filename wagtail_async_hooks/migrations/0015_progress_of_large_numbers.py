"""How far a task is may be counted in bytes: four billion of them are soon reached."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("wagtail_async_hooks", "0014_step_on_postgresql")]

    operations = [
        migrations.AlterField(
            model_name="backgroundtask",
            name="progress_done",
            field=models.PositiveBigIntegerField(help_text="How much it has done.", null=True),
        ),
        migrations.AlterField(
            model_name="backgroundtask",
            name="progress_total",
            field=models.PositiveBigIntegerField(help_text="Of how much.", null=True),
        ),
    ]
