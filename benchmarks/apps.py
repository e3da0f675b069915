"""Has workers tell how long each claim took, where ``BENCH_CLAIMS`` asks for it."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from django.apps import AppConfig
from django.db.backends.signals import connection_created

ASKED: Final = "BENCH_CLAIMS"
_NAME: Final = "claims"
_RECORD: Final = struct.Struct("<dd")


class Claimed(NamedTuple):
    """When a claim was over, by the clock of :func:`time.monotonic`, and how long it took."""

    at: float
    seconds: float


class BenchmarksConfig(AppConfig):
    """The benchmarks, as an app of the site that is measured."""

    name = "benchmarks"

    def ready(self) -> None:
        """Time the claims of all connections that are made from now on."""
        if os.environ.get(ASKED):
            connection_created.connect(_watch)


def claims() -> list[Claimed]:
    """Return all claims that workers have told of, in the order of their ends."""
    place = Path(os.environ["SITE_DATA"], _NAME)
    return sorted(Claimed(*record) for record in _RECORD.iter_unpack(place.read_bytes()))


def _watch(connection: Any, **kwargs: Any) -> None:
    if _timed not in connection.execute_wrappers:
        connection.execute_wrappers.append(_timed)


def _timed(
    execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Run a statement, and leave a record if it finishes a task and claims the next."""
    from wagtail_async_hooks.ledger.postgresql import FUNCTION

    begun = time.monotonic()
    result = execute(sql, parameters, many, context)
    if FUNCTION in sql:
        now = time.monotonic()
        os.write(_opened(os.environ["SITE_DATA"]), _RECORD.pack(now, now - begun))
    return result


@cache
def _opened(folder: str) -> int:
    return os.open(Path(folder, _NAME), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
