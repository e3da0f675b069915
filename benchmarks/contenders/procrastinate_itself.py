"""procrastinate on PostgreSQL: one worker with so many jobs at once."""

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector

from benchmarks import calls, work
from benchmarks.contenders import PYTHON, load_site_if_asked

load_site_if_asked()
_NAMES = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "NAME"}
app = App(
    connector=PsycopgConnector(
        kwargs={name: os.environ[f"SITE_DATABASE_{v}"] for name, v in _NAMES.items()}
    )
)


@app.task(name="do")
def do(seconds: float, sent: float) -> None:
    """Do the work."""
    work.do(seconds, sent)


@app.task(name="call")
async def call(port: int) -> None:
    """Call a server."""
    await calls.acall(port)


def set_up() -> None:
    """Make the tables, and connect."""
    app.open()
    app.schema_manager.apply_schema()


def enqueue(seconds: float, sent: float) -> None:
    """Enqueue a task."""
    do.defer(seconds=seconds, sent=sent)


def enqueue_many(number: int, seconds: float) -> None:
    """Enqueue so many tasks, by one INSERT."""
    do.batch_defer(*({"seconds": seconds, "sent": 0.0} for _ in range(number)))


def workers(number: int, *, logs: bool = False) -> list[list[str]]:
    """Return the command of a worker that does so many at once."""
    level = ["--log-level", "info" if logs else "warning"]
    cli = [PYTHON, "-m", "procrastinate", *level, "--app", f"{__name__}.app"]
    return [[*cli, "worker", "--concurrency", str(number)]]


def enqueue_calls(number: int, port: int) -> None:
    """Enqueue so many calls to a server, by one INSERT."""
    call.batch_defer(*({"port": port} for _ in range(number)))


callers = workers
