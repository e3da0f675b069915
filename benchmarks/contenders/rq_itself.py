"""RQ on Redis: a pool of workers, each of which forks for every job, which is its default."""

from __future__ import annotations

import os
from functools import cache

from redis import Redis
from rq import Queue

from benchmarks import work
from benchmarks.contenders import PYTHON, load_site_if_asked

load_site_if_asked()


@cache
def _queue() -> Queue:
    return Queue(connection=Redis.from_url(os.environ["BENCH_REDIS"]))


def set_up() -> None:
    """Nothing is left to be done."""


def enqueue(seconds: float, sent: float) -> None:
    """Enqueue a job; its result is not kept."""
    _queue().enqueue(work.do, seconds, sent, result_ttl=0)


def enqueue_many(number: int, seconds: float) -> None:
    """Enqueue so many jobs, by one pipeline."""
    job = Queue.prepare_data(work.do, (seconds, 0.0), result_ttl=0)
    _queue().enqueue_many([job] * number)


def workers(number: int, *, logs: bool = False) -> list[list[str]]:
    """Return the command of a pool of so many workers."""
    pool = [PYTHON, "-m", "rq.cli", "worker-pool", "--url", os.environ["BENCH_REDIS"]]
    quiet = [] if logs else ["--quiet"]
    return [[*pool, *quiet, "--num-workers", str(number)]]
