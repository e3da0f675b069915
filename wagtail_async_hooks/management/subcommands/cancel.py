"""``wagtail_tasks cancel``: end tasks that nobody needs any more."""

from __future__ import annotations

from django.db.models import QuerySet

from wagtail_async_hooks.management.base_bulk import BulkSubcommand
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control


class Subcommand(BulkSubcommand):
    """Cancel tasks."""

    help = (
        "Cancels tasks: those that wait at once, those that run when they next report their "
        "progress."
    )
    done = "cancelled"
    question = "This cancels {tasks}"
    states = control.UNFINISHED

    def do(self, tasks: QuerySet[BackgroundTask]) -> int:
        return control.cancel(tasks)
