"""The functions that run in the background, with their options and where each comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.management import get_commands
from huey.api import Task

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.options import DEFAULT_QUEUE, TaskOptions
from wagtail_async_hooks.hooks import registry
from wagtail_async_hooks.integrations.tasks_backend import wagtails_own
from wagtail_async_hooks.integrations.tasks_backend.lookup import is_task
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils import functions

DEFAULT: Final = "default"
"""Source of an option that is not set anywhere."""

_OURS: Final = "wagtail_async_hooks."


@dataclass(frozen=True)
class Option:
    """An option in force.

    :param source: a setting, what was called in code, or :data:`DEFAULT`.
    """

    name: str
    value: Any
    source: str


@dataclass(frozen=True)
class Listed:
    """A function that is registered for the background.

    :param kind: ``"hook"``, ``"signal"``, ``"task"`` for one of ours, or ``"TASKS"`` for another.
    :param hook: name of the hook or signal; blank for a task.
    :param function: its dotted path.
    :param synchronous: the reason why it runs in the request after all; blank if it does not.
    :param moved: the setting that has moved it; blank if its author asked for the background.
    """

    kind: str
    hook: str
    function: str
    options: tuple[Option, ...] = ()
    synchronous: str = ""
    moved: str = ""


def listed() -> list[Listed]:
    """Return all functions that are registered for the background in this process."""
    found = [*_of_hooks(), *_kept_synchronous(), *_of_background(), *_of_tasks()]
    return sorted(found, key=lambda each: (each.kind, each.hook, each.function))


def functions_known() -> set[str]:
    """Return the values of the ledger's column ``function`` that the code knows."""
    named = {each.function for each in listed() if not each.synchronous}
    return named | {f"manage.py {name}" for name in get_commands()}


def queues() -> set[str]:
    """Return the names of all queues that the settings and the code know."""
    settings, named = conf.current(), {DEFAULT_QUEUE}
    named |= {*settings.queues, *settings.worker.queues, *settings.worker.exclude_queues}
    for given in getattr(django_settings, "TASKS", {}).values():
        named |= set(given.get("QUEUES", ()))
    options = (option for each in listed() for option in each.options)
    return named | {option.value for option in options if option.name == "queue" and option.value}


def _of_hooks() -> Iterator[Listed]:
    for entry in registry.entries.values():
        kind, call = ("signal", "receiver()") if entry.is_receiver else ("hook", "register()")
        options = _options(entry.hook, entry.path, {call: entry.options})
        why = conf.current().why_synchronous(entry.hook, entry.path)
        moved = conf.background_setting(entry.path) if entry.moved else ""
        yield Listed(kind, entry.hook, entry.path, options, why, moved)


def _kept_synchronous() -> Iterator[Listed]:
    for kept in registry.kept_synchronous:
        kind = "signal" if kept.is_receiver else "hook"
        named = kept.function if functions.has_name(kept.function) else type(kept.function)
        yield Listed(kind, kept.hook, functions.dotted_path(named), synchronous=kept.reason)


def _of_background() -> Iterator[Listed]:
    for task in background.task_classes():
        definition = task.definition
        path = definition.function
        if not path.startswith(_OURS) and not definition.hook:
            said = {name: getattr(task, f"default_{name}", None) for name in TaskOptions().items()}
            said = {name: value for name, value in said.items() if value != _default(name)}
            given = definition.own_options().over(TaskOptions(**said))
            # Settings for hooks and functions are not about these.
            yield Listed("task", "", path, tuple(_in_force({"task()": given})))


def _of_tasks() -> Iterator[Listed]:
    named = {path for path in conf.current().hooks if is_task(path)}
    for path in named | {path for path in wagtails_own.OPTIONS if is_task(path)}:
        known = wagtails_own.OPTIONS.get(path, TaskOptions())
        why = conf.current().why_synchronous(path, path)
        options = _options("", path, {"wagtail_async_hooks": known})
        yield Listed("TASKS", "", path, options, why)


def _options(hook: str, path: str, weaker: Mapping[str, TaskOptions]) -> tuple[Option, ...]:
    """Return the options in force for a function, where the settings may name it or its hook."""
    settings = conf.current().hooks
    named = {f'{conf.SETTING}["HOOKS"]["{name}"]': settings.get(name) for name in (path, hook)}
    said = {source: options for source, options in named.items() if options is not None}
    return tuple(_in_force({**said, **weaker}))


def _in_force(said: Mapping[str, TaskOptions]) -> Iterator[Option]:
    """Yield each option as set by the source with the highest precedence.

    :param said: options by source, in the order of precedence.
    """
    for name in TaskOptions().items():
        for source, options in said.items():
            value = options.items()[name]
            if value is not None:
                yield Option(name, _json_value(value), source)
                break
        else:
            yield Option(name, _default(name), DEFAULT)


def _default(name: str) -> Any:
    """Return Huey's default of an option; ``None`` for options that Huey does not have."""
    return getattr(Task, f"default_{name}", None)


def _json_value(value: Any) -> Any:
    """Return the value of an option in JSON's types."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(each) for each in value]
    if isinstance(value, Mapping):
        return {str(_json_value(key)): _json_value(each) for key, each in value.items()}
    if callable(value):
        named = functions.dotted_path(value) if functions.has_name(value) else repr(value)
        return named.removeprefix("builtins.")
    return value if isinstance(value, str | int | float | bool) else str(value)
