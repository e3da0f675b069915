"""System checks of background functions, and of their hooks and signals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import conf
from wagtail_async_hooks.hooks import catalogue, leftovers, registry, source
from wagtail_async_hooks.hooks.known_hooks import UNSUITABLE_HOOKS
from wagtail_async_hooks.integrations.tasks_backend.lookup import is_task
from wagtail_async_hooks.utils import functions, signatures
from wagtail_async_hooks.utils.suggestions import nearest


def check_hooks(**kwargs: Any) -> list[CheckMessage]:
    """Functions with ``background=True`` that run in the request."""
    wagtail_hooks.search_for_hooks()
    return [
        checks.Warning(
            f"{functions.named(kept.function)}, {_how(kept)}: {kept.reason}.",
            hint=_hint(kept),
            obj=functions.label(kept.function),
            id="wagtail_async_hooks.W003" if kept.is_unsuitable else "wagtail_async_hooks.W002",
        )
        for kept in registry.kept_synchronous
        if kept.is_receiver or not kept.is_unsuitable or is_known(kept.hook)
    ]


def _how(kept: registry.KeptSynchronous) -> str:
    if kept.is_receiver:
        return f'connected to the signal "{kept.hook}" with background=True, runs at once'
    return f'registered for "{kept.hook}" with background=True, runs in the request'


def _hint(kept: registry.KeptSynchronous) -> str:
    if not kept.is_unsuitable:
        return "Move it to the top level of a module, and give it a name."
    if kept.is_receiver:
        after = kept.hook.replace("pre_", "post_", 1)
        suits = after != kept.hook and after in catalogue.SIGNALS
        other = f', or did you mean the signal "{after}"?' if suits else "."
        return f"Remove background=True{other}"
    after = kept.hook.replace("before_", "after_", 1)
    if after != kept.hook and after in catalogue.hooks():
        return f'Remove background=True, or did you mean the hook "{after}"?'
    return "Remove background=True."


def check_hook_exists(**kwargs: Any) -> Iterator[CheckMessage]:
    """Functions with ``background=True`` for a hook that Wagtail never fires."""
    wagtail_hooks.search_for_hooks()
    for kept in registry.kept_synchronous:
        if kept.is_unsuitable and not kept.is_receiver and not is_known(kept.hook):
            near = nearest_hook(kept.hook)
            yield checks.Warning(
                f'{functions.named(kept.function)}, registered for "{kept.hook}" with '
                "background=True, is never called by Wagtail, which has no such hook.",
                hint=f'Did you mean "{near}"?'
                if near
                else "If your own code or a package fires it, add it to the catalogue: "
                f'{conf.SETTING}["HOOKS"]["{kept.hook}"] = {{"arguments": […]}}.',
                obj=functions.label(kept.function),
                id="wagtail_async_hooks.W019",
            )


def is_known(hook: str) -> bool:
    """Return whether Wagtail fires a hook, or the catalogue has it."""
    return hook in UNSUITABLE_HOOKS or catalogue.kind_of(hook) is not None


def nearest_hook(hook: str) -> str:
    """Return the hook with the most similar name; blank if none is similar."""
    known = sorted({*catalogue.hooks(), *UNSUITABLE_HOOKS})
    return nearest(str(hook).strip().lower(), known, cutoff=0.75)


def check_hook_names(**kwargs: Any) -> Iterator[CheckMessage]:
    """Names in the settings that are neither a hook's nor a background function's."""
    wagtail_hooks.search_for_hooks()
    settings = conf.current()
    known = registry.hook_names() | registry.function_paths()
    for setting, names in (
        (f'{conf.SETTING}["HOOKS"]', settings.hooks),
        (conf.SYNC_HOOKS_SETTING, settings.sync_hooks),
    ):
        for name in sorted(set(names) - known):
            if is_task(name) or name in settings.background:
                continue  # check_moved() reports those that are to be moved
            near = nearest(name, known)
            yield checks.Warning(
                f'{setting} names "{name}", which is neither a background-safe hook nor a '
                "function that is registered to run in the background, nor a task of TASKS.",
                hint=f'Did you mean "{near}"?' if near else "Remove it, or correct it.",
                id="wagtail_async_hooks.W004",
            )


def check_sources(**kwargs: Any) -> Iterator[CheckMessage]:
    """Background functions that read what a worker does not have, or take other arguments."""
    wagtail_hooks.search_for_hooks()
    for entry in registry.entries.values():
        if entry.is_synchronous_now():
            continue
        if entry.is_receiver or "request" in entry.kind.arguments[:1]:
            yield from _missing(entry)
        if entry.kind.arguments and not entry.is_receiver:
            yield from _misfit(entry)


def _missing(entry: registry.BackgroundFunction) -> Iterator[CheckMessage]:
    # A receiver gets the request by its name, not as the first argument.
    name = "request" if entry.is_receiver else ""
    for finding in source.what_is_missing(entry.function, name, len(entry.kind.arguments)):
        yield checks.Warning(
            f"{functions.dotted_path(entry.function)}, which runs in the background for "
            f'"{entry.hook}", reads {finding.what} ({finding.place}); a worker does not have it.',
            hint="Read what you need from the object that the hook is about, or keep the function "
            "synchronous with WAGTAIL_TASKS_SYNC_HOOKS.",
            obj=functions.label(entry.function),
            id="wagtail_async_hooks.W006",
        )


def _misfit(entry: registry.BackgroundFunction) -> Iterator[CheckMessage]:
    if misfit := signatures.misfit(entry.function, entry.kind.arguments):
        passed = ", ".join(entry.kind.arguments)
        yield checks.Warning(
            f'{functions.named(entry.function)} {misfit}, but "{entry.hook}" passes ({passed}).',
            hint="Give it these arguments.",
            obj=functions.label(entry.function),
            id="wagtail_async_hooks.W007",
        )


def check_leftovers(**kwargs: Any) -> Iterator[CheckMessage]:
    """Background functions that read attributes that another function has set on an argument."""
    wagtail_hooks.search_for_hooks()
    entries = [entry for entry in registry.entries.values() if not entry.is_synchronous_now()]
    written = leftovers.written() if entries else {}
    for entry in entries:
        for found in leftovers.read_by(entry.function, written):
            left = f", which {found.writer} leaves there" if found.writer else ""
            yield checks.Warning(
                f"{functions.dotted_path(entry.function)}, which runs in the background for "
                f'"{entry.hook}", reads {found.what}{left} ({found.place}); such attributes do not '
                "reach a worker.",
                hint="Keep the function synchronous with WAGTAIL_TASKS_SYNC_HOOKS, or have its "
                "synchronous part pass the value to a task.",
                obj=functions.label(entry.function),
                id="wagtail_async_hooks.W035",
            )
