"""Management commands as background tasks; their output becomes the task's result."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

from django.core.management import BaseCommand, CommandError, call_command, get_commands
from django.utils.module_loading import import_string

from wagtail_async_hooks.queue.submission import QueuedTask, Submission
from wagtail_async_hooks.queue.task_queue import background

MAX_OUTPUT: Final = 10_000
"""Characters of a command's output that are kept: its last ones."""

_SERVES: Final = "it runs until it is stopped"
_TALKS: Final = "it needs somebody at a terminal"

UNSUITED: Final[Mapping[str, str]] = {
    "changepassword": _TALKS,
    "dbshell": _TALKS,
    "flush": "it would delete the background tasks, itself among them",
    "runserver": _SERVES,
    "shell": _TALKS,
    "test": "it makes a database of its own, and ends that",
    "testserver": _SERVES,
    "wagtail_tasks": "it is what people use to look after the workers",
    "wagtail_worker": _SERVES,
}
"""Commands that are no background tasks, and why."""

_stand_ins: Final[dict[str, str | type[BaseCommand]]] = {
    "rebuild_references_index": "wagtail_async_hooks.integrations.indexing.references.Command",
    "update_index": "wagtail_async_hooks.integrations.indexing.search.Command",
    "wagtail_update_index": "wagtail_async_hooks.integrations.indexing.search.Command",
}


def register(name: str, command: str | type[BaseCommand]) -> None:
    """Replace a management command where it runs as a background task, so that it reports progress.

    :param name: name of the command.
    :param command: a subclass of its class, or the dotted path of one.
    """
    _stand_ins[name] = command


def find(name: str) -> str | BaseCommand:
    """Return what stands in for a command, made ready to be called; its name if nothing does."""
    found = _stand_ins.get(name, name)
    if found is name:
        return name
    command: BaseCommand = (import_string(found) if isinstance(found, str) else found)()
    return command


def make_task(name: str, /, *args: Any, **options: Any) -> QueuedTask:
    """Return the task that runs a management command; the arguments are :func:`run_command`'s."""
    task: QueuedTask = run_command.task_class(
        (name, *args), options, submission=Submission(function=called(name))
    )
    return task


def called(name: str) -> str:
    """Return how rows tell of a command, in the place of a function."""
    return f"manage.py {name}"


def is_command(name: str) -> bool:
    """Return whether an installed app has a command of a name."""
    return name in get_commands()


@background.own_task("run_command")
def run_command(name: str, /, *args: str, **options: Any) -> str:
    """Run a management command.

    :param name: of the command.
    :param args: what would follow it on the command line.
    :param options: its options by name, with values rather than texts.
    :returns: the end of what it printed.
    :raises CommandError: if it failed, or is not suited; the task has failed then.
    """
    if name in UNSUITED:
        raise CommandError(f"{name} cannot run as a background task: {UNSUITED[name]}.")
    output = io.StringIO()
    try:
        call_command(find(name), *args, stdout=output, stderr=output, **options)
    except SystemExit as error:
        if error.code not in (None, 0):
            raise CommandError(f"{name} ended with exit code {error.code}.") from error
    return output.getvalue()[-MAX_OUTPUT:]
