"""Takes what waits behind many others with its exclusive key out of the way of claims.

A claim looks at the waiting tasks in their order, and passes over those whose key a running task
has. Where a hundred thousand wait for one key, it would look at all of them, each time. So the
worker that runs the task blocks those behind it, and claims read past them by their index. When the
running task ends, the next one is unblocked in the same transaction.

Blocked or not, a claim takes only the first task of a key, and none while another one runs. So a
task that ought to be blocked costs time and nothing else; and one that is blocked with nobody left
to unblock it, as the one before it was cancelled, say, is found by :func:`unblock`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.ledger import raw_sql
from wagtail_async_hooks.ledger.base import TABLE, database
from wagtail_async_hooks.ledger.locks import brief, free
from wagtail_async_hooks.ledger.selection import first_of_key, forced, unblocked_of_key
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import Claim, State

MANY: Final = 100
"""So many tasks may wait for a key without being blocked."""

AT_ONCE: Final = 2000
"""So many are blocked in one transaction, for which the end of the running task may have to wait.
"""

LONGEST: Final = 0.25
"""Seconds after which no further transaction is begun."""

# The conditions of the indexes, word by word: SQLite would not use them otherwise.
_ANY: Final = f"SELECT 1 FROM {TABLE} WHERE state = 'waiting' AND blocked = TRUE LIMIT 1"
_RUNS: Final = (
    f"SELECT 1 FROM {TABLE} WHERE state = 'running' AND NOT (exclusive_key = '') "
    "AND exclusive_key = %s"
)


def block_behind(running: Iterable[Claim]) -> int:
    """Block what waits for the exclusive keys of running tasks, but for the first of each key.

    :param running: those whose keys matter; of those without one nothing is asked.
    :returns: how many tasks were blocked; there may be more.
    """
    until, number = time.monotonic() + LONGEST, 0
    for claim in running:
        while claim.exclusive_key and time.monotonic() < until:
            blocked = _block(claim)
            number += blocked
            if blocked < AT_ONCE:
                break
    return number


def _block(claim: Claim) -> int:
    tasks = BackgroundTask.objects.using(database())
    connection = connections[tasks.db]
    if not unblocked_of_key(connection, claim.exclusive_key, 1, past=MANY):
        return 0
    with brief(tasks.db):
        # While its row is locked, its end is not recorded, which would unblock the next one.
        runs = free(tasks.filter(pk=claim.pk, state=State.RUNNING, attempt=claim.attempt))
        if not runs.values_list("pk", flat=True):
            return 0
        behind = unblocked_of_key(connection, claim.exclusive_key, AT_ONCE, past=1)
        waiting = free(tasks.filter(pk__in=behind, state=State.WAITING))
        keys = list(waiting.values_list("pk", flat=True))
        return tasks.filter(pk__in=keys).update(blocked=True)


def unblock_next(connection: BaseDatabaseWrapper, key: str) -> None:
    """Unblock the task that comes next of those with an exclusive key, which is free now."""
    found = first_of_key(connection, key)
    if found is not None and found.blocked:
        BackgroundTask.objects.using(connection.alias).filter(pk=found.pk).update(blocked=False)


def unblock() -> None:
    """Unblock the next tasks of keys that no running task has; one query if nothing is blocked."""
    connection = connections[database()]
    if not raw_sql.rows_of(connection, _ANY, []):
        return
    for key in _blocked_keys(connection):
        if not raw_sql.rows_of(connection, _RUNS, [key]):
            unblock_next(connection, key)


def _blocked_keys(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Yield the keys of what is blocked, from one to the next: there may be many of one key."""
    statement = (
        f"SELECT exclusive_key FROM {TABLE}{forced(connection, 'bgtask_exclusive_next')} "
        "WHERE state = 'waiting' AND NOT (exclusive_key = '') AND exclusive_key > %s "
        "AND blocked = TRUE ORDER BY exclusive_key LIMIT 1"
    )
    key = ""
    while rows := raw_sql.rows_of(connection, statement, [key]):
        [(key,)] = rows
        yield key
