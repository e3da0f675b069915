"""What is wrong with the database of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import Any

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.conf.installed import APP
from wagtail_async_hooks.ledger import migrated
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity
from wagtail_async_hooks.utils.database import sqlite
from wagtail_async_hooks.utils.database.errors import is_contention, is_lost
from wagtail_async_hooks.utils.redaction import without_secrets
from wagtail_async_hooks.utils.text import one_line


def outages() -> Iterator[Finding]:
    """Yield why nothing at all can be read: it does not answer, or has no tables."""
    alias = ledger.database()
    connection = connections[alias]
    try:
        connection.ensure_connection()
        standing = migrated.standing_of(connection)
    except (DatabaseError, InterfaceError) as error:
        yield Finding(
            Severity.CRITICAL,
            Code.DATABASE,
            f"The database {alias!r} does not answer, so no task is enqueued or run: "
            f"{without_secrets(one_line(error))}",
            f'Start it, or correct DATABASES["{alias}"]; "manage.py dbshell --database {alias}" '
            "shows whether it answers.",
        )
        return
    if standing.missing:
        yield Finding(
            Severity.CRITICAL,
            Code.MIGRATIONS,
            f"{migrated.what_is_missing(alias, standing.missing)}: no worker starts, and "
            "background functions run in the request.",
            migrated.command(alias),
        )
        return
    yield from _lost_tables(alias)


def _lost_tables(alias: str) -> Iterator[Finding]:
    """Yield tables and columns that are not there, although their migrations are recorded."""
    lost = {}
    for model in apps.get_app_config(APP).get_models():
        # Within a transaction, PostgreSQL would refuse what comes after an error. Else there is
        # none: SQLite would take its lock for it.
        within = connections[alias].in_atomic_block
        try:
            with transaction.atomic(using=alias) if within else nullcontext():
                model._base_manager.using(alias).order_by("pk").first()
        except DatabaseError as error:
            if is_lost(error) or is_contention(error):
                raise
            lost[model._meta.db_table] = without_secrets(one_line(error))
    if lost:
        command = migrated.command(alias)
        yield Finding(
            Severity.CRITICAL,
            Code.TABLES,
            f"Of the database {alias!r}, {', '.join(lost)} cannot be read, although all migrations "
            f"of {APP} are recorded there as applied: {next(iter(lost.values()))}",
            "If tables are missing, see to it that allow_migrate() of DATABASE_ROUTERS lets them "
            f'be made; if all are, run "{command.replace(APP, f"{APP} zero", 1)} --fake" and then '
            f'"{command}", else restore the database. If they are there, let the user of '
            f'DATABASES["{alias}"] read them.',
        )


def examine() -> Iterator[Finding]:
    """Yield what is wrong with a database that answers and has the tables."""
    alias = ledger.database()
    connection = connections[alias]
    standing = migrated.standing_of(connection)
    if standing.newer:
        yield Finding(
            Severity.WARNING,
            Code.MIGRATIONS,
            migrated.told_of_newer(alias, standing.newer),
            "Install the release that the database was migrated for, or migrate back with it.",
        )
    if connection.vendor == "sqlite":
        yield from _sqlite(alias, connection)
    if connection.vendor == "postgresql":
        yield from _pooler(alias, connection)


def _sqlite(alias: str, connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    missing = sqlite.missing(connection.settings_dict["OPTIONS"])
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        (mode,) = cursor.fetchone()
    # The file remembers its mode; and where WAL does not work, SQLite keeps to another one.
    missing = [each for each in missing if each != sqlite.WAL]
    if mode.lower() not in ("wal", "memory"):
        missing.append(f"{sqlite.WAL} (its journal is in the mode {mode})")
    if missing:
        yield Finding(
            Severity.WARNING,
            Code.SQLITE,
            f"The SQLite database {alias!r} is not set up for a worker beside the site, so an "
            f'editor may see "database is locked"; it lacks {" and ".join(missing)}.',
            sqlite.remedy(alias),
        )


def _pooler(alias: str, connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Yield what a pooler in transaction mode, such as PgBouncer's, does not let through."""
    if not _changes_servers(connection):
        return
    if not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        yield Finding(
            Severity.WARNING,
            Code.POOLER,
            f"The database {alias!r} is reached through a pooler in transaction mode, such as "
            "PgBouncer's, but Django is not told so: its server-side cursors break there.",
            f'Set DATABASES["{alias}"]["DISABLE_SERVER_SIDE_CURSORS"] = True',
        )
    if conf.current().backend == "database":
        yield Finding(
            Severity.WARNING,
            Code.POOLER,
            f"The database {alias!r} is reached through a pooler in transaction mode, such as "
            "PgBouncer's, which lets no notifications through: a worker with these settings asks "
            "for tasks 20 times a second, and begins them up to 50 ms late.",
            "Let workers connect to the server itself, and run this command with their settings; "
            f'or set {conf.SETTING}["BACKEND"] = "redis". See “PgBouncer” on the page “Scaling”.',
        )


def _changes_servers(connection: BaseDatabaseWrapper) -> bool:
    """Return whether one connection of ours is not always the same one of the server's.

    While the first is between two transactions, a pooler gives its server connection to the second,
    or another one to the first afterwards.
    """
    with closing(connection.copy()) as first, closing(connection.copy()) as second:
        before = _server_process(first)
        second.set_autocommit(False)
        beside = _server_process(second)
        after = _server_process(first)
        second.rollback()
    return before == beside or before != after


def _server_process(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(pid)
