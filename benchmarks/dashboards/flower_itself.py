"""Flower, which keeps tasks in its memory and reads them from the events of workers.

Its page of tasks comes empty, and asks for its rows; both are measured together.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from benchmarks.contenders import PYTHON
from benchmarks.dashboards import Pages

HOST = "127.0.0.1"
PATIENCE = 300.0
"""Seconds after which it is given up that Flower starts, or has read the events."""


@contextmanager
def opened(rows: int) -> Iterator[Pages]:
    """Start Flower, tell it of so many tasks, and return the pages."""
    port = _free_port()
    command = [PYTHON, "-m", "celery", "--app", "benchmarks.contenders.celery_itself:app"]
    options = ["flower", f"--address={HOST}", f"--port={port}", f"--max-tasks={rows}"]
    with subprocess.Popen([*command, *options, "--logging=error"], env=os.environ) as flower:
        try:
            root = f"http://{HOST}:{port}"
            _wait(lambda: _get(f"{root}/workers") != "", "Flower answers")
            newest = _send(rows, root)
            yield _pages(root, newest)
        finally:
            flower.terminate()


def _pages(root: str, newest: str) -> Pages:
    def page(path: str) -> None:
        _get(f"{root}{path}")

    def tasks(search: str = "") -> None:
        page("/tasks")
        _rows(root, search)

    return {
        "overview": lambda: page("/workers"),
        "tasks": tasks,
        "failed": lambda: tasks("state:FAILURE"),
        "search": lambda: tasks("nothing"),
        "task": lambda: page(f"/task/{newest}"),
    }


def _send(rows: int, root: str) -> str:
    """Tell of tasks as a worker does; return the id of the last one."""
    from benchmarks.contenders.celery_itself import app

    key = ""
    with app.connection_for_write() as connection:
        dispatcher = app.events.Dispatcher(connection, hostname="worker@bench")
        dispatcher.send("worker-online", freq=2, sw_ident="bench", sw_ver="1", sw_sys="Linux")
        for number in range(rows):
            key = str(uuid.uuid4())
            called = {"name": "benchmarks.tasks.do", "args": "(0.0, 0.0)", "kwargs": "{}"}
            dispatcher.send("task-received", uuid=key, **called)
            if number % 30:
                dispatcher.send("task-succeeded", uuid=key, result="None", runtime=0.1)
            else:
                dispatcher.send("task-failed", uuid=key, exception="ValueError()", traceback="")
            if number % 5_000 == 0:  # Redis drops a reader that is too far behind
                _wait_for(number + 1, root)
        _wait_for(rows, root)
    return key


def _wait_for(number: int, root: str) -> None:
    """Wait until Flower knows so many tasks."""
    _wait(lambda: _rows(root)["recordsTotal"] >= number, f"Flower knows {number} tasks")


def _rows(root: str, search: str = "") -> dict[str, Any]:
    """Return what the table of tasks asks for: its first rows, the newest first."""
    asked = {
        "draw": 1,
        "start": 0,
        "length": 25,
        "search[value]": search,
        "order[0][column]": 0,
        "order[0][dir]": "desc",
        "columns[0][data]": "received",
    }
    found: dict[str, Any] = json.loads(_get(f"{root}/tasks/datatable?{urlencode(asked)}"))
    return found


def _get(address: str) -> str:
    with urlopen(address) as response:
        return str(response.read().decode())


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except URLError:  # it does not listen yet
            pass
        time.sleep(0.02)
    raise AssertionError(f"In {PATIENCE:g} s it did not come true that {what}.")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])
