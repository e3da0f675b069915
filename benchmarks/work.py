"""What every contender's task does: nothing, for some time, and then writes down when it began.

It imports nothing but the standard library, as it is imported by all contenders' workers.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

_RECORD = struct.Struct("<ddd")


class Trace(NamedTuple):
    """When a task was sent, begun and done, by the clock of :func:`time.monotonic`."""

    sent: float
    begun: float
    done: float


def path() -> Path:
    """Return the file of the traces."""
    return Path(os.environ["SITE_DATA"]) / "traces"


def do(seconds: float, sent: float) -> None:
    """Take some time, then leave a trace; a write of that size to the end of a file is whole."""
    begun = time.monotonic()
    if seconds:
        time.sleep(seconds)
    record = _RECORD.pack(sent, begun, time.monotonic())
    descriptor = os.open(path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, record)
    finally:
        os.close(descriptor)


def count() -> int:
    """Return how many tasks are done."""
    return path().stat().st_size // _RECORD.size if path().exists() else 0


def traces() -> list[Trace]:
    """Return the traces of all tasks that are done, in the order of their ends."""
    found = [Trace(*record) for record in _RECORD.iter_unpack(path().read_bytes())]
    return sorted(found, key=lambda trace: trace.done)
