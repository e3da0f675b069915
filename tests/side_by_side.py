"""What keeps tests apart that run at once: a folder, a database and a Redis database for each.

pytest loads this module before Django's settings, see `addopts` in `pyproject.toml`. In the
processes that pytest-xdist starts, it changes the variables that the settings read, and that
processes of the tests inherit.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection, connections

from tests.selection import TOGETHER

WORKER: Final = os.environ.pop("PYTEST_XDIST_WORKER", "")  # a pytest that a test runs has none
"""Name of this process of pytest-xdist; blank without it, and in the one that leads them."""

MADE: Final = "made"
"""Name of the folder, in that of all, for what is made once in a run."""

_shared: Final = Path(os.environ.get("SITE_DATA", ".demo")).resolve()
"""The folder of all."""

if WORKER:
    _number = int(WORKER.removeprefix("gw"))
    os.environ |= {
        "SITE_DATA": str(_shared / WORKER),
        "SITE_REDIS_DATABASE": str(int(os.environ.get("SITE_REDIS_DATABASE", "8")) + _number),
    }
    if os.environ.get("SITE_DATABASE", "sqlite") == "sqlite":
        os.environ.setdefault("SITE_TEST_DATABASE_NAME", str(_shared / "test.sqlite3"))


@pytest.hookimpl
def pytest_configure() -> None:
    """Forget what an earlier run has made, before the processes begin that share the folder."""
    if not WORKER:
        shutil.rmtree(_shared / MADE, ignore_errors=True)


@pytest.hookimpl
def pytest_unconfigure(config: pytest.Config) -> None:
    """Delete the database that was copied, once all those processes have ended."""
    if not WORKER and not config.getvalue("reuse_db") and (_shared / MADE / "database").exists():
        name = connection.creation._get_test_db_name()
        connection.creation._destroy_test_db(name, verbosity=0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give out tests one by one, and together those whose module says so.

    By hand, as pytest-xdist 3.8 loses its own groups (`--dist loadgroup`) on pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return module if config.rootpath / module in TOGETHER else nodeid

    return Scheduling(config, log)


@contextmanager
def alone(name: str) -> Iterator[Path]:
    """Let one process at a time make something; yield the path for it, or for a note of it."""
    path = _shared / MADE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


@contextmanager
def own_database(keep: bool) -> Iterator[None]:
    """Use a copy of the database that the first process to come here makes.

    :param keep: use copies that there are already, and leave them there.
    """
    creation: Any = connection.creation
    with alone("database") as note:
        if note.exists():
            connection.settings_dict["NAME"] = creation._get_test_db_name()
        else:
            _set_up("default", keep)
            note.touch()
        connection.close()
        if connection.vendor == "mysql":
            _copy_mysql(creation, keep)
        else:
            creation.clone_test_db(WORKER, verbosity=0, keepdb=keep)
    own = creation.get_test_db_clone_settings(WORKER)
    connection.settings_dict.update(own)
    _set_up("other", keep)
    yield
    connection.close()
    if not keep:
        creation._destroy_test_db(own["NAME"], verbosity=0)


def _set_up(alias: str, keep: bool) -> None:
    creation: Any = connections[alias].creation
    creation.create_test_db(verbosity=0, autoclobber=True, keepdb=keep)


def _copy_mysql(creation: Any, keep: bool) -> None:
    """Copy the tables one by one; Django asks the server's own programs, which may be absent."""
    quote = connection.ops.quote_name
    name = creation.get_test_db_clone_settings(WORKER)["NAME"]
    source, target = quote(connection.settings_dict["NAME"]), quote(name)
    with creation._nodb_cursor() as cursor:
        if keep and cursor.execute("SHOW DATABASES LIKE %s", [name]):
            return
        cursor.execute(f"DROP DATABASE IF EXISTS {target}")
        cursor.execute(f"CREATE DATABASE {target}")
        cursor.execute(f"USE {target}")
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute(f"SHOW TABLES FROM {source}")
        for table in [quote(found) for (found,) in cursor.fetchall()]:
            cursor.execute(f"SHOW CREATE TABLE {source}.{table}")
            cursor.execute(cursor.fetchone()[1])
            cursor.execute(f"INSERT INTO {table} SELECT * FROM {source}.{table}")
