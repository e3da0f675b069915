"""Django's pool of connections to PostgreSQL, and how many of them a worker needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import connections

BESIDE_THREADS: Final = 3
"""Connections of a worker process beside those of its threads: of the main thread, of that which
keeps the ledger tidy, and of that which listens for new tasks."""

_DEFAULT: Final = 4
"""The ``min_size`` of a pool that has none, which is its ``max_size`` as well."""


def has_pool(alias: str) -> bool:
    """Return whether the connections to a database come from a pool."""
    return bool(_options(alias).get("pool"))


def close_all() -> None:
    """Close the pools of this process: its children cannot use their connections."""
    for connection in connections.all(initialized_only=True):
        if has_pool(connection.alias) and hasattr(connection, "close_pool"):
            connection.close_pool()


def why_too_small(alias: str, threads: int) -> str:
    """Return why a worker of so many threads cannot work with a pool; blank if it can."""
    size, needed = _size(alias), threads + BESIDE_THREADS
    if size is None or size >= needed:
        return ""
    is_set = _given(alias).get("max_size") is not None
    told = f"is {size}" if is_set else f"is not set, so it is {size}"
    return (
        f'DATABASES["{alias}"]["OPTIONS"]["pool"]["max_size"] {told}, but a worker process with '
        f"{threads} {'thread' if threads == 1 else 'threads'} needs {needed} connections: one for "
        f"each thread, and {BESIDE_THREADS} beside them; set it to at least {needed}"
    )


def has_room_for_coroutines(alias: str, threads: int) -> bool:
    """Return whether a pool has connections for coroutine functions beside so many threads.

    They need one to record how they ended, and as many as there are threads for their statements.
    """
    size = _size(alias)
    return size is None or size >= threads + BESIDE_THREADS + 1 + threads


def _size(alias: str) -> int | None:
    """Return how many connections a pool has; ``None`` without a pool, or one of any size."""
    if not has_pool(alias) or connections[alias].vendor != "postgresql":
        return None
    given = _given(alias)
    size = given.get("max_size")
    if size is None:
        size = given.get("min_size", _DEFAULT)
    return size if isinstance(size, int) else None


def _given(alias: str) -> Mapping[str, Any]:
    pool = _options(alias).get("pool")
    return pool if isinstance(pool, Mapping) else {}


def _options(alias: str) -> Mapping[str, Any]:
    options: Mapping[str, Any] = connections.settings[alias].get("OPTIONS") or {}
    return options
