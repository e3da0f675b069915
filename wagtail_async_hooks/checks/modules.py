"""System checks of the site's modules: those that are never imported, and those that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.urls import get_resolver
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import conf
from wagtail_async_hooks.checks import unimported
from wagtail_async_hooks.hooks import discovery


def check_unimported(**kwargs: Any) -> Iterator[CheckMessage]:
    """Files of the site that use the package and are never imported."""
    wagtail_hooks.search_for_hooks()
    with suppress(Exception):  # reported by Django's own check of URLs
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


def check_task_modules(**kwargs: Any) -> Iterator[CheckMessage]:
    """Modules of tasks that cannot be imported."""
    for failure in discovery.import_tasks() if conf.current().backend else ():
        yield checks.Warning(
            f"{failure}.",
            hint="Install what it imports, or correct it; workers go on without its tasks.",
            id="wagtail_async_hooks.W041",
        )
