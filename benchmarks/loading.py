"""A process of its own that loads the site as a web server does, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.lab import REPOSITORY


@dataclass(frozen=True)
class Loaded:
    """What loading the site took.

    :param seconds: until it was loaded.
    :param computed: for which of them the processor was busy.
    :param resident: megabytes in memory (RSS) afterwards.
    :param own: the same, where what other processes share counts in parts (PSS).
    """

    seconds: float
    computed: float
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


def main() -> None:
    """Load the site: apps, middleware, and all that its addresses lead to."""
    begun, computed = time.perf_counter(), time.process_time()
    from django.core.wsgi import get_wsgi_application
    from django.urls import get_resolver

    get_wsgi_application()
    assert get_resolver().url_patterns
    taken, computed = time.perf_counter() - begun, time.process_time() - computed
    from benchmarks import proc

    now = proc.memory([os.getpid()])
    print(json.dumps(asdict(Loaded(taken, computed, now.resident, now.own))))


if __name__ == "__main__":
    main()
