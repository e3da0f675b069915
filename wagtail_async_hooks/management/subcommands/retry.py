"""``wagtail_tasks retry``: run tasks again."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.db.models import QuerySet

from wagtail_async_hooks.ledger import RETRIABLE
from wagtail_async_hooks.management.base import counted
from wagtail_async_hooks.management.base_bulk import BulkSubcommand
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control


class Subcommand(BulkSubcommand):
    """Run tasks again."""

    help = "Lets tasks run again that have failed, expired or been cancelled."
    done = "retried"
    states = RETRIABLE
    _may_repeat = 0

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--repeat-side-effects",
            action="store_true",
            help="also tasks that may do once more what was done, such as sending an e-mail",
        )

    def fitting(
        self, tasks: QuerySet[BackgroundTask], options: dict[str, Any]
    ) -> QuerySet[BackgroundTask]:
        if options["repeat_side_effects"]:
            return tasks
        may_repeat = tasks.filter(attempt__gt=0).exclude(side_effect="")
        self._may_repeat = may_repeat.count()
        return tasks.exclude(pk__in=may_repeat.values("pk"))

    def do(self, tasks: QuerySet[BackgroundTask]) -> int:
        return control.retry(tasks, repeat_side_effects=True)  # those are left out already

    def about_left(self, left: int) -> list[str]:
        lines = super().about_left(max(0, left - self._may_repeat))
        if self._may_repeat:
            lines.append(
                f"{counted(self._may_repeat)} left alone that may repeat a side effect; see "
                "--repeat-side-effects."
            )
        return lines
