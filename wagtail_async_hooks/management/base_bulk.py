"""The base class of the subcommands that change many tasks at once."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.core.management.base import CommandError
from django.db.models import Count, Max, QuerySet

from wagtail_async_hooks.management.asking import confirm
from wagtail_async_hooks.management.base import BaseSubcommand, counted
from wagtail_async_hooks.management.endings import INTERRUPTED
from wagtail_async_hooks.management.filters import FILTERS, add_filters, by_ids, chosen
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue.huey_log import APIS


class BulkSubcommand(BaseSubcommand):
    """A change of the tasks that are given by number, or by filters."""

    done: ClassVar[str]
    """Past participle of the change, such as ``"cancelled"``."""

    states: ClassVar[Collection[str]]
    """States in which a task can be changed so."""

    question: ClassVar[str] = ""
    """What is said before it is done to more than one task, with ``{tasks}`` for how many; blank
    if nobody need be asked."""

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="numbers of tasks")
        add_filters(parser)
        parser.add_argument("--all", action="store_true", help="all tasks, where nothing is chosen")
        parser.add_argument(
            "--dry-run", action="store_true", help="tell how many tasks it would be, and do nothing"
        )
        if cls.question:
            parser.add_argument(
                "--yes", action="store_true", help="do it without asking, as in scripts and cron"
            )

    def handle(self, options: dict[str, Any]) -> None:
        tasks = self._chosen(options)
        fitting = self.fitting(tasks.filter(state__in=self.states), options)
        named = tasks.count() if options["ids"] else 0
        if options["dry_run"]:
            number, change = fitting.count(), f"would be {self.done}"
        else:
            if self.question and not options["yes"]:
                fitting = self._confirmed(fitting)
            number, change = self._do(fitting), self.done
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

    def _confirmed(self, tasks: QuerySet[BackgroundTask]) -> QuerySet[BackgroundTask]:
        """Ask, if it is more than one task; return those that were there when it was asked.

        :raises CommandError: if the answer is no, or there is nobody to answer.
        """
        states = tasks.order_by().values_list("state").annotate(Count("pk"), Max("pk"))
        found = sorted(states, key=lambda each: -each[1])
        number = sum(of_state for _state, of_state, _last in found)
        if number <= 1:
            return tasks
        told = ", ".join(f"{of_state} {state}" for state, of_state, _last in found)
        confirm(
            f"{self.question.format(tasks=counted(number))}: {told}.",
            refused=f"Nothing was {self.done}.",
            unasked=f"{counted(number)} would be {self.done}, and there is no terminal to ask in: "
            "add --yes to do it, or --dry-run to see the number alone.",
        )
        return tasks.filter(pk__lte=max(last for _state, _number, last in found))

    def _do(self, tasks: QuerySet[BackgroundTask]) -> int:
        try:
            with _apis_muted():
                return self.do(tasks)
        except KeyboardInterrupt:
            raise CommandError(
                f"Interrupted: some of the tasks may be {self.done} already, the others are as "
                "they were.",
                returncode=INTERRUPTED,
            ) from None

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


@contextmanager
def _apis_muted() -> Iterator[None]:
    """Keep what the APIs of ``TASKS`` log out of the terminal, where no handler wants it.

    For them, each task that is cancelled has failed.
    """
    nowhere = logging.NullHandler()
    muted = [each for each in map(logging.getLogger, APIS) if not each.hasHandlers()]
    for each in muted:
        each.addHandler(nowhere)
    try:
        yield
    finally:
        for each in muted:
            each.removeHandler(nowhere)
