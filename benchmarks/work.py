"""What every contender's task does: nothing, for some time, and then writes down when it began.

It imports nothing but the standard library, as it is imported by all contenders' workers.
"""

from __future__ import annotations

import os
import struct
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

_NAME = "traces"
_RECORD = struct.Struct("<ddd")
_BEGINS = "begins"
_NUMBER = struct.Struct("<d")

TELLS_BEGINS = "BENCH_BEGINS"
"""The variable that has tasks leave a trace when they begin as well."""
_TELLS_BEGINS = TELLS_BEGINS in os.environ


class Trace(NamedTuple):
    """When a task was sent, begun and done, by the clock of :func:`time.monotonic`."""

    sent: float
    begun: float
    done: float


def path() -> Path:
    """Return the file of the traces."""
    return Path(os.environ["SITE_DATA"], _NAME)


def do(seconds: float, sent: float) -> None:
    """Take some time, then leave a trace; a write of that size to the end of a file is whole."""
    begun = time.monotonic()
    if _TELLS_BEGINS:
        os.write(_opened(os.environ["SITE_DATA"], _BEGINS), _NUMBER.pack(sent))
    if seconds:
        time.sleep(seconds)
    leave(begun, sent)


def leave(begun: float, sent: float = 0.0) -> None:
    """Leave a trace of a task that is done now."""
    record = _RECORD.pack(sent, begun, time.monotonic())
    os.write(_opened(os.environ["SITE_DATA"], _NAME), record)


@cache
def _opened(folder: str, name: str) -> int:
    """Return the descriptor of a file of traces.

    It stays open as long as the process runs: opening it for each task took longer than what some
    contenders do for one.

    :param folder: where it is.
    """
    return os.open(Path(folder, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def count() -> int:
    """Return how many tasks are done."""
    return path().stat().st_size // _RECORD.size if path().exists() else 0


def traces() -> list[Trace]:
    """Return the traces of all tasks that are done, in the order of their ends."""
    found = [Trace(*record) for record in _RECORD.iter_unpack(path().read_bytes())]
    return sorted(found, key=lambda trace: trace.done)


def begins() -> list[float]:
    """Return what was given as ``sent`` to each task that has begun, in the order of their begins.

    Only where :data:`TELLS_BEGINS` is among the variables.
    """
    place = Path(os.environ["SITE_DATA"], _BEGINS)
    told = place.read_bytes() if place.exists() else b""
    return [number for (number,) in _NUMBER.iter_unpack(told)]
