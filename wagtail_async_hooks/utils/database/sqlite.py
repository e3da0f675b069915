"""What an SQLite database needs so that a worker beside the site can write to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

WAL: Final = "journal_mode=WAL"


def missing(options: Mapping[str, Any]) -> list[str]:
    """Return what the ``OPTIONS`` of a database lack."""
    found = []
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        found.append("transaction_mode IMMEDIATE")
    if "timeout" not in options:
        found.append("a timeout")
    script = str(options.get("init_command", ""))
    if not re.search(r"journal_mode\s*=\s*wal", script, re.IGNORECASE):
        found.append(WAL)
    return found


def remedy(alias: str) -> str:
    """Return what to put into the settings."""
    return (
        f'Put this into DATABASES["{alias}"]: "OPTIONS": {{"transaction_mode": "IMMEDIATE", '
        '"timeout": 20, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}'
    )
