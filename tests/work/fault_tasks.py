"""Tasks that tell, in a file that outlives their process, how often each was begun and ended."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from django.db import connection

from tests.work.tasks import leave_trace
from wagtail_async_hooks import background


@background.task()
def work(path: str, number: int, seconds: float) -> int:
    """Take some time; return which process did it."""
    leave_trace(path, "began", number, os.getpid())
    time.sleep(seconds)
    leave_trace(path, "ended", number, os.getpid())
    return os.getpid()


@background.task()
def query(path: str, number: int, seconds: float) -> int:
    """Take some time, then ask the database something, as most hooks do."""
    leave_trace(path, "began", number, os.getpid())
    time.sleep(seconds)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    leave_trace(path, "ended", number, os.getpid())
    return os.getpid()


@background.task()
def hold(path: str, number: int, gate: str) -> int:
    """Run until a file appears; return which process did it."""
    leave_trace(path, "began", number, os.getpid())
    while not Path(gate).exists():
        time.sleep(0.01)
    leave_trace(path, "ended", number, os.getpid())
    return os.getpid()


@background.task()
def fork(path: str, number: int, how: str) -> int:
    """Fork, and come back from the child as well, or leave it by an error or by `sys.exit()`."""
    leave_trace(path, "began", number, os.getpid())
    child = os.fork()
    if not child:
        leave_trace(path, "child", number, os.getpid())
        if how == "raises":
            raise ValueError("in the child")
        if how == "exits":
            sys.exit(3)
        return os.getpid()
    os.waitpid(child, 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    leave_trace(path, "ended", number, os.getpid())
    return os.getpid()


@background.task()
def die(path: str, number: int) -> None:
    """End the worker process at once, as a lack of memory would."""
    leave_trace(path, "began", number, os.getpid())
    os._exit(9)
