"""System checks of options: what contradicts other options, or has no effect beside them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.options import KeyTemplate, TaskOptions
from wagtail_async_hooks.hooks import catalogue, registry
from wagtail_async_hooks.integrations import tasks_backend
from wagtail_async_hooks.integrations.tasks_backend.backend import leads_here
from wagtail_async_hooks.integrations.tasks_backend.lookup import find_any
from wagtail_async_hooks.queue import retries
from wagtail_async_hooks.utils import functions, placeholders, signatures

_FOR_RETRIES: Final = ("retry_delay", "retry_backoff", "retry_jitter", "retry_on")
"""Options that have no effect without ``retries``."""

_FOR_DELAYS: Final = ("retry_backoff", "retry_jitter")
"""Options that have no effect without ``retry_delay``."""


@dataclass(frozen=True)
class Configured:
    """A function, task or schedule entry, with its options.

    :param told: its description, as the beginning of a sentence.
    :param options: the options in force.
    :param names: names of the arguments for keys; ``None`` if they are not known.
    :param superseded: why ``supersede`` has no effect; blank if it has.
    """

    told: str
    options: TaskOptions
    names: Collection[str] | None = None
    superseded: str = ""
    obj: str | None = None


def check_options(**kwargs: Any) -> Iterator[CheckMessage]:
    """Options in force that contradict each other or have no effect."""
    for found in _configured():
        for problem, hint in _contradictions(found.options, found.superseded):
            yield checks.Warning(
                f"{found.told} {problem}.", hint=hint, obj=found.obj, id="wagtail_async_hooks.W010"
            )


def check_keys(**kwargs: Any) -> Iterator[CheckMessage]:
    """Keys that need arguments that the function does not get."""
    for found in _configured():
        for name in ("coalesce", "exclusive"):
            template = getattr(found.options, name)
            if template is not None and (problem := _why_no_key(template, found.names)):
                yield checks.Warning(
                    f"{found.told} has a key {name}= that {problem}, so its tasks have none.",
                    hint='Give a template such as "{page.pk}", or a callable that takes the '
                    "arguments by their names.",
                    obj=found.obj,
                    id="wagtail_async_hooks.W011",
                )


def check_templates(**kwargs: Any) -> Iterator[CheckMessage]:
    """Titles and keys with placeholders that may contain secrets."""
    for found in _configured():
        options = found.options
        for option in ("title", "coalesce", "exclusive"):
            template = getattr(options, option)
            if template is None or callable(template):
                continue
            for problem in placeholders.problems_of(str(template), of_key=option != "title"):
                yield checks.Warning(
                    f"{found.told} has {option}={str(template)!r}, of which {problem}.",
                    hint="Name single attributes of the arguments, such as {page.slug}.",
                    obj=found.obj,
                    id="wagtail_async_hooks.W040",
                )


def check_error_classes(**kwargs: Any) -> Iterator[CheckMessage]:
    """Classes of exceptions in ``retry_on`` and ``discard_on`` that do not exist."""
    wagtail_hooks.search_for_hooks()
    given = [
        (f'{conf.SETTING}["HOOKS"]["{name}"]', options)
        for name, options in conf.current().hooks.items()
    ]
    given += [(str(entry), entry.options) for entry in registry.entries.values()]
    for where, options in given:
        for option in ("retry_on", "discard_on"):
            for problem in retries.problems_of(getattr(options, option)):
                yield Error(
                    f"{where} has {option}, of which {problem}.",
                    hint="Give classes of exceptions, or their dotted paths.",
                    id="wagtail_async_hooks.E007",
                )


def check_effect(**kwargs: Any) -> Iterator[CheckMessage]:
    """Settings that have no effect because of other settings."""
    wagtail_hooks.search_for_hooks()
    settings = conf.current()
    problems = [*_of_nobody(settings), *_without_worker(settings)]
    for problem, hint in problems:
        yield checks.Warning(problem, hint=hint, id="wagtail_async_hooks.W012")


def _configured() -> Iterator[Configured]:
    wagtail_hooks.search_for_hooks()
    settings = conf.current()
    for entry in registry.entries.values():
        if not entry.is_synchronous_now():
            # A signal may pass more than is known of it.
            names = None if entry.is_receiver else entry.kind.arguments or None
            yield Configured(
                f'{entry.path}, which runs in the background for "{entry.hook}",',
                entry.options_now(),
                names,
                "what is deleted has no newer revision" if entry.kind.deleted else "",
                functions.label(entry.function),
            )
    for path in settings.hooks:
        if (task := find_any(path)) is not None:
            yield Configured(
                f"The task {path}",
                settings.options_for(path, path),
                _names_of(task),
                "a task of TASKS is about no revision",
            )
    for name, given in settings.schedule.items():
        where = f'{conf.SETTING}["SCHEDULE"]["{name}"]'
        yield Configured(where, given.task_options, tuple(given.kwargs))


def _names_of(task: Any) -> tuple[str, ...] | None:
    """Return the names of the arguments of a task of ``TASKS``; ``None`` for any."""
    names = signatures.names(task.func)
    return names if names is None else names[1 if task.takes_context else 0 :]


def _contradictions(options: TaskOptions, superseded: str) -> Iterator[tuple[str, str]]:
    """Yield the contradictions in options, each with a hint."""
    yield from _of_retries(options)
    if options.expires and options.delay and options.expires <= options.delay:
        yield (
            f"expires after {options.expires:g} seconds and is not begun for {options.delay:g}, "
            "so it never runs",
            "Let expires be longer than delay.",
        )
    if options.supersede and superseded:
        yield f"has supersede, but {superseded}", "Remove supersede."


def _of_retries(options: TaskOptions) -> Iterator[tuple[str, str]]:
    """Yield contradictions in the options about retries, each with a hint."""
    given = [name for name, value in options.items().items() if value]
    idle = [name for name in _FOR_RETRIES if name in given]
    if idle and not options.retries:
        named = " and ".join(idle)
        yield (
            f"has {named}, but no retries: it is not tried again",
            f"Set retries as well, or remove {named}.",
        )
        return
    idle = [name for name in _FOR_DELAYS if name in given and getattr(options, name) != 1]
    if idle and not options.retry_delay:
        named = " and ".join(idle)
        yield (
            f"has {named}, but no retry_delay for it to change",
            f"Set retry_delay as well, or remove {named}.",
        )
    if options.retry_on is not None and options.discard_on is not None:
        retried, _ = retries.imported(options.retry_on)
        discarded, _ = retries.imported(options.discard_on)
        for name in sorted(kind.__name__ for kind in set(retried) & set(discarded)):
            yield (
                f"has {name} in both retry_on and discard_on: it is not tried again after it",
                "Remove it from one of them.",
            )


def _why_no_key(template: KeyTemplate, names: Collection[str] | None) -> str:
    """Return why a key cannot be made of arguments; blank if it can, or if it is not known."""
    if callable(template):
        misfit = names and signatures.misfit(template, (), names)
        return f"{misfit}, but gets ({_listed(names)})" if misfit and names else ""
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    except ValueError as error:
        return f"is no template ({template!r}: {error})"
    for field in fields:
        name = re.split(r"[.\[]", field, maxsplit=1)[0]
        if names is not None and name not in names:
            return f"asks for {name!r} ({template!r}), but the arguments are ({_listed(names)})"
    return ""


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)


def _of_nobody(settings: conf.Settings) -> Iterator[tuple[str, str]]:
    """Yield options of functions that do not run in our workers, each with a hint."""
    where = f'{conf.SETTING}["HOOKS"]'
    for name, given in settings.hooks.items():
        if (given != TaskOptions() or name in settings.moved) and _is_synchronous(name, settings):
            keeps = settings.why_synchronous(name, name) or conf.SYNC_HOOKS_SETTING
            yield (
                f'{where} has options of "{name}", which {keeps} keeps in the request.',
                "Remove it from one of them.",
            )
        task = find_any(name)
        if task is not None and not _is_ours(task.backend):
            yield (
                f'{where} has options of the task "{name}", but TASKS["{task.backend}"] does not '
                "lead to wagtail_async_hooks.",
                f'Set its BACKEND to "{tasks_backend.PATH}", or remove the options.',
            )
        if name in settings.own_hooks and name in catalogue.BACKGROUND_SAFE:
            yield (
                f'{where}["{name}"]["arguments"] is about a hook of Wagtail\'s own, whose '
                "arguments are known.",
                'Remove "arguments".',
            )


def _is_synchronous(name: str, settings: conf.Settings) -> bool:
    entries = [entry for entry in registry.entries.values() if name == entry.path]
    forced = [entry.is_synchronous_now() for entry in entries]
    return settings.runs_synchronously(name, name) or (bool(forced) and all(forced))


def _is_ours(alias: str) -> bool:
    given = getattr(django_settings, "TASKS", {})
    params = given.get(alias, {}) if isinstance(given, Mapping) else {}
    return isinstance(params, Mapping) and leads_here(params.get("BACKEND"))


def _without_worker(settings: conf.Settings) -> Iterator[tuple[str, str]]:
    """Yield settings for workers where there is no backend, each with a hint."""
    if settings.backend:
        return
    for name, given in (
        ("SCHEDULE", settings.schedule),
        ("SCHEDULED_PUBLISHING", settings.scheduled_publishing),
    ):
        if given:
            yield (
                f'{conf.SETTING}["{name}"] is set, but {conf.SETTING}["BACKEND"] is blank: there '
                "is no worker that does it.",
                f'Set BACKEND, to "database" to begin with, or remove {name} where nothing is '
                "to run in the background.",
            )
