"""Tasks that leave a trace which a test can read: a line in a file, written by one system call."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from wagtail_async_hooks import Snooze, background, progress
from wagtail_async_hooks.types import Alert


def leave_trace(path: str, *words: object) -> None:
    """Append one line to a file; lines of several processes do not mix."""
    line = " ".join(map(str, words)) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@background.task()
def trace(path: str, word: object) -> int:
    """Leave a trace; return which process did it."""
    leave_trace(path, word, os.getpid())
    return os.getpid()


@background.task()
def add(a: int, b: int) -> int:
    """Return a sum."""
    return a + b


def greet(name: str, mark: str = "!") -> str:
    """Return a greeting; a function that is no task."""
    return f"Hello {name}{mark}"


@background.task()
def total(numbers: list[int]) -> int:
    """Return the sum of a list."""
    return sum(numbers)


@background.task()
def fail(text: str = "no luck") -> None:
    """Raise an error."""
    raise ValueError(text)


@background.task(retries=2)
def fail_twice(path: str) -> str:
    """Succeed at the third attempt."""
    leave_trace(path, "attempt")
    if len(Path(path).read_text().splitlines()) < 3:
        raise ValueError("not yet")
    return "at last"


@background.task()
def leave() -> None:
    """Call ``sys.exit()``, as no task should."""
    sys.exit("goodbye")


@background.task()
def wait_for(path: str, gate: str) -> None:
    """Say that the task has begun, then run until a file appears."""
    leave_trace(path, "began", os.getpid(), threading.get_ident())
    while not Path(gate).exists():
        time.sleep(0.01)
    leave_trace(path, "ended", os.getpid())


@background.task()
def get_stuck(path: str, how: str) -> None:
    """Never end, in one of the ways in which that happens."""
    leave_trace(path, how)
    while how == "sleep":
        time.sleep(0.01)
    while how == "queries":
        with transaction.atomic():
            ContentType.objects.count()
    if how == "call":
        time.sleep(3600)
    while True:
        pass


@background.task()
async def wait_long(path: str) -> None:
    """Wait for an hour, in a coroutine."""
    leave_trace(path, "coroutine")
    await asyncio.sleep(3600)


@background.task()
async def await_gate(path: str, gate: str) -> None:
    """Wait for a file, in a coroutine."""
    leave_trace(path, "began", os.getpid(), threading.current_thread().name)
    while not os.path.exists(gate):
        await asyncio.sleep(0.05)
    leave_trace(path, "ended", os.getpid(), threading.current_thread().name)


@background.task()
def snooze_twice(path: str) -> None:
    """Be called a third time."""
    leave_trace(path, "attempt")
    if len(Path(path).read_text().splitlines()) < 3:
        raise Snooze(0.1)


@background.task()
def put_off(seconds: float) -> None:
    """Ask to be called again later, each time."""
    raise Snooze(seconds)


@background.task()
def die(path: str) -> None:
    """End the worker process at once, as a lack of memory would."""
    leave_trace(path, "died", os.getpid())
    os._exit(9)


@background.task()
def show(value: Any) -> str:
    """Return what the task was given, as text."""
    return f"{type(value).__name__}: {value}"


@background.task()
def show_all(**values: Any) -> dict[str, Any]:
    """Return what the task was given by name."""
    return values


@background.task(context=True)
def with_context(value: int, task: Any) -> str:
    """Return the id of the task."""
    return f"{task.id} {value}"


@background.task()
async def add_slowly(a: int, b: int) -> int:
    """Return a sum, from a coroutine."""
    return a + b


@background.task()
def report_until_cancelled(path: str) -> None:
    """Report progress again and again; only being cancelled ends it."""
    done = 0
    while True:
        done += 1
        leave_trace(path, done)
        progress(done)
        time.sleep(0.01)


@background.task()
def environment(*names: str) -> list[str | None]:
    """Return variables of the worker's environment."""
    return [os.environ.get(name) for name in names]


def write_alert(alert: Alert) -> None:
    """Write an alert into the file that an environment variable names; a function of alerts."""
    Path(os.environ["TEST_TOLD"]).write_text(f"{alert.subject}\n{alert.text}")


def hang_on_alert(alert: Alert) -> None:
    """Say that it was called, and go on for longer than any test."""
    Path(os.environ["TEST_TOLD"]).touch()
    time.sleep(3600)


@background.task()
def submit_after(path: str, gate: str) -> None:
    """Say that the task has begun, wait until a file appears, then start a thread."""
    leave_trace(path, "began", os.getpid())
    while not Path(gate).exists():
        time.sleep(0.01)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(leave_trace, path, "submitted").result()
