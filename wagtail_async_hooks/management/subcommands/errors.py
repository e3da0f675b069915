"""``wagtail_tasks errors``: the errors of failed tasks, by class, function and place."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, Final

from wagtail_async_hooks.management import formatting
from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.monitoring import errors
from wagtail_async_hooks.monitoring.errors import Errors, Group
from wagtail_async_hooks.utils.time import local_text, utc_text

LIMIT: Final = 20
"""Number of groups that are shown unless told otherwise."""


class Subcommand(BaseSubcommand):
    """List the errors of failed tasks."""

    help = "Groups failed tasks by error, function and place: how many, since when, which is new."

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--muted", action="store_true", help="those that are muted, instead")
        parser.add_argument(
            "--limit", type=int, default=LIMIT, help=f"list at most so many (default: {LIMIT})"
        )

    def handle(self, options: dict[str, Any]) -> None:
        found = errors.errors()
        groups = found.muted if options["muted"] else found.open
        shown = groups[: max(0, options["limit"])]
        examples = errors.examples(shown)
        for group in shown:
            group.example = examples.get(group.newest)
        self.answer([_data(group) for group in shown], self._lines(found, shown, len(groups)))

    def _lines(self, found: Errors, shown: list[Group], number: int) -> Iterator[str]:
        if not shown:
            yield "There are no such errors."
            return
        headings = ("All", "1 h", "24 h", "7 d", "Last seen", "Newest", "Error", "Raised in", "")
        rows = [_row(group) for group in shown]
        yield from formatting.fitting_table(headings, rows, beside=6, width=self.width)
        if number > len(shown):
            yield f"There are {number - len(shown)} more: --limit shows more."
        if not found.is_all:
            yield f"Only the newest {found.looked_at} failed tasks are counted."


def _row(group: Group) -> tuple[Any, ...]:
    return (
        group.number,
        group.last_hour,
        group.last_day,
        group.last_week,
        local_text(group.last_seen),
        group.newest,
        group.title,
        group.error_place,
        f"new since release {group.first_release}" if group.is_new else "",
    )


def _data(group: Group) -> dict[str, Any]:
    return {
        "key": group.key,
        "error_type": group.error_type,
        "function": group.function,
        "error_place": group.error_place,
        "error": group.example.error if group.example else "",
        "newest": group.newest,
        "number": group.number,
        "last_hour": group.last_hour,
        "last_day": group.last_day,
        "last_week": group.last_week,
        "first_seen": utc_text(group.first_seen),
        "last_seen": utc_text(group.last_seen),
        "first_release": group.first_release,
        "is_new": group.is_new,
        "objects": group.objects,
        "muted_at": group.muted and utc_text(group.muted.muted_at),
    }
