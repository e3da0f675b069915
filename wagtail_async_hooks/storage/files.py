"""Notices that the file of an SQLite database was replaced, as by a restore of a backup.

An open connection goes on with the file that it has opened, also once that has no name any more:
what is written there is lost, and what is written to the new one is never seen.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any, Final

from django.db import OperationalError, connections

logger = logging.getLogger("wagtail_async_hooks.worker")

File = tuple[int, int]


class _Opened(threading.local):
    """What this thread's connection has opened."""

    connection: Any = None
    file: File | None = None


class _Told:
    """The file that the log was told of last, for all threads."""

    lock = threading.Lock()
    file: File | None = None


_opened: Final = _Opened()


def leave_replaced(alias: str) -> bool:
    """Close this thread's connection to an SQLite file that was replaced; return whether it was.

    One look at the directory; nothing where the database is no file, or no connection is open.

    :raises OperationalError: if the file is gone. A connection would make an empty one.
    """
    connection = connections[alias]
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return False
    name = connection.settings_dict["NAME"]
    if connection.is_in_memory_db():  # type: ignore[attr-defined]  # of SQLite's wrapper
        return False
    file = _file_at(os.fspath(name))
    driver = connection.connection
    if driver is None or driver is not _opened.connection:
        if file is None and _opened.file is not None:
            raise OperationalError(f"the file of the database is gone: {name}")
        _opened.connection = driver
        _opened.file = file if driver is not None else _opened.file
        return False
    if file == _opened.file:
        return False
    connection.close()
    _opened.connection = None
    if file is None:
        raise OperationalError(f"the file of the database is gone: {name}")
    _tell(file, str(name))
    return True


def _tell(file: File, name: str) -> None:
    with _Told.lock:
        is_known, _Told.file = _Told.file == file, file
    if not is_known:
        logger.warning("The file of the database was replaced, opening the new one: %s", name)


def _file_at(name: str) -> File | None:
    """Return which file has a name; URIs, as for a database in memory, name none."""
    if name.startswith("file:"):
        name = name.removeprefix("file:").partition("?")[0]
    try:
        found = os.stat(name)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
