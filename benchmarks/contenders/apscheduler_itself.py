"""APScheduler with jobs in a database: a process with threads, which reads them when it starts.

It is a scheduler and no queue: a job that another process adds is not noticed until the next one is
due, and a job that is late by more than a second is left out, unless ``misfire_grace_time`` allows
it, as here.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.blocking import BlockingScheduler

from benchmarks import work
from benchmarks.contenders import PYTHON, load_site_if_asked


def _store() -> SQLAlchemyJobStore:
    if os.environ["SITE_DATABASE"] == "postgres":
        user, host, port, name = (
            os.environ[f"SITE_DATABASE_{part}"] for part in ("USER", "HOST", "PORT", "NAME")
        )
        return SQLAlchemyJobStore(f"postgresql+psycopg://{user}@{host}:{port}/{name}")
    return SQLAlchemyJobStore(f"sqlite:///{Path(os.environ['SITE_DATA'], 'jobs.sqlite3')}")


@cache
def _paused() -> Any:
    """Return a scheduler that only adds jobs."""
    scheduler = BackgroundScheduler(jobstores={"default": _store()})
    scheduler.start(paused=True)
    return scheduler


def set_up() -> None:
    """Make the table."""
    _paused()


def enqueue(seconds: float, sent: float) -> None:
    """Add a job that is due at once."""
    _paused().add_job(work.do, args=(seconds, sent), misfire_grace_time=None)


def enqueue_many(number: int, seconds: float) -> None:
    """Add so many jobs; it has no way to do it at once."""
    for _ in range(number):
        enqueue(seconds, 0.0)


def workers(number: int) -> list[list[str]]:
    """Return the command of a scheduler with so many threads."""
    return [[PYTHON, "-m", __name__, str(number)]]


def main(threads: int) -> None:
    """Run jobs until the process is ended."""
    load_site_if_asked()
    pool = {"default": ThreadPoolExecutor(threads)}
    BlockingScheduler(jobstores={"default": _store()}, executors=pool).start()


if __name__ == "__main__":
    import sys

    main(int(sys.argv[1]))
