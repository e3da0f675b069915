"""Preconditions of the commands: valid settings, and the ledger's tables."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db import DatabaseError, connections

from wagtail_async_hooks import conf
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.ledger import migrated
from wagtail_async_hooks.ledger.migrated import Standing
from wagtail_async_hooks.utils.text import one_line


def require_settings() -> conf.Settings:
    """Return the settings.

    :raises CommandError: if they are invalid.
    """
    try:
        return conf.require()
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


def require_tables() -> Standing:
    """Make sure that the ledger's tables exist, as this release needs them.

    :returns: which migrations its database lacks or has beyond ours; there are some of the latter
        while a newer release is deployed.
    :raises CommandError: if its database does not answer, was not migrated, or lacks the tables.
    """
    try:
        from wagtail_async_hooks import ledger

        alias = ledger.database()
        standing, problem = migrated.examine(connections[alias])
    except DatabaseError as error:
        raise CommandError(
            f"The database {alias!r} of DATABASES does not answer: {one_line(error)}"
        ) from error
    if problem:
        raise CommandError(problem)
    return standing
