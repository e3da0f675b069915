"""The package installed and not used: Wagtail works as if it were not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.db import connection

from tests.copies import copy_tables
from tests.processes import Process


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "sqlite", reason="has an SQLite database of its own")
def test_blank_backend__needs_no_tables(tmp_path: Path, django_db_setup: None) -> None:
    copy_tables(tmp_path / "site.sqlite3")
    process = Process(
        [sys.executable, "-m", "tests.without_tables"],
        tmp_path / "output.txt",
        SITE_DATA=str(tmp_path),
        SITE_DATABASE="sqlite",
        SITE_DATABASE_NAME=str(tmp_path / "site.sqlite3"),
        SITE_BACKEND="",
    )
    with process:
        assert process.wait() == 0, process.said()
    assert "all done" in process.said()
