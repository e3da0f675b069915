"""``wagtail_tasks discard``: take tasks out of the ledger."""

from __future__ import annotations

from django.db.models import QuerySet

from wagtail_async_hooks.management.base_bulk import BulkSubcommand
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State


class Subcommand(BulkSubcommand):
    """Discard tasks."""

    help = (
        "Takes tasks out of the ledger for good, with their results and errors; those that have "
        "not begun never run. Tasks that run stay."
    )
    done = "discarded"
    question = "This discards {tasks} for good, with their results and errors"
    states = tuple(state for state in State if state is not State.RUNNING)

    def do(self, tasks: QuerySet[BackgroundTask]) -> int:
        return control.discard(tasks)
