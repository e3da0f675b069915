"""Django's system checks: what is wrong with the settings and with registered hooks."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections, router
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import catalogue, conf, dispatch
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.storage.resolving import find_class, make_bell


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Every mistake in ``WAGTAIL_TASKS`` and ``WAGTAIL_TASKS_SYNC_HOOKS``."""
    return [
        Error(
            problem,
            hint="See the page “Settings” of the documentation.",
            id="wagtail_async_hooks.E001",
        )
        for problem in conf.current().problems
    ]


@register(Tags.compatibility)
def check_backend(**kwargs: Any) -> list[CheckMessage]:
    """A backend that does not exist, or whose library is not installed."""
    settings = conf.current()
    if settings.backend in ("", "database"):
        return []
    try:
        if settings.backend == "redis" and importlib.util.find_spec("redis"):
            return []  # whether it answers is for the worker to say, not for a deployment's check
        if settings.backend != "redis":
            find_class(settings.backend)
            return []
        make_bell(settings, "check")
    except ConfigurationError as error:
        return [Error(str(error), id="wagtail_async_hooks.E002")]
    return []


@register(Tags.compatibility)
def check_database(**kwargs: Any) -> list[CheckMessage]:
    """A ledger that is not in the database of the pages."""
    if not conf.current().backend:
        return []
    ledger = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    pages = router.db_for_write(apps.get_model("wagtailcore", "Page"))
    if ledger == pages:
        return []
    return [
        checks.Warning(
            f"Background tasks are written to the database {ledger!r}, pages to {pages!r}: a task "
            "is lost if the process dies between the two commits.",
            hint="Let DATABASE_ROUTERS send the app wagtail_async_hooks where pages go.",
            id="wagtail_async_hooks.W001",
        )
    ]


@register(Tags.compatibility)
def check_sqlite(**kwargs: Any) -> list[CheckMessage]:
    """An SQLite database on which an editor's save and a worker would get in each other's way."""
    if not conf.current().backend:
        return []
    alias = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    if connections[alias].vendor != "sqlite":
        return []
    options = connections[alias].settings_dict["OPTIONS"]
    immediate = str(options.get("transaction_mode", "")).upper() == "IMMEDIATE"
    wal = re.search(r"journal_mode\s*=\s*wal", str(options.get("init_command", "")), re.IGNORECASE)
    if immediate and wal:
        return []
    return [
        checks.Warning(
            f"The SQLite database {alias!r} is not set up for a worker beside the site: an editor "
            'may see "database is locked".',
            hint=f'Put this into DATABASES["{alias}"]: "OPTIONS": {{"transaction_mode": '
            '"IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL; PRAGMA '
            'synchronous=NORMAL;"}',
            id="wagtail_async_hooks.W005",
        )
    ]


@register(Tags.compatibility)
def check_hooks(**kwargs: Any) -> list[CheckMessage]:
    """Functions that asked for the background and run in the request anyway."""
    wagtail_hooks.search_for_hooks()
    return [
        checks.Warning(
            f'{_name(kept.function)}, registered for "{kept.hook}" with background=True, runs in '
            f"the request: {kept.reason}.",
            hint=_hint(kept),
            obj=kept.function,
            id="wagtail_async_hooks.W002" if kept.in_catalogue else "wagtail_async_hooks.W003",
        )
        for kept in dispatch.kept_synchronous
    ]


@register(Tags.compatibility)
def check_hook_names(**kwargs: Any) -> Iterator[CheckMessage]:
    """Names in the settings that are neither a hook's nor a background function's."""
    wagtail_hooks.search_for_hooks()
    settings = conf.current()
    known = {*catalogue.BACKGROUND_SAFE, *(path for _, path in dispatch.registry)}
    for setting, names in (
        (f'{conf.SETTING}["HOOKS"]', settings.hooks),
        (conf.SYNC_HOOKS_SETTING, settings.sync_hooks),
    ):
        for name in sorted(set(names) - known):
            near = difflib.get_close_matches(name, known, n=1)
            yield checks.Warning(
                f'{setting} names "{name}", which is neither a background-safe hook nor a '
                "function that is registered to run in the background.",
                hint=f'Did you mean "{near[0]}"?' if near else "Remove it, or correct it.",
                id="wagtail_async_hooks.W004",
            )


def _name(function: Any) -> str:
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    return f"{module}.{name}" if name else repr(function)


def _hint(kept: dispatch.KeptSynchronous) -> str:
    if kept.in_catalogue:
        return "Move it to the top level of a module, and give it a name."
    near = difflib.get_close_matches(kept.hook, catalogue.BACKGROUND_SAFE, n=1, cutoff=0.8)
    if near:
        return f'Remove background=True, or did you mean the hook "{near[0]}"?'
    return "Remove background=True."
