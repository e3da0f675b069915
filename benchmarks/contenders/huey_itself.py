"""Huey with a storage of its own: one consumer with threads, and its default options."""

from __future__ import annotations

import os

from huey.api import Huey, PostgresHuey, PriorityRedisHuey, SqliteHuey

from benchmarks import calls, work
from benchmarks.contenders import PYTHON, load_site_if_asked

load_site_if_asked()


def _make() -> Huey:
    if os.environ["BENCH_REDIS"]:
        return PriorityRedisHuey("bench", url=os.environ["BENCH_REDIS"])
    names = ("host", "port", "user")
    given = {name: os.environ.get(f"SITE_DATABASE_{name.upper()}", "") for name in names}
    if os.environ["SITE_DATABASE"] == "mysql":
        return _on_mariadb(os.environ["SITE_DATABASE_NAME"], given)
    if os.environ["SITE_DATABASE"] == "postgres":
        return PostgresHuey("bench", dbname=os.environ["SITE_DATABASE_NAME"], **given)
    return SqliteHuey("bench", filename=os.path.join(os.environ["SITE_DATA"], "huey.sqlite3"))


def _on_mariadb(name: str, given: dict[str, str]) -> Huey:
    """Return one with peewee, which is how Huey speaks to databases of other makers."""
    from huey.contrib.sql_huey import SqlHuey
    from peewee import MySQLDatabase

    where = {**given, "port": int(given["port"])}
    return SqlHuey("bench", database=MySQLDatabase(name, **where))


queue = _make()


@queue.task()  # type: ignore[untyped-decorator]  # Huey has no types
def do(seconds: float, sent: float) -> None:
    """Do the work."""
    work.do(seconds, sent)


@queue.task()  # type: ignore[untyped-decorator]
def call(port: int) -> None:
    """Call a server."""
    calls.call(port)


def set_up() -> None:
    """Nothing is left to be done."""


def enqueue(seconds: float, sent: float) -> None:
    """Enqueue a task."""
    do(seconds, sent)


def enqueue_many(number: int, seconds: float) -> None:
    """Enqueue so many tasks; Huey has no way to do it at once."""
    for _ in range(number):
        do(seconds, 0.0)


def workers(number: int, processes: int = 1, *, logs: bool = False) -> list[list[str]]:
    """Return the command of a consumer with so many threads, or else so many processes."""
    consumer = [PYTHON, "-m", "huey.bin.huey_consumer", f"{__name__}.queue"]
    kind = "thread" if processes == 1 else "process"
    quiet = [] if logs else ["--quiet"]
    return [[*consumer, *quiet, "--workers", str(number * processes), "--worker-type", kind]]


def enqueue_calls(number: int, port: int) -> None:
    """Enqueue so many calls to a server."""
    for _ in range(number):
        call(port)


def callers(number: int) -> list[list[str]]:
    """Return the command of a consumer with so many greenlets."""
    patched = [PYTHON, "-m", "gevent.monkey", "--module", "huey.bin.huey_consumer"]
    options = ["--quiet", "--workers", str(number), "--worker-type", "greenlet"]
    return [[*patched, f"{__name__}.queue", *options]]
