"""Django's system checks, in the sequence in which they run, and which module has which.

================  =====================================
``settings``      E001 E002 I001 W013 W016 W047
``database``      W001 W005 W017 W018 W042
``hooks``         W002 W003 W004 W006 W007 W019 W035
``options``       E007 W010 W011 W012 W040
``modules``       W020 W041
``schedule``      E004 W009
``integrations``  E003 E005 E006 W008 W014 W015 W045 W046
``takeover``      W030 W031 W032 W033 W034
``celery``        W048
================  =====================================

E009 is in :mod:`wagtail_async_hooks.conf.installed`: it is about an app that is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.core.checks import CheckMessage, Tags, register

TAG: Final = "wagtail_async_hooks"
"""The tag of all of them: ``manage.py check --tag wagtail_async_hooks``."""


def register_checks() -> None:
    """Register the checks with Django; called once, by the app."""
    register(check, Tags.compatibility, TAG)
    register(check_database, Tags.database, TAG)


def check(**kwargs: Any) -> Iterator[CheckMessage]:
    """Run the system checks that need no connection to a database."""
    # Not above: a web process runs none, and they need half of the package.
    from wagtail_async_hooks.checks import (
        celery,
        database,
        hooks,
        integrations,
        modules,
        options,
        schedule,
        settings,
        takeover,
    )
    from wagtail_async_hooks.hooks.takeover import take_over

    take_over()  # what the settings move is checked as well
    for each in (
        settings.check_settings,
        settings.check_backend,
        database.check_database,
        database.check_sqlite,
        integrations.check_tasks,
        modules.check_task_modules,
        integrations.check_email,
        integrations.check_email_timeout,
        integrations.check_renditions,
        integrations.check_bulk_actions,
        hooks.check_hooks,
        takeover.check_moved,
        hooks.check_sources,
        hooks.check_leftovers,
        options.check_error_classes,
        hooks.check_hook_names,
        schedule.check_schedule,
        options.check_options,
        options.check_keys,
        options.check_templates,
        options.check_effect,
        settings.check_setting_names,
        settings.check_blank_backend,
        settings.check_embedded_worker,
        hooks.check_hook_exists,
        modules.check_unimported,
        database.check_pool,
        integrations.check_sentry,
        integrations.check_alerts,
        celery.check_celery,
    ):
        yield from each(**kwargs)


def check_database(**kwargs: Any) -> Iterator[CheckMessage]:
    """Run the system checks that need a connection, as Django does with ``--database`` only."""
    from wagtail_async_hooks.checks import database

    yield from database.check_migrations(**kwargs)
