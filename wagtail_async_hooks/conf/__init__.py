"""``WAGTAIL_TASKS`` and ``WAGTAIL_TASKS_SYNC_HOOKS``, read once into a frozen, validated object."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from wagtail_async_hooks.conf.parsing import parse, read_options
from wagtail_async_hooks.conf.schema import (
    CELERY,
    MAX_DAYS,
    SETTING,
    SYNC_HOOKS_SETTING,
    AlertOptions,
    BulkActionOptions,
    EmailOptions,
    HealthOptions,
    HistoryOptions,
    QueueOptions,
    RenditionOptions,
    ScheduleEntry,
    Settings,
    WorkerOptions,
    background_setting,
    line_that_moves,
)
from wagtail_async_hooks.exceptions import ConfigurationError

__all__ = [
    "CELERY",
    "MAX_DAYS",
    "SETTING",
    "SYNC_HOOKS_SETTING",
    "AlertOptions",
    "BulkActionOptions",
    "EmailOptions",
    "HealthOptions",
    "HistoryOptions",
    "QueueOptions",
    "RenditionOptions",
    "ScheduleEntry",
    "Settings",
    "WorkerOptions",
    "background_setting",
    "current",
    "line_that_moves",
    "parse",
    "read_options",
    "require",
    "with_backend",
]


@cache
def current() -> Settings:
    """Return the settings as they are now, faulty parts left out and listed in ``problems``."""
    return parse(
        getattr(django_settings, SETTING, {}), getattr(django_settings, SYNC_HOOKS_SETTING, ())
    )


def with_backend(backend: str) -> dict[str, Any]:
    """Return ``WAGTAIL_TASKS`` as it is, but for a backend that takes no options."""
    raw = getattr(django_settings, SETTING, {})
    known = raw if isinstance(raw, Mapping) else {}
    return {**known, "BACKEND": backend, "BACKEND_OPTIONS": {}}


def require() -> Settings:
    """Return the settings.

    :raises ConfigurationError: if there is a mistake in them; the message lists all.
    """
    settings = current()
    if settings.problems:
        raise ConfigurationError(" ".join(settings.problems))
    return settings


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in (SETTING, SYNC_HOOKS_SETTING):
        current.cache_clear()


setting_changed.connect(_forget, dispatch_uid="wagtail_async_hooks.conf")
