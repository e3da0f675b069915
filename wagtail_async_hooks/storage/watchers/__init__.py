"""How a waiter learns that a task may be waiting: by the quickest way that the database has."""

from __future__ import annotations

from django.db import connections

from wagtail_async_hooks.storage.watchers.base import Watcher
from wagtail_async_hooks.storage.watchers.mariadb import MariaDBWatcher
from wagtail_async_hooks.storage.watchers.polling import PollingWatcher
from wagtail_async_hooks.storage.watchers.postgresql import PostgreSQLWatcher
from wagtail_async_hooks.storage.watchers.sqlite import sqlite_watcher


def watcher_for(alias: str) -> Watcher:
    """Return the quickest watcher that a database has."""
    connection = connections[alias]
    if connection.vendor == "sqlite":
        return sqlite_watcher(alias)
    if connection.vendor == "postgresql" and PostgreSQLWatcher.works(alias):
        return PostgreSQLWatcher(alias)
    if connection.vendor == "mysql" and MariaDBWatcher.works(alias):
        return MariaDBWatcher(alias)
    return PollingWatcher(alias)
