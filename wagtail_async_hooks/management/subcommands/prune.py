"""``wagtail_tasks prune``: delete at once what workers delete by and by."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf import MAX_DAYS, HistoryOptions
from wagtail_async_hooks.management.base import BaseSubcommand, counted
from wagtail_async_hooks.worker import pruning


class Subcommand(BaseSubcommand):
    """Prune the ledger."""

    help = 'Deletes tasks that ended long enough ago, by WAGTAIL_TASKS["HISTORY"] or --days.'

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days", type=float, metavar="N", help="delete whatever ended more than N days ago"
        )

    def handle(self, options: dict[str, Any]) -> None:
        days = options["days"]
        history = conf.current().history
        if days is not None:
            if not 0 <= days <= MAX_DAYS:
                raise CommandError(f"--days should be from 0 to {MAX_DAYS}, not {days:g}.")
            history = HistoryOptions(succeeded=days, failed=days)
        number = pruning.prune(history)
        self.answer({"pruned": number}, [f"{counted(number)} pruned."])
