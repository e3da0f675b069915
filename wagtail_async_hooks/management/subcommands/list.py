"""``wagtail_tasks list``: background tasks, the newest first."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from wagtail_async_hooks.management import formatting
from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.filters import add_filters, chosen
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import description, overview
from wagtail_async_hooks.utils.time import local_text


class Subcommand(BaseSubcommand):
    """List background tasks."""

    help = "Lists background tasks, the newest first."

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        add_filters(parser)
        parser.add_argument(
            "--limit", type=int, default=20, metavar="N", help="how many to list (default: 20)"
        )

    def handle(self, options: dict[str, Any]) -> None:
        limit = options["limit"]
        if limit < 1:
            raise CommandError(f"--limit should be at least 1, not {limit}.")
        rows = overview.newest(chosen(options), limit + 1)
        description.name_subjects(rows[:limit])
        self.answer([formatting.task_data(row) for row in rows[:limit]], self._lines(rows, limit))

    def _lines(self, rows: list[BackgroundTask], limit: int) -> Iterator[str]:
        if not rows:
            yield "There are no such tasks."
            return
        yield from formatting.fitting_table(
            ("ID", "State", "Enqueued", "Tries", "What", "Function", ""),
            [
                (
                    row.pk,
                    row.state,
                    local_text(row.enqueued_at),
                    row.attempt,
                    description.title_of(row),
                    row.function or row.name,
                    formatting.note(row),
                )
                for row in rows[:limit]
            ],
            beside=5,
            width=self.width,
        )
        if len(rows) > limit:
            yield f"There are more than these {limit}; see --limit."
