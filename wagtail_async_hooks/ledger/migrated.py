"""Whether a database has the migrations of the app, as Django's migration plan tells."""

from __future__ import annotations

import logging
from typing import NamedTuple

from django.apps import apps
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.exceptions import (
    AmbiguityError,
    BadMigrationError,
    CircularDependencyError,
    InconsistentMigrationHistory,
    NodeNotFoundError,
)
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from wagtail_async_hooks.conf.installed import APP

logger = logging.getLogger(__name__)

_OF_OTHERS = (
    AmbiguityError,
    BadMigrationError,
    CircularDependencyError,
    ImportError,
    InconsistentMigrationHistory,
    NodeNotFoundError,
)


class Standing(NamedTuple):
    """How a database stands to the migrations of this release.

    :param missing: names of those that are not applied, in order.
    :param newer: names of those that are applied, and of which this release knows nothing.
    """

    missing: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()


def standing_of(connection: BaseDatabaseWrapper) -> Standing:
    """Return how a database stands to the migrations of this release. It is only read.

    :raises DatabaseError: if it does not answer.
    """
    try:
        executor = MigrationExecutor(connection)
        leaves = executor.loader.graph.leaf_nodes(APP)
        plan = executor.migration_plan(leaves)
    except DatabaseError:
        raise
    except _OF_OTHERS as error:
        logger.warning("It cannot be told which migrations of %s are missing: %s", APP, error)
        return Standing()
    missing = tuple(migration.name for migration, _ in plan if migration.app_label == APP)
    return Standing(missing, _newer(executor.loader))


def examine(connection: BaseDatabaseWrapper) -> tuple[Standing, str]:
    """Return how a database stands, and one sentence about what it lacks; blank if nothing.

    :raises DatabaseError: if it does not answer.
    """
    alias = connection.alias
    standing = standing_of(connection)
    if standing.missing:
        return standing, told_of_missing(alias, standing.missing)
    tables = connection.introspection.table_names()
    models = apps.get_app_config(APP).get_models()
    if all(model._meta.db_table in tables for model in models):
        return standing, ""
    return standing, (
        f"The database {alias!r} lacks the tables of {APP}, although its migrations are recorded "
        "there as applied; see to it that allow_migrate() of DATABASE_ROUTERS lets them be made, "
        f'and run "{command(alias)} --fake zero" and then "{command(alias)}".'
    )


def _newer(loader: MigrationLoader) -> tuple[str, ...]:
    if APP in loader.unmigrated_apps:  # MIGRATION_MODULES leaves them out
        return ()
    known = set(loader.disk_migrations)
    for migration in loader.disk_migrations.values():
        known |= {(app, name) for app, name in migration.replaces}
    return tuple(sorted(name for app, name in set(loader.applied_migrations) - known if app == APP))


def told_of_missing(alias: str, missing: tuple[str, ...]) -> str:
    """Return one sentence about migrations that are not applied, and what to do."""
    return f'{what_is_missing(alias, missing)}; run "{command(alias)}".'


def what_is_missing(alias: str, missing: tuple[str, ...]) -> str:
    """Return one sentence about migrations that are not applied, without its end."""
    some = f"{missing[0]}" if len(missing) == 1 else f"{missing[0]} to {missing[-1]}"
    return f"The database {alias!r} lacks {len(missing)} of the migrations of {APP} ({some})"


def told_of_newer(alias: str, newer: tuple[str, ...]) -> str:
    """Return one sentence about migrations of another release."""
    return (
        f"The database {alias!r} has migrations of {APP} that this release does not have "
        f"({', '.join(newer)}): a newer one has migrated it."
    )


def command(alias: str) -> str:
    """Return what to type."""
    return f"manage.py migrate {APP}" + ("" if alias == "default" else f" --database {alias}")
