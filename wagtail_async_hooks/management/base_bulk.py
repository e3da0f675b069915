"""The base class of the subcommands that change many tasks at once."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Collection
from typing import Any, ClassVar

from django.core.management.base import CommandError
from django.db.models import QuerySet

from wagtail_async_hooks.management.base import BaseSubcommand, counted
from wagtail_async_hooks.management.filters import FILTERS, add_filters, by_ids, chosen
from wagtail_async_hooks.models import BackgroundTask


class BulkSubcommand(BaseSubcommand):
    """A change of the tasks that are given by number, or by filters."""

    done: ClassVar[str]
    """Past participle of the change, such as ``"cancelled"``."""

    states: ClassVar[Collection[str]]
    """States in which a task can be changed so."""

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="numbers of tasks")
        add_filters(parser)
        parser.add_argument("--all", action="store_true", help="all tasks, where nothing is chosen")
        parser.add_argument(
            "--dry-run", action="store_true", help="tell how many tasks it would be, and do nothing"
        )

    def handle(self, options: dict[str, Any]) -> None:
        tasks = self._chosen(options)
        fitting = self.fitting(tasks.filter(state__in=self.states), options)
        named = tasks.count() if options["ids"] else 0
        if options["dry_run"]:
            number, change = fitting.count(), f"would be {self.done}"
        else:
            number, change = self.do(fitting), self.done
        left = max(0, named - number)
        data = {self.done: number, "left": left, "dry_run": options["dry_run"]}
        self.answer(data, [f"{counted(number)} {change}.", *self.about_left(left)])

    def fitting(
        self, tasks: QuerySet[BackgroundTask], options: dict[str, Any]
    ) -> QuerySet[BackgroundTask]:
        """Return those of some tasks, which are in :attr:`states`, that are to be changed."""
        return tasks

    def do(self, tasks: QuerySet[BackgroundTask]) -> int:
        """Change some tasks; return how many."""
        raise NotImplementedError

    def _chosen(self, options: dict[str, Any]) -> QuerySet[BackgroundTask]:
        filtered = [name for name in FILTERS if options[name]]
        given = [*(["ids"] if options["ids"] else []), *filtered]
        if options["all"] and given:
            raise CommandError("Give either numbers and filters, or --all.")
        if not options["all"] and not given:
            raise CommandError(
                "Say which tasks: by their numbers, by a filter such as --state, or by --all."
            )
        tasks = chosen(options)
        return tasks & by_ids(options["ids"]) if options["ids"] else tasks

    def about_left(self, left: int) -> list[str]:
        """Return lines that explain why some of the tasks that were given are left alone."""
        if not left:
            return []
        *others, last = sorted(self.states)
        fitting = f"{', '.join(others)} or {last}"
        return [f"{counted(left)} left alone: only what is {fitting} can be {self.done}."]
