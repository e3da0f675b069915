"""How much an embedded worker takes of its process, and how long it keeps that from ending."""

from __future__ import annotations

from typing import Final

from wagtail_async_hooks import conf

MAX_THREADS: Final = 2
"""How many tasks run at once at most: they share the interpreter with the requests."""

MAX_SHUTDOWN_TIMEOUT: Final = 10.0
"""Seconds that running tasks get at most when the process ends: servers kill one that takes long,
and gunicorn starts no other in its place before."""

END_TIMEOUT: Final = 2.0
"""Seconds that idle threads get to end."""

STOP_PATIENCE: Final = 6.0
"""Seconds for all that is no task when the process ends: threads, and the ledger."""


def threads() -> int:
    """Return how many tasks an embedded worker runs at once."""
    return min(conf.current().worker.threads, MAX_THREADS)


def shutdown_timeout() -> float:
    """Return how many seconds running tasks get when the process ends."""
    return min(conf.current().worker.shutdown_timeout, MAX_SHUTDOWN_TIMEOUT)
