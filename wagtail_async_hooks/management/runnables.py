"""Names that ``wagtail_tasks run`` takes, and how to enqueue or call each of them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.management import BaseCommand, call_command, get_commands, load_command_class
from django.core.management.base import CommandError, OutputWrapper
from huey.api import TaskWrapper

from wagtail_async_hooks.conf.validators import queue_name
from wagtail_async_hooks.exceptions import CannotSerialize
from wagtail_async_hooks.integrations import commands
from wagtail_async_hooks.integrations.tasks_backend.apis import APIS, api_of
from wagtail_async_hooks.integrations.tasks_backend.backend import WagtailTasksBackend
from wagtail_async_hooks.management.base import unknown
from wagtail_async_hooks.monitoring import registered
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils import functions, signatures
from wagtail_async_hooks.utils.redaction import is_secret
from wagtail_async_hooks.worker import schedule

Output = OutputWrapper | None


@dataclass(frozen=True)
class EnqueueOptions:
    """Options for the task that is enqueued; ``None`` where none is given."""

    priority: int | None = None
    queue: str | None = None


@dataclass(frozen=True)
class Runnable:
    """A command, task or function, with its arguments.

    :param enqueue: enqueues it as a task, and returns Huey's id of that.
    :param here: calls it in this process, and returns its return value. The output of a command is
        written to the stream that is given, and returned if none is.
    """

    enqueue: Callable[[EnqueueOptions], str]
    here: Callable[[Output], Any]


def find_runnable(name: str, given: Sequence[str]) -> Runnable:
    """Return the command, task or function of a name.

    :param name: of a management command, of an entry of the schedule, or the dotted path of a
        background task, of a task of ``TASKS``, or of a function.
    :param given: its arguments, as on a command line.
    :raises CommandError: if there is none, or it does not take these arguments.
    """
    if commands.is_command(name):
        return _command(name, given)
    if name in schedule.known():
        return _entry(name, given)
    if "." in name:
        return _function(name, given)
    known = [*get_commands(), *schedule.known(), *registered.functions_known()]
    problem = f'There is no command, task or entry of the schedule named "{name}"'
    raise unknown(problem, name, known)


# Commands -----------------------------------------------------------------------------------


def _command(name: str, given: Sequence[str]) -> Runnable:
    if name in commands.UNSUITED:
        raise CommandError(f"{name} cannot run as a background task: {commands.UNSUITED[name]}.")
    _check_arguments(name, given)

    def enqueue(options: EnqueueOptions) -> str:
        _refuse_secrets(given)
        return _enqueue(commands.make_task(name, *given), options)

    def here(output: Output) -> Any:
        printed = io.StringIO()
        call_command(commands.find(name), *given, stdout=output or printed)
        return printed.getvalue() or None

    return Runnable(enqueue, here)


def _check_arguments(name: str, given: Sequence[str]) -> None:
    """Let the command's own parser refuse invalid arguments, here rather than in a worker."""
    found = commands.find(name)
    command = found
    if not isinstance(command, BaseCommand):
        app = get_commands()[name]
        command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    try:
        command.create_parser("manage.py", name).parse_args(list(given))
    except CommandError as error:
        problem = str(error).removeprefix("Error: ")
        raise CommandError(f'{name} does not take "{" ".join(given)}": {problem}') from error


def _refuse_secrets(given: Sequence[str]) -> None:
    for argument in given:
        option = argument.partition("=")[0]
        if option.startswith("-") and is_secret(option):
            raise CommandError(
                f"{option} looks like a secret, which the task's row would keep; let the command "
                "read it from the settings, or run it with --here."
            )


# Entries of the schedule ---------------------------------------------------------------------


def _entry(name: str, given: Sequence[str]) -> Runnable:
    if given:
        raise CommandError(
            f'"{name}" is an entry of the schedule, which has its arguments already; leave out '
            f'"{" ".join(given)}".'
        )
    task = schedule.known()[name].make()
    return Runnable(lambda options: _enqueue(task, options), lambda output: task.execute())


# Functions ----------------------------------------------------------------------------------


def _function(path: str, given: Sequence[str]) -> Runnable:
    try:
        found = functions.imported(path)
    except ImportError as error:
        problem = f"{path} cannot be imported: {error}"
        raise unknown(problem, path, registered.functions_known()) from error
    args, kwargs = _arguments(given)
    wants_task = isinstance(found, TaskWrapper) and found.context
    function = getattr(found, "func", found)
    names = {*kwargs, "task"} if wants_task else set(kwargs)
    if not callable(function):
        raise CommandError(f"{path} is a {type(found).__name__}, which cannot be run.")
    misfit = signatures.misfit(function, _with_context(found, args), names)
    if misfit:
        raise CommandError(f'{path} does not take "{" ".join(given)}": it {misfit}.')

    def enqueue(options: EnqueueOptions) -> str:
        _refuse_secrets(given)
        if isinstance(found, TaskWrapper):
            return _enqueue(found.task_class(tuple(args), kwargs), options)
        if _is_of_tasks(found):
            return _enqueue_of_tasks(found, args, kwargs, options)
        raise CommandError(
            f"{path} is no background task, so that a worker would not find it; decorate it with "
            "@background.task(), or run it with --here."
        )

    def here(output: Output) -> Any:
        if wants_task or _with_context(found, args) != args:
            raise CommandError(f"{path} asks for its task, and there is none with --here.")
        return functions.call(function, *args, **kwargs)

    return Runnable(enqueue, here)


def _arguments(given: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments; those that are valid JSON are parsed as such."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for argument in given:
        if argument.startswith("--"):
            name, assigned, value = argument[2:].partition("=")
            kwargs[name.replace("-", "_")] = _value(value) if assigned else True
        else:
            args.append(_value(argument))
    return args, kwargs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_of_tasks(found: Any) -> bool:
    return any(isinstance(found, api.base.Task) for api in APIS.values())


def _with_context(found: Any, args: list[Any]) -> list[Any]:
    takes = _is_of_tasks(found) and found.takes_context
    return [None, *args] if takes else args


# Enqueueing ---------------------------------------------------------------------------------


def _enqueue(task: QueuedTask, options: EnqueueOptions) -> str:
    if options.priority is not None:
        task.priority = options.priority
    if options.queue is not None:
        if expected := queue_name(options.queue):
            raise CommandError(f"--queue should be {expected}, but is {options.queue!r}.")
        task.submission.queue = options.queue
    try:
        background.enqueue(task)
    except CannotSerialize as error:
        raise CommandError(f"An argument cannot be carried: {error}") from error
    return str(task.id)


def _enqueue_of_tasks(
    found: Any, args: list[Any], kwargs: dict[str, Any], options: EnqueueOptions
) -> str:
    if not isinstance(found.get_backend(), WagtailTasksBackend):
        raise CommandError(
            f'TASKS["{found.backend}"] leads elsewhere, so that {found.module_path} is not run by '
            "our workers; run it with --here."
        )
    given = {"priority": options.priority, "queue_name": options.queue}
    try:
        task = found.using(**{name: value for name, value in given.items() if value is not None})
        return str(task.enqueue(*args, **kwargs).id)
    except (api_of(found).invalid_task, TypeError) as error:
        raise CommandError(f"{found.module_path}: {error}") from error
