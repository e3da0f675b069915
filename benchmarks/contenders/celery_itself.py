"""Celery on Redis: one worker with child processes, which is its default; results are ignored."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks import calls, work
from benchmarks.contenders import PYTHON, load_site_if_asked

load_site_if_asked()
app = Celery("bench", broker=os.environ["BENCH_REDIS"])
app.conf.task_ignore_result = True
if os.environ["BENCH_CONTENDER"] == "celery_late_itself":
    app.conf.task_acks_late = True
    app.conf.broker_transport_options = {"visibility_timeout": 60}


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def do(seconds: float, sent: float) -> None:
    """Do the work."""
    work.do(seconds, sent)


@app.task  # type: ignore[untyped-decorator]
def call(port: int) -> None:
    """Call a server."""
    calls.call(port)


def set_up() -> None:
    """Nothing is left to be done."""


def enqueue(seconds: float, sent: float) -> None:
    """Enqueue a task."""
    do.delay(seconds, sent)


def enqueue_many(number: int, seconds: float) -> None:
    """Enqueue so many tasks; Celery has no way to do it at once."""
    for _ in range(number):
        enqueue(seconds, 0.0)


def kept() -> int:
    """Return how many tasks wait, or were taken by workers that did not say so: they come back."""
    with app.connection_for_read() as connection:
        client = connection.default_channel.client
        return int(client.llen("celery") + client.hlen("unacked"))


def workers(number: int, *, logs: bool = False) -> list[list[str]]:
    """Return the command of a worker with so many processes."""
    worker = [PYTHON, "-m", "celery", "--app", f"{__name__}:app", "worker"]
    return [[*worker, "--concurrency", str(number), "--loglevel", "INFO" if logs else "ERROR"]]


def enqueue_calls(number: int, port: int) -> None:
    """Enqueue so many calls to a server."""
    for _ in range(number):
        call.delay(port)


def callers(number: int) -> list[list[str]]:
    """Return the command of a worker with so many greenlets."""
    return [[*command, "--pool", "gevent"] for command in workers(number)]
