"""The servers of these tests leave the machine's other servers alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.faults.servers import DatabaseServer

pytestmark = pytest.mark.slow


@pytest.fixture
def temporary_table(django_db_setup: None) -> Iterator[Path]:
    """What another MariaDB keeps in the system's folder while it answers a query."""
    if connection.vendor != "mysql":
        pytest.skip("MariaDB tidies up the system's folder")
    table = Path(tempfile.gettempdir(), "#sql-temptable-faults-0-0.MAI")
    table.touch()
    if os.geteuid() == 0:
        shutil.chown(table, "mysql")
    yield table
    table.unlink(missing_ok=True)


def test_server__temporary_tables_of_others_stay(
    temporary_table: Path, database_server: DatabaseServer
) -> None:
    assert temporary_table.exists()
