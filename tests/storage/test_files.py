"""The file of an SQLite database that is replaced, moved or deleted under a worker."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import OperationalError, connection, connections

from wagtail_async_hooks.storage.files import leave_replaced
from wagtail_async_hooks.storage.watchers import watcher_for

ALIAS: Final = "a_replaced_file"


@pytest.fixture
def file(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """An SQLite database, which Django knows as :data:`ALIAS`."""
    name = tmp_path / "site.sqlite3"
    engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": {}}
    connections.settings[ALIAS] = {**connections["default"].settings_dict, **engine}
    write(name, "before")
    with django_db_blocker.unblock():
        yield name
        connections[ALIAS].close()
    del connections[ALIAS], connections.settings[ALIAS]


def write(file: Path, what: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as made:
        made.executescript("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS told (what TEXT)")
        made.execute("INSERT INTO told VALUES (?)", [what])


def told() -> list[str]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT what FROM told")
        return [what for (what,) in cursor.fetchall()]


def replace(file: Path) -> None:
    """Put another file in the place of one, as a restore of a backup does."""
    other = file.with_name("other.sqlite3")
    write(other, "after")
    other.rename(file)


def test_file__that_stays_is_left_alone(file: Path) -> None:
    assert not leave_replaced(ALIAS)
    assert told() == ["before"]
    driver = connections[ALIAS].connection
    assert not leave_replaced(ALIAS)
    write(file, "more")
    assert not leave_replaced(ALIAS)
    assert connections[ALIAS].connection is driver


def test_file__that_was_replaced_is_opened(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    told()
    leave_replaced(ALIAS)
    replace(file)
    assert told() == ["before"]
    assert leave_replaced(ALIAS)
    assert told() == ["after"]
    assert not leave_replaced(ALIAS)
    assert caplog.text.count("was replaced") == 1


def test_file__that_is_gone_is_not_made_anew(file: Path) -> None:
    told()
    leave_replaced(ALIAS)
    backup = file.with_name("backup.sqlite3")
    connections[ALIAS].cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(file, backup)
    file.unlink()
    for _ in range(2):
        with pytest.raises(OperationalError, match="is gone"):
            leave_replaced(ALIAS)
        assert not file.exists()
    for leftover in ("-wal", "-shm"):
        file.with_name(file.name + leftover).unlink(missing_ok=True)
    backup.rename(file)
    leave_replaced(ALIAS)
    assert told() == ["before"]


def test_file__within_a_transaction_stays(file: Path) -> None:
    from django.db import transaction

    with transaction.atomic(using=ALIAS):
        told()
        leave_replaced(ALIAS)
        replace(file)
        assert not leave_replaced(ALIAS)
    leave_replaced(ALIAS)


@pytest.mark.slow
def test_look__goes_on_with_the_new_file(file: Path) -> None:
    watcher = watcher_for(ALIAS)
    try:
        while watcher.has_news():
            pass
        replace(file)
        assert watcher.has_news()
        while watcher.has_news():
            pass
        write(file, "more")
        assert any(watcher.has_news() for _ in range(200))
        assert told() == ["after", "more"]
    finally:
        watcher.close()


@pytest.mark.django_db
def test_other_databases__are_left_alone() -> None:
    connection.ensure_connection()
    assert not leave_replaced("default")
