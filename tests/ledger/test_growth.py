"""What comes, is done and is deleted leaves nothing behind that a later claim would have to read.

``python -m benchmarks growth`` measures the same for ten minutes; this does not depend on how fast
the machine is.
"""

from __future__ import annotations

import datetime
from typing import Final, NamedTuple

import pytest
from django.db import connection

from tests.effort import effort
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.ledger.base import TABLE
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import Claim, Outcome, State

TASKS: Final = 100
WAITING: Final = 20
ROUNDS: Final = 2
AT_ONCE: Final = datetime.timedelta()


class Size(NamedTuple):
    """How large the ledger is: what the end of a task and the next claim read, and its indexes."""

    read: int
    indexes: int


@pytest.mark.slow
def test_growth__of_what_a_claim_reads(committed_db: None) -> None:
    background.enqueue_many([tasks.add.s(1, 1)] * WAITING)
    sizes = []
    for _ in range(3):
        for _ in range(ROUNDS):
            come_and_go()
        sizes.append(size())

    first, *later = sizes
    assert BackgroundTask.objects.count() == WAITING
    # Some blocks more or less are catalogs'; what is left behind would be two hundred.
    assert max(each.read for each in later) <= first.read * 1.5 + 10
    assert max(each.indexes for each in later) <= first.indexes * 1.3


def come_and_go() -> None:
    """Have many tasks come, be done and be deleted, and the database tidy up."""
    background.enqueue_many([tasks.add.s(1, 1)] * TASKS)
    claim = claimed()
    for _ in range(TASKS - 1):
        _, following = ledger.step(Outcome(claim, State.SUCCEEDED), None)
        assert following is not None
        claim = following
    ledger.step(Outcome(claim, State.SUCCEEDED), None, claim=False)
    last: int | None = 0
    while last is not None:
        _, last = ledger.prune({State.SUCCEEDED: AT_ONCE}, last)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM {TABLE}")


def claimed() -> Claim:
    """Claim the next task."""
    _, claim = ledger.step(None, None)
    assert claim is not None
    return claim


def size() -> Size:
    """Return how large it is now; no task is done by that."""
    claim = claimed()
    read = effort(lambda: ledger.step(Outcome(claim, State.SUCCEEDED), None))
    rows = BackgroundTask.objects.filter(pk=claim.pk)
    rows.update(state=State.WAITING, attempt=0, started_at=None, finished_at=None)
    indexes = 1
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_indexes_size(%s::regclass)", [TABLE])
            [(indexes,)] = cursor.fetchall()
    return Size(read, indexes)
