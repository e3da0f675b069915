"""A fault of the data: the ledger is put back to an earlier state while workers run."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, transaction

from tests.faults.harness import RESCUE_LIMIT, THREADS, Harness, Result, rows
from tests.processes import wait_until


def ledger_restored(harness: Harness) -> Result:
    """Put tasks and workers back to what they were a moment ago, as a restore of a dump does.

    The worker's own row is not among them. Nothing of what was in the dump is lost, what ended
    after it runs again, and nothing runs beside itself.
    """
    numbers = harness.submit(harness.size.tasks)
    waiting = list(rows())
    worker = harness.ready_worker()
    harness.wait_for_ends(THREADS * 2)
    wait_until(lambda: _restore(waiting), "the dump is restored")
    assert harness.unfinished()
    harness.wait_until_done(harness.limit(RESCUE_LIMIT * 2))
    harness.submit(1)  # it goes on working
    harness.wait_until_done()
    harness.stop_calmly(worker)
    _check_none_ran_beside_itself(harness)
    assert worker.said().count("is recorded anew") == 1, worker.said()
    return harness.result(numbers)


def _restore(tasks: list[Any]) -> bool:
    """Put the rows back in one transaction; return whether no other one was in the way."""
    from wagtail_async_hooks.models import BackgroundTask, TaskAttempt, Worker

    try:
        with transaction.atomic():
            for model in (TaskAttempt, BackgroundTask, Worker):
                model.objects.all().delete()
            BackgroundTask.objects.bulk_create(tasks)
    except DatabaseError:
        return False
    return True


def _check_none_ran_beside_itself(harness: Harness) -> None:
    running = set()
    for word, number, _ in harness.traces.lines():
        if word == "began":
            assert number not in running, f"task {number} ran beside itself"
            running.add(number)
        else:
            running.discard(number)
