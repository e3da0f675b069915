"""Whether commands can work: the settings have no mistakes, and the ledger has its tables."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import DatabaseError, connections

from wagtail_async_hooks import conf
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.texts import one_line


def require_settings() -> conf.Settings:
    """Return the settings.

    :raises CommandError: if there is a mistake in them.
    """
    try:
        return conf.require()
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


def require_tables() -> None:
    """Make sure that there is a ledger.

    :raises CommandError: if its database does not answer, or lacks the tables.
    """
    try:
        from wagtail_async_hooks import ledger

        alias = ledger.database()
        tables = connections[alias].introspection.table_names()
    except DatabaseError as error:
        raise CommandError(
            f"The database {alias!r} of DATABASES does not answer: {one_line(error)}"
        ) from error
    if any(model._meta.db_table not in tables for model in _models()):
        raise CommandError(
            f'The database {alias!r} lacks the tables of wagtail_async_hooks; run "manage.py '
            'migrate wagtail_async_hooks".'
        )


def _models() -> Any:
    return apps.get_app_config("wagtail_async_hooks").get_models()
