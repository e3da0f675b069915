"""What a child process does that a task starts; it is imported without Django."""

from __future__ import annotations

import os
import time


def wait_for_ever(path: str) -> None:
    """Wait, as a child that somebody will terminate."""
    with open(path, "a") as traces:
        traces.write(f"child {os.getpid()}\n")
    time.sleep(600)
