"""Fixtures of the faults: a harness on the tests' database, and servers of their own.

The run on SQLite has all faults of Redis, and the editors; that on PostgreSQL has Redis where
processes are killed; those on PostgreSQL and MariaDB stop a server of their own. `make soak` has
every fault on every storage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from tests.faults.harness import SMALL, Harness, at_database, backend
from tests.faults.servers import BinariesAbsent, DatabaseServer, MariaDB, PostgreSQL, Redis, Server


@contextmanager
def running(server: Server) -> Iterator[Any]:
    """Run a server; where it is not installed, the test is skipped, or fails in CI."""
    try:
        server.__enter__()
    except BinariesAbsent as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no {server.title} of our own can be started: {error}")
    try:
        yield server
    finally:
        server.__exit__(None, None, None)


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis of our own."""
    with running(Redis()) as server:
        yield server


@pytest.fixture
def harness(committed_db: None, tmp_path: Path) -> Iterator[Harness]:
    """A small harness on the tests' database, which rings as well."""
    with backend(None), Harness(tmp_path, SMALL) as harness:
        yield harness


@pytest.fixture
def redis_harness(committed_db: None, redis: Redis, tmp_path: Path) -> Iterator[Harness]:
    """A small harness on the tests' database, with a Redis of its own that rings."""
    if connection.vendor == "mysql":
        pytest.skip("Redis is tested over SQLite and over PostgreSQL")
    with backend(redis), Harness(tmp_path, SMALL, redis=redis) as harness:
        yield harness


@pytest.fixture
def database_server(django_db_setup: None) -> Iterator[DatabaseServer]:
    """A server of our own, of the kind that this run is about."""
    kinds = {"postgresql": PostgreSQL, "mysql": MariaDB}
    if connection.vendor not in kinds:
        pytest.skip("SQLite has no server that could be stopped")
    with running(kinds[connection.vendor]()) as server:
        yield server


@pytest.fixture
def server_harness(
    database_server: DatabaseServer, django_db_blocker: Any, tmp_path: Path
) -> Iterator[Harness]:
    """A small harness on a database server of its own, which has the package's tables."""
    with django_db_blocker.unblock(), backend(None), at_database(database_server):
        call_command("migrate", "wagtail_async_hooks", verbosity=0)
        with Harness(tmp_path, SMALL, database=database_server) as harness:
            yield harness
