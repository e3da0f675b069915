"""Filters of the subcommands: their arguments, and the tasks that they select."""

from __future__ import annotations

import datetime
import re
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import CommandError
from django.db.models import QuerySet

from wagtail_async_hooks.hooks import registry
from wagtail_async_hooks.integrations.commands import called, is_command
from wagtail_async_hooks.management.base import unknown
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import registered
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State

FILTERS: Final = ("hook", "function", "state", "queue", "older_than")
_KNOWN: Final[dict[str, Callable[[], set[str]]]] = {
    "hook": registry.hook_names,
    "function": registered.functions_known,
    "queue": registered.queues,
}
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_filters(parser: ArgumentParser) -> None:
    """Add the options that filter tasks."""
    parser.add_argument("--hook", default="", metavar="NAME", help="those of a hook or signal")
    parser.add_argument(
        "--function",
        default="",
        metavar="PATH",
        help="those of a function, by its dotted path, or of a management command, by its name",
    )
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="STATE",
        help=f"those in a state: {', '.join(State.values)}; several times for several states",
    )
    parser.add_argument("--queue", default="", metavar="NAME", help="those of a queue")
    parser.add_argument(
        "--older-than",
        default="",
        metavar="TIME",
        help="those that were recorded so long ago, such as 90s, 30m, 12h, 7d or 2w",
    )


def chosen(options: dict[str, Any]) -> QuerySet[BackgroundTask]:
    """Return the tasks that the options select.

    :raises CommandError: if the value of an option is invalid.
    """
    function = options["function"]
    if is_command(function):
        function = called(function)
    for state in options["state"]:
        if state not in State.values:
            raise unknown(f'There is no state "{state}"', state, State.values)
    older_than = duration(options["older_than"]) if options["older_than"] else None
    require_name("hook", options["hook"])
    require_name("function", function)
    require_name("queue", options["queue"])
    return control.select(
        hook=options["hook"],
        function=function,
        state=options["state"],
        queue=options["queue"],
        older_than=older_than,
    )


def by_ids(ids: list[int]) -> QuerySet[BackgroundTask]:
    """Return the tasks with some primary keys.

    :raises CommandError: if one of them does not exist.
    """
    tasks = control.select().filter(pk__in=ids)
    missing = sorted(set(ids) - set(tasks.values_list("pk", flat=True)))
    if missing:
        raise CommandError(f"There is no task {', '.join(map(str, missing))}.")
    return tasks


def duration(text: str) -> datetime.timedelta:
    """Parse a duration, such as ``90s`` or ``7d``.

    :raises CommandError: if it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    try:
        if match is not None:
            return datetime.timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError:
        pass
    raise CommandError(f'--older-than should be a time such as 90s, 30m, 12h or 7d, not "{text}".')


def require_name(column: str, name: str) -> None:
    """Make sure that a name is known to the code, or that of a task in the ledger.

    :param column: ``"hook"``, ``"function"`` or ``"queue"``.
    :param name: the name; a blank one is ignored.
    :raises CommandError: if nothing has that name.
    """
    tasks = background.storage.tasks
    if not name:
        return
    known = _KNOWN[column]()
    if name in known or tasks.filter(**{column: name}).exists():
        return
    recorded = tasks.order_by().values_list(column, flat=True).distinct()
    raise unknown(f'No {column} is named "{name}"', name, {*known, *recorded} - {""})
