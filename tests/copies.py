"""Copies of the tests' SQLite database, for sites of their own: to migrate takes ten seconds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from django.db import connection


def copy_tables(path: Path, *, ours: bool = True) -> None:
    """Make a database with the tables of the tests' site, and what migrations have put into them.

    :param ours: with those of this package; without, it was never migrated there.
    """
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)  # a command may have made one
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as database:
        database.execute("VACUUM INTO ?", [str(path)])
    if ours:
        return
    with closing(sqlite3.connect(path)) as database:
        named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE ?"
        for (table,) in database.execute(named, ["wagtail_async_hooks%"]).fetchall():
            database.execute(f'DROP TABLE "{table}"')
        database.execute("DELETE FROM django_migrations WHERE app = 'wagtail_async_hooks'")
        database.commit()
