from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("wagtail_async_hooks", "0009_debounce"),
    ]

    operations = [
        migrations.AddField(
            model_name="backgroundtask",
            name="explanation",
            field=models.CharField(
                blank=True,
                default="",
                help_text="What the error means, for editors.",
                max_length=500,
            ),
        ),
        migrations.AddField(
            model_name="backgroundtask",
            name="side_effect",
            field=models.CharField(
                blank=True,
                default="",
                help_text="What a second run would do once more, in a word.",
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="backgroundtask",
            name="snoozes",
            field=models.PositiveIntegerField(
                default=0, help_text="How often its function asked to be called again later."
            ),
        ),
        migrations.AddField(
            model_name="backgroundtask",
            name="title",
            field=models.CharField(
                blank=True, default="", help_text="What it does, for people.", max_length=255
            ),
        ),
    ]
