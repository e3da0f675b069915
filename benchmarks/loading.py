"""A process of its own that loads the site as a web server does, and nothing else."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Final

from benchmarks.lab import REPOSITORY

WITHOUT_REDIS: Final = "ours_without_redis"
"""The contender who has no redis-py."""

_NOT_THERE: Final = ("gevent", "opentelemetry")
"""What is installed for other measures only: Huey imports gevent where it is, and redis-py
OpenTelemetry."""

_OF_THE_HOOKS: Final = ("digest", "share_image", "static_copy", "webhook")
"""What the demo's hooks import of the demo, and with it of other libraries."""


@dataclass(frozen=True)
class Loaded:
    """What loading the site took.

    :param seconds: until it was loaded.
    :param computed: for which of them the processor was busy.
    :param collecting: for which of these Python collected garbage.
    :param resident: megabytes in memory (RSS) afterwards.
    :param own: the same, where what other processes share counts in parts (PSS).
    """

    seconds: float
    computed: float
    collecting: float
    resident: float
    own: float


def loaded(contender: str) -> Loaded:
    """Load the site of a contender in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.loading"],
        cwd=REPOSITORY,
        env={**os.environ, "BENCH_CONTENDER": contender, "BENCH_REDIS": ""},
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return Loaded(**json.loads(done.stdout.splitlines()[-1]))


class Collections:
    """How long Python collects garbage, from now on; in seconds of the processor."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun = 0.0
        gc.callbacks.append(self._count)

    def _count(self, phase: str, info: dict[str, Any]) -> None:
        now = time.process_time()
        if phase == "start":
            self._begun = now
        else:
            self.seconds += now - self._begun


def main() -> None:
    """Load the site, and tell what it took."""
    absent = [*_NOT_THERE, *(["redis"] if os.environ["BENCH_CONTENDER"] == WITHOUT_REDIS else [])]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    collections = Collections()
    begun, computed = time.perf_counter(), time.process_time()
    load_site()
    taken, computed = time.perf_counter() - begun, time.process_time() - computed
    collecting = collections.seconds
    from benchmarks import proc

    now = proc.memory([os.getpid()])
    print(json.dumps(asdict(Loaded(taken, computed, collecting, now.resident, now.own))))


def load_site() -> None:
    """Load the site: apps, middleware, and all that its addresses and the demo's hooks lead to."""
    from django.core.wsgi import get_wsgi_application
    from django.urls import get_resolver

    get_wsgi_application()
    assert get_resolver().url_patterns
    for name in _OF_THE_HOOKS:
        import_module(f"tests.site.blog.{name}")


if __name__ == "__main__":
    main()
