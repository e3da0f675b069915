"""System checks of the settings: what is wrong, what has a misspelt name, and what is not set."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import conf
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.hooks import registry
from wagtail_async_hooks.storage.factory import find_class, make_notifier
from wagtail_async_hooks.utils.suggestions import nearest
from wagtail_async_hooks.worker.embedded import lock

_NAMED: Final = 3
"""Maximum number of functions that a message names."""


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


def check_backend(**kwargs: Any) -> list[CheckMessage]:
    """A backend that does not exist, or whose library is not installed."""
    settings = conf.current()
    if settings.backend in ("", "database"):
        return []
    try:
        if settings.backend == "redis" and importlib.util.find_spec("redis"):
            return []  # whether it answers is for the worker to say, not for a deployment's check
        if settings.backend not in ("redis", conf.CELERY):
            find_class(settings.backend)
            return []
        make_notifier(settings, "check")
    except ConfigurationError as error:
        hint = _hint_of_backend(settings.backend)
        return [Error(str(error), hint=hint, id="wagtail_async_hooks.E002")]
    return []


def _hint_of_backend(given: str) -> str:
    if given == conf.CELERY:
        return "See the page “Celery”."
    if given == "redis":
        return 'Run "pip install wagtail-async-hooks[redis]".'
    near = nearest(given.strip().lower(), ("database", "redis", conf.CELERY))
    return f'Did you mean "{near}"?' if near else "See the page “Storages”."


def check_blank_backend(**kwargs: Any) -> Iterator[CheckMessage]:
    """Functions with ``background=True`` where no backend is set."""
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


def check_setting_names(**kwargs: Any) -> Iterator[CheckMessage]:
    """Settings with almost the name of one of ours."""
    known = {value for name, value in vars(conf).items() if name.endswith("SETTING")}
    for name in sorted(set(filter(str.isupper, dir(django_settings))) - known):
        near = nearest(name, known, cutoff=0.9)
        if near or name.startswith(conf.SETTING):
            hint = f"Did you mean {near}?" if near else f"Known are: {', '.join(sorted(known))}."
            yield checks.Warning(
                f"There is no setting {name} of wagtail_async_hooks, so it has no effect.",
                hint=hint,
                id="wagtail_async_hooks.W013",
            )


def check_embedded_worker(**kwargs: Any) -> Iterator[CheckMessage]:
    """A worker in web processes that no process can run."""
    if not conf.current().worker.embedded:
        return
    if not conf.current().backend:
        why = (
            f'{conf.SETTING}["BACKEND"] is blank, so that hooks run in the request and there is '
            "nothing for a worker to do"
        )
        hint = 'Set the backend to "database", or leave "embedded" out.'
    elif not lock.is_possible():
        why = "this platform has no locks of files, so that no web process runs a worker"
        hint = "Run manage.py wagtail_worker instead."
    else:
        return
    yield checks.Warning(
        f'{conf.SETTING}["WORKER"]["embedded"] is True, but {why}.',
        hint=hint,
        id="wagtail_async_hooks.W047",
    )
