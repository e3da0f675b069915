"""System checks of what is easily forgotten: a backend, migrations, an app, the right name."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections, router
from django.urls import get_resolver
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import conf
from wagtail_async_hooks.checks import unimported
from wagtail_async_hooks.hooks import catalogue, registry
from wagtail_async_hooks.hooks.known_hooks import UNSUITABLE_HOOKS
from wagtail_async_hooks.ledger import migrated
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.database import pools
from wagtail_async_hooks.utils.suggestions import nearest

_NAMED: Final = 3
"""How many functions a message names."""


def check_blank_backend(**kwargs: Any) -> Iterator[CheckMessage]:
    """Functions that ask for the background, where there is no backend."""
    wagtail_hooks.search_for_hooks()
    given = getattr(django_settings, conf.SETTING, None)
    paths = sorted(
        {entry.path for entry in registry.entries.values() if not entry.is_synchronous_now()}
    )
    is_read = given is None or isinstance(given, Mapping)
    if conf.current().backend or not paths or not is_read:
        return
    named = ", ".join(paths[:_NAMED]) + (" and others" if len(paths) > _NAMED else "")
    backend = f'{conf.SETTING}["BACKEND"]'
    if given and "BACKEND" in given:
        if given["BACKEND"] == "":
            yield checks.Info(
                f"{backend} is blank, so functions with background=True run in the request: "
                f"{named}.",
                hint='That is immediate mode, for development. For workers, set it to "database".',
                id="wagtail_async_hooks.I001",
            )
        return  # any other value is an error of its own
    what = conf.SETTING if given is None else backend
    yield checks.Warning(
        f"{what} is not set, so functions with background=True run in the request: {named}.",
        hint=f'Set {conf.SETTING} = {{"BACKEND": "database"}} and start a worker, or say by '
        '{"BACKEND": ""} that they are meant to run in the request.',
        id="wagtail_async_hooks.W016",
    )


def check_migrations(
    databases: Collection[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """A ledger's database that was not migrated, or by a newer release.

    Only with ``check --database …``, as all checks that need a connection.
    """
    alias = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    if not conf.current().backend or alias not in (databases or ()):
        return
    if sys.argv[1:2] == ["migrate"]:
        return  # which has the database checked first, and is what would be advised
    try:
        standing = migrated.standing_of(connections[alias])
    except DatabaseError:
        return  # Django's own checks say so
    if standing.missing:
        yield checks.Warning(
            migrated.told_of_missing(alias, standing.missing),
            hint="Until then, no worker starts, and background functions run in the request.",
            id="wagtail_async_hooks.W017",
        )
    if standing.newer:
        yield checks.Warning(
            migrated.told_of_newer(alias, standing.newer),
            hint="Install the release that the database was migrated for, or migrate back with it.",
            id="wagtail_async_hooks.W018",
        )


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


def check_unimported(**kwargs: Any) -> Iterator[CheckMessage]:
    """Files of the site that use the package, and that are never imported."""
    wagtail_hooks.search_for_hooks()
    with suppress(Exception):  # Django's own check of addresses tells of it
        get_resolver().url_patterns  # noqa: B018  (it imports the site's views)
    for found in unimported.files():
        name = found.file.stem
        if found.is_installed:
            hint = f'Import it in the ready() of the app\'s AppConfig: "from . import {name}".'
        elif found.package:
            hint = f'Add "{found.package}" to INSTALLED_APPS, or move the file into an app.'
        else:
            hint = "Move it into an app of INSTALLED_APPS."
        why = "" if found.is_installed else ", since its package is no installed app"
        yield checks.Warning(
            f"{found.file} uses wagtail_async_hooks and is never imported{why}: its hooks, "
            "receivers and tasks do not exist.",
            hint=hint,
            id="wagtail_async_hooks.W020",
        )


def check_pool(**kwargs: Any) -> Iterator[CheckMessage]:
    """A pool of connections that is too small for the site's workers."""
    settings = conf.current()
    alias = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    if settings.backend and (problem := pools.why_too_small(alias, settings.worker.threads)):
        yield checks.Warning(
            f"{problem}.",
            hint=f'Or let {conf.SETTING}["WORKER"]["threads"] be smaller. Each process of a worker '
            "has a pool of its own.",
            id="wagtail_async_hooks.W042",
        )


CHECKS: Final = (check_blank_backend, check_hook_exists, check_unimported, check_pool)
"""What :mod:`.apps` makes known to Django."""
