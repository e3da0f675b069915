"""Records how a task ended and claims the next by one call of a function, on PostgreSQL.

``migrations/_initial_postgresql.py`` makes the functions, and says why there are some.
"""

from __future__ import annotations

import functools
import math
import time
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.ledger import raw_sql
from wagtail_async_hooks.ledger.outcomes import errors_of
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import Bounds, Claim, Outcome
from wagtail_async_hooks.utils.database.values import fitted

FUNCTION: Final = "wagtail_async_hooks_step"
WITHIN: Final = "wagtail_async_hooks_step_within"
"""The function for claims that are bounded."""

LONG: Final = 0.0003
"""So many seconds of the server's are a long look for the first of all tasks."""

LOOK_BACK: Final = 0.05
"""Seconds after which a thread looks for the first of all tasks again, see :func:`_last`."""

REST: Final = 20
"""So many times as long as its last long look took, if that is more."""

MOST: Final = 5.0
"""Seconds that this is at most: a look may have taken long since the server was busy."""

_CALL: Final = f"SELECT * FROM {FUNCTION}({', '.join(['%s'] * 13)})"
_CALL_WITHIN: Final = f"SELECT * FROM {WITHIN}({', '.join(['%s'] * 17)})"


def step_within(
    connection: BaseDatabaseWrapper,
    outcome: Outcome | None,
    worker: int | None,
    suspects: bool,
    bounds: Bounds,
) -> tuple[bool, tuple[Any, ...] | None]:
    """Do both, as :func:`step`, where the claim is bounded."""
    parameters = [*_ended(outcome, connection), worker, suspects]
    names = bounds.queues, bounds.left_out, bounds.hooks, bounds.functions
    parameters += [_array(some) for some in (*names, tuple(bounds.limits))]
    parameters.append(_array(tuple(bounds.limits.values())))
    [(kept, *row, revocations, expired, slot)] = raw_sql.rows_of(
        connection, _CALL_WITHIN, parameters
    )
    return kept, None if row[0] is None else (*row, slot, revocations, expired)


@functools.lru_cache(maxsize=256)
def _array(values: tuple[object, ...]) -> str:
    """Return what PostgreSQL reads as an array: psycopg takes ten times as long for a list.

    See "Array Input and Output Syntax" in PostgreSQL's documentation.
    """
    escaped = [str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"


def step(
    connection: BaseDatabaseWrapper, outcome: Outcome | None, worker: int | None, suspects: bool
) -> tuple[bool, tuple[Any, ...] | None, float]:
    """Do both, in one round trip and one commit.

    :param outcome: with a final state, and nothing to record but what the function takes.
    :returns: whether the outcome counted; of the claimed row what elsewhere is read of it; and
        :attr:`~wagtail_async_hooks.types.Claim.behind_until`.
    """
    last = _last(outcome)
    parameters = [*_ended(outcome, connection), worker, suspects]
    parameters += [last.priority, last.pk] if last else [None, None]
    [(kept, *row, revocations, expired, seconds)] = raw_sql.rows_of(connection, _CALL, parameters)
    until = last.behind_until if last else _behind_until(seconds)
    return kept, None if row[0] is None else (*row, None, revocations, expired), until


def _behind_until(seconds: float) -> float:
    """Return until when claims look behind the last one, after a look that took so long."""
    if seconds > LONG:
        return time.monotonic() + min(max(LOOK_BACK, REST * seconds), MOST)
    return -math.inf


def takes(outcome: Outcome) -> bool:
    """Return whether the function can record an outcome."""
    if outcome.error_place or outcome.claim.attempt > 1:  # which the row has from an earlier one
        return False
    return outcome.state.is_final and outcome.message is None and outcome.progress is None


def _ended(outcome: Outcome | None, connection: BaseDatabaseWrapper) -> list[Any]:
    if outcome is None:
        return [None] * 9
    errors = [""] * 4
    if outcome.error or outcome.error_type:
        errors = list(fitted(BackgroundTask, errors_of(outcome), connection).values())
    claim = outcome.claim
    return [claim.pk, claim.attempt, claim.task_id, outcome.state.value, outcome.result, *errors]


def _last(outcome: Outcome | None) -> Claim | None:
    """Return the task behind which to look for the next, ``None`` to look at all of them.

    While some other transaction holds its snapshot, nothing that was waiting leaves the index, and
    who begins at its head passes over all of it. Where that takes long, a thread that has just
    claimed a task looks behind that: nothing of the same priority waits before it, but for what
    came back or was committed late. Those are found a moment later, which is longer where looking
    takes longer, so that it takes a small part of a thread's time, and never more than
    :data:`MOST`. What has a higher priority is found at once. Elsewhere the order is exact.
    """
    if outcome is None or time.monotonic() > outcome.claim.behind_until:
        return None
    return outcome.claim
