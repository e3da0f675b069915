"""System checks of the schedule: the commands and functions that it names, and their arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.management import get_commands
from huey.api import TaskWrapper

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf import ScheduleEntry
from wagtail_async_hooks.exceptions import CannotSerialize
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils import signatures
from wagtail_async_hooks.utils.suggestions import nearest
from wagtail_async_hooks.worker import schedule


def check_schedule(**kwargs: Any) -> Iterator[CheckMessage]:
    """Commands and functions of the schedule that do not exist, or do not take what is given."""
    for name, given in conf.current().schedule.items():
        where = f'{conf.SETTING}["SCHEDULE"]["{name}"]'
        if given.command:
            yield from _unknown_command(where, given.command)
        else:
            yield from _function_of_the_schedule(where, given)
        try:
            background.serializer.serialize((given.args, dict(given.kwargs)))
        except CannotSerialize as error:
            yield _cannot_run(f"{where} has an argument that cannot be carried: {error}")


def _unknown_command(where: str, name: str) -> Iterator[CheckMessage]:
    if name not in get_commands():
        near = nearest(name, get_commands())
        yield _not_found(
            f'{where} names the command "{name}", which no installed app has.',
            f'Did you mean "{near}"?' if near else "Correct or remove it.",
        )


def _function_of_the_schedule(where: str, given: ScheduleEntry) -> Iterator[CheckMessage]:
    try:
        found = schedule.find_function(given.function)
    except ImportError as error:
        yield _not_found(
            f'{where} names the function "{given.function}", which cannot be imported: {error}.',
            "Give the dotted path of a function, or of a background task.",
        )
        return
    names = set(given.kwargs)
    if isinstance(found, TaskWrapper):
        names |= {"task"} if found.context else set()
        found = found.func
    if misfit := signatures.misfit(found, given.args, names):
        yield _cannot_run(f"{where} does not fit {given.function}, which {misfit}.")


def _not_found(said: str, hint: str) -> CheckMessage:
    return Error(said, hint=hint, id="wagtail_async_hooks.E004")


def _cannot_run(said: str) -> CheckMessage:
    hint = 'Correct "args", and "kwargs" or "options".'
    return checks.Warning(said, hint=hint, id="wagtail_async_hooks.W009")
