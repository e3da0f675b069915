"""A web process that is killed around its commit.

Run as `python -m tests.faults.editor MOMENT TRACE NUMBER`. It enqueues one task in a transaction,
says "reached", and waits for its end: before the commit, or after it and before anything that
follows from it, such as the message to Redis.
"""

from __future__ import annotations

import signal
import sys

import django
from django.db import transaction


def reached() -> None:
    """Say so, and wait to be killed."""
    print("reached", flush=True)  # noqa: T201
    while True:
        signal.pause()


def main(moment: str, trace: str, number: str) -> None:
    """Enqueue a task, and come to the moment."""
    django.setup()
    from tests.work.fault_tasks import work

    with transaction.atomic():
        if moment == "committed":
            transaction.on_commit(reached)  # the first that follows, before the package's own
        work(trace, int(number), 0.0)
        if moment == "inserted":
            reached()


if __name__ == "__main__":
    main(*sys.argv[1:])
