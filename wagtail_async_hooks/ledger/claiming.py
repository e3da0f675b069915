"""Claim and finish, which run for every task, also where two workers want the same one.

Written in SQL, since Django's ORM would spend more time making the statement than the database
running it.
"""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from django.db import IntegrityError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks import conf
from wagtail_async_hooks.ledger import mariadb, postgresql, raw_sql
from wagtail_async_hooks.ledger.attempts import keep_attempt
from wagtail_async_hooks.ledger.base import CLAIMED, TABLE, database, lock_of
from wagtail_async_hooks.ledger.blocking import unblock_next
from wagtail_async_hooks.ledger.coalescing import coalesce, separate
from wagtail_async_hooks.ledger.locks import gaps_left_free
from wagtail_async_hooks.ledger.notices import add_notice
from wagtail_async_hooks.ledger.outcomes import errors_of, lighten
from wagtail_async_hooks.ledger.progress import progress_columns
from wagtail_async_hooks.ledger.selection import Choice, Slot, Sql, choices, slot_of
from wagtail_async_hooks.models import BackgroundTask, StoredValue
from wagtail_async_hooks.types import EVERYTHING, Bounds, Claim, Outcome, State
from wagtail_async_hooks.utils.database.instants import NOW, FromNow, adapted, placed
from wagtail_async_hooks.utils.database.values import fitted

_COLLISIONS: Final = 20
"""How often a claim is tried again that took a task whose exclusive key, or whose slot in its
queue, somebody else's claim took in the same instant. Each time, somebody got on."""

_BEGIN: Final = f"UPDATE {TABLE} SET state = 'running', attempt = attempt + 1, worker_id = %s"

# Of the two rows that one statement changes, the one that ends is the one that runs.
_IF_ENDED: Final = "CASE WHEN state = 'running' THEN"

_EXPIRED: Final = "expires_at <"
"""Ends with the clock: nothing is said where nothing expires."""

# Huey keeps revocations under keys that begin with r: (one task) and rt: (a function's tasks).
_REVOCATIONS: Final = (
    f"EXISTS (SELECT 1 FROM {StoredValue._meta.db_table} revocation "
    "WHERE revocation.key >= 'r' AND revocation.key < 's')"
)


def step(
    outcome: Outcome | None,
    worker: int | None,
    *,
    claim: bool = True,
    suspects: bool = True,
    bounds: Bounds = EVERYTHING,
) -> tuple[bool, Claim | None]:
    """Record how one task ended and claim the next by priority, then age, in one transaction.

    :param outcome: what to record; ``None`` to claim only.
    :param worker: primary key of the worker's row, ``None`` for a process without one.
    :param claim: ``False`` to record only.
    :param suspects: ``False`` to pass over tasks that a worker has died of.
    :param bounds: what the claim keeps to.
    :returns: whether the outcome counted (it does not when the task was given to another worker
        meanwhile), and the claimed task.
    """
    connection = connections[database()]
    if outcome is not None:
        lighten(outcome, connection)
    kept, claimed = False, None
    for collisions in range(_COLLISIONS + 1):
        try:
            if outcome is not None and claim and _go_together(connection, outcome, collisions):
                kept, claimed = _finish_and_claim(connection, outcome, worker, suspects, bounds)
                break
            with _transaction(connection, outcome):
                kept = outcome is not None and _finish(connection, outcome)
                if claim:
                    claimed = _claim(connection, worker, suspects, bounds)
            break
        except IntegrityError:
            if collisions == _COLLISIONS:
                raise
    if claimed is not None and claimed.coalesce_key and not claimed.cancel_requested:
        claimed = coalesce(connection.alias, claimed, worker, suspects)
    return kept, claimed


def waits(bounds: Bounds) -> bool:
    """Return whether there is something to claim, also where a claim would pass over it.

    A claim passes over a row that is locked at that moment, perhaps only because somebody else's
    looks at it: InnoDB locks what it reads.

    :param bounds: as for a claim.
    """
    connection = connections[database()]
    with connection.cursor() as cursor:
        for choice in choices(connection, True, bounds):
            cursor.execute(f"SELECT 1 {choice.source(connection)}", choice.where.parameters)
            if cursor.fetchone() is not None:
                return True
    return False


def _transaction(
    connection: BaseDatabaseWrapper, outcome: Outcome | None
) -> AbstractContextManager[Any]:
    """A lone claim is one statement and commits by itself where the database can do that."""
    if outcome is None and (_updates_return(connection) or mariadb.takes(connection)):
        return nullcontext()
    if outcome is not None and connection.vendor == "sqlite" and _is_plain(outcome):
        return raw_sql.together(connection)
    return gaps_left_free(connection.alias)


def _updates_return(connection: BaseDatabaseWrapper) -> bool:
    """Return whether ``UPDATE … RETURNING`` exists; SQLite got it with INSERT's, in 3.35."""
    returns = bool(connection.features.can_return_columns_from_insert)
    return returns and connection.vendor in ("postgresql", "sqlite")


def _go_together(connection: BaseDatabaseWrapper, outcome: Outcome, collisions: int) -> bool:
    """Return whether recording an outcome and claiming the next task is one statement.

    Nothing but these two rows may change. And unless PostgreSQL's function does it, a statement
    does not see its own changes: it would not find a task that waits again, nor one that waits for
    an exclusive key. It is told which slot gets free, and collides where SQLite changes the row
    first that is claimed, or where the outcome does not count.

    :param collisions: how often it has been tried.
    """
    claim = outcome.claim
    if not _is_plain(outcome):
        return False
    if connection.vendor == "postgresql":
        return postgresql.takes(outcome)
    if connection.vendor == "mysql":
        return mariadb.takes(connection) and not claim.exclusive_key
    frees = bool(claim.exclusive_key) or outcome.state is State.WAITING
    return _updates_return(connection) and not frees and not collisions


def _is_plain(outcome: Outcome) -> bool:
    """Return whether recording an outcome changes nothing but its row, and who is next of a key."""
    return not (_tells(outcome) or _keeps_attempt(outcome) or _separates(outcome))


def _finish_and_claim(
    connection: BaseDatabaseWrapper,
    outcome: Outcome,
    worker: int | None,
    suspects: bool,
    bounds: Bounds,
) -> tuple[bool, Claim | None]:
    """Do both in one round trip, by a statement that commits by itself."""
    if connection.vendor == "postgresql":
        return _call_function(connection, outcome, worker, suspects, bounds)
    # MariaDB's does one after the other, and finds the slot that has got free.
    freed = Slot.of(outcome.claim) if connection.vendor == "sqlite" else None
    choice = next(iter(choices(connection, suspects, bounds, freed)), None)
    if choice is None:
        return _finish(connection, outcome), None
    both = _update_both if connection.vendor == "sqlite" else _by_compound
    kept, row = both(connection, outcome, worker, choice, slot_of(bounds, freed))
    if row is not None:
        return kept, _as_claim(row, worker)
    if kept and (not bounds or connection.vendor == "sqlite"):
        return kept, None
    # It was given up for dead, and what it ran may be what comes next; or, elsewhere than on
    # SQLite, that is not within the bounds, and others are.
    return kept, _claim(connection, worker, suspects, bounds)


def _update_both(
    connection: BaseDatabaseWrapper,
    outcome: Outcome,
    worker: int | None,
    choice: Choice,
    slot: Sql,
) -> tuple[bool, tuple[Any, ...] | None]:
    """Record an outcome and claim by SQLite's statement for both.

    :returns: whether the outcome counted, and the row that is claimed.
    """
    ended = outcome.claim
    columns = _columns(connection, outcome)
    state = columns.pop("state")
    text, now = NOW.sql(connection)
    said, values = _said(connection, columns, (text, now))
    chosen = f"(SELECT id {choice.source(connection)})"
    changed = raw_sql.rows_of(
        connection,
        _for_both(text, chosen, slot.text, tuple(said.items())),
        [
            *(state, worker, *now, *slot.parameters, *values),
            *(ended.pk, *choice.where.parameters),
            *(ended.pk, ended.attempt, ended.task_id, *now),
        ],
    )
    rows = {row[0]: row for row in changed}
    kept = rows.pop(ended.pk, None) is not None
    return kept, rows.popitem()[1] if rows else None


def _by_compound(
    connection: BaseDatabaseWrapper,
    outcome: Outcome | None,
    worker: int | None,
    choice: Choice,
    slot: Sql,
) -> tuple[bool, tuple[Any, ...] | None]:
    """Record an outcome, if there is one, and claim, by MariaDB's statement for both.

    :returns: whether the outcome counted, and the row that is claimed.
    """
    now, said = NOW.sql(connection)
    source = f"{choice.source(connection)}{lock_of(connection)}"
    return mariadb.step(
        connection,
        mariadb.Parts(
            finish=Sql("") if outcome is None else _finishing(connection, outcome),
            slot=slot,
            source=Sql(source, choice.where.parameters),
            begin=Sql(f"{_BEGIN}, started_at = {now}", (worker, *said)),
            told=Sql(f"{CLAIMED}, slot, {_REVOCATIONS}, {_EXPIRED} {now}", tuple(said)),
        ),
    )


@functools.lru_cache(maxsize=64)
def _for_both(now: str, chosen: str, slot: str, columns: tuple[tuple[str, str], ...]) -> str:
    """Return SQLite's statement for both, which is the same for most tasks.

    :param now: this moment.
    :param chosen: the primary key of the task to claim.
    :param slot: its number among those of its queue.
    :param columns: what an outcome changes beside the state, and what the statement says for it.
    """
    # The row that ended may wait again, given up for dead: then it is not this statement's to take.
    changes = "".join(
        f", {column} = {_IF_ENDED} {said} ELSE {column} END" for column, said in columns
    )
    return (
        f"UPDATE {TABLE} SET state = {_IF_ENDED} %s ELSE 'running' END, "
        f"attempt = {_IF_ENDED} attempt ELSE attempt + 1 END, "
        f"worker_id = {_IF_ENDED} worker_id ELSE %s END, "
        f"started_at = {_IF_ENDED} started_at ELSE {now} END, "
        f"slot = {_IF_ENDED} NULL ELSE {slot} END{changes} "
        f"WHERE id IN (%s, {chosen}) "
        "AND (id <> %s OR (attempt = %s AND task_id = %s AND state = 'running')) "
        f"RETURNING {CLAIMED}, slot, {_REVOCATIONS}, {_EXPIRED} {now}"
    )


def _said(
    connection: BaseDatabaseWrapper, columns: Mapping[str, Any], now: tuple[str, list[Any]]
) -> tuple[dict[str, str], list[Any]]:
    """Return what a statement says for each of some columns, and the values that it needs.

    :param now: what it says for this moment, which is the same in all of the statement.
    """
    said: dict[str, str] = {}
    values: list[Any] = []
    for name, value in columns.items():
        said[name], parameters = now if value is NOW else placed(value, connection)
        values += parameters
    return said, values


def _call_function(
    connection: BaseDatabaseWrapper,
    outcome: Outcome | None,
    worker: int | None,
    suspects: bool,
    bounds: Bounds,
) -> tuple[bool, Claim | None]:
    if bounds:
        kept, row = postgresql.step_within(connection, outcome, worker, suspects, bounds)
        return kept, None if row is None else _as_claim(row, worker)
    kept, row, until = postgresql.step(connection, outcome, worker, suspects)
    return kept, None if row is None else _as_claim(row, worker, until)


def _finish(connection: BaseDatabaseWrapper, outcome: Outcome) -> bool:
    claim, alias = outcome.claim, connection.alias
    if _keeps_attempt(outcome):
        keep_attempt(
            alias,
            claim,
            State.RUNNING,
            error=outcome.error,
            error_type=outcome.error_type,
            traceback=outcome.traceback,
        )
    kept = _updates(connection, *_finishing(connection, outcome))
    if kept and _tells(outcome):
        _notify(alias, outcome)
    if kept and _separates(outcome):
        separate(alias, claim)
    if kept and claim.exclusive_key:
        unblock_next(connection, claim.exclusive_key)
    return kept


def _finishing(connection: BaseDatabaseWrapper, outcome: Outcome) -> Sql:
    """Return the statement that records an outcome, if its task still is what was claimed."""
    claim = outcome.claim
    columns, values = _said(connection, _columns(connection, outcome), NOW.sql(connection))
    assignments = ", ".join(f"{name} = {said}" for name, said in columns.items())
    statement = (
        f"UPDATE {TABLE} SET {assignments} WHERE id = %s AND attempt = %s "
        "AND task_id = %s AND state = %s"
    )
    which = (claim.pk, claim.attempt, claim.task_id, State.RUNNING.value)
    return Sql(statement, (*values, *which))


def _updates(connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]) -> bool:
    """Run an UPDATE; return whether there was such a row."""
    if _updates_return(connection):
        return bool(raw_sql.rows_of(connection, f"{statement} RETURNING id", parameters))
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return bool(cursor.rowcount)


def _tells(outcome: Outcome) -> bool:
    """Return whether there is something for the editor to read, now that the task has ended."""
    if outcome.state is State.FAILED and conf.current().tell_failures:
        return True
    return outcome.state.is_final and bool(outcome.messages or outcome.explanation)


def _notify(alias: str, outcome: Outcome) -> None:
    has_failed = outcome.state is State.FAILED
    merged = [task.pk for task in outcome.claim.merged] if has_failed else []
    silent = has_failed and not outcome.messages
    add_notice(alias, outcome.claim.pk, merged=merged, unless_muted=silent)


def _keeps_attempt(outcome: Outcome) -> bool:
    """Return whether a later attempt will overwrite the row, so that this one is copied."""
    return bool(outcome.error) and not outcome.state.is_final


def _separates(outcome: Outcome) -> bool:
    """Return whether a task ended before its function was called.

    Tasks that were coalesced into it must be requeued then.
    """
    return bool(outcome.claim.coalesce_key) and outcome.state.is_final and not outcome.was_called


def _columns(connection: BaseDatabaseWrapper, outcome: Outcome) -> dict[str, Any]:
    """Return what an outcome changes in its row."""
    claim = outcome.claim
    columns: dict[str, Any] = {}
    if not outcome.state.is_final:
        columns["run_at"] = outcome.run_at
        if outcome.run_in is not None:
            columns["run_at"] = FromNow(outcome.run_in)
        columns["latest_at"] = None  # its burst is over
    if outcome.result is not None:
        columns["result"] = outcome.result
    if outcome.message is not None:
        columns["message"] = outcome.message
    if outcome.progress is not None:
        columns |= progress_columns(outcome.progress)
    if outcome.is_snoozed:
        columns["snoozes"] = claim.snoozes + 1
    if outcome.messages and outcome.state.is_final:
        columns["messages"] = outcome.messages
    if outcome.state is not State.SUCCEEDED or claim.attempt > 1 or outcome.error:
        columns |= {**errors_of(outcome), "error_place": outcome.error_place}
    if columns:
        columns = fitted(BackgroundTask, columns, connection)
    if isinstance(columns.get("run_at"), datetime.datetime):
        columns["run_at"] = adapted(columns["run_at"], connection)
    if "messages" in columns:
        columns["messages"] = connection.ops.adapt_json_value(columns["messages"], None)
    if outcome.state.is_final:
        columns["finished_at"] = NOW
    return {"state": outcome.state.value, **columns}


def _claim(
    connection: BaseDatabaseWrapper, worker: int | None, suspects: bool, bounds: Bounds
) -> Claim | None:
    if connection.vendor == "postgresql":
        return _call_function(connection, None, worker, suspects, bounds)[1]
    take = _update_returning if _updates_return(connection) else _select_then_update
    if mariadb.takes(connection):
        take = _claim_by_compound
    for choice in choices(connection, suspects, bounds):
        row = take(connection, choice, worker, slot_of(bounds))
        if row is not None:
            return _as_claim(row, worker)
    return None


def _as_claim(row: tuple[Any, ...], worker: int | None, until: float = -math.inf) -> Claim:
    *columns, message, coalesce_key, exclusive_key, cancelled, snoozes, debounced = row[:-3]
    slot, revocations, expired = row[-3:]
    columns += [bytes(message), coalesce_key, exclusive_key, bool(cancelled), worker]
    # Of those with a coalesce key another one may run, from behind tasks that wait.
    until = -math.inf if coalesce_key else until
    columns += [bool(revocations), snoozes, bool(debounced), (), False, slot, until]
    columns.append(None if expired is None else bool(expired))
    return Claim(*columns)


def _update_returning(
    connection: BaseDatabaseWrapper, choice: Choice, worker: int | None, slot: Sql
) -> tuple[Any, ...] | None:
    chosen = choice.where.text
    if choice.order:
        chosen = f"id = (SELECT id {choice.source(connection)}{lock_of(connection)})"
    now, said = NOW.sql(connection)
    rows = raw_sql.rows_of(
        connection,
        f"{_BEGIN}, started_at = {now}, slot = {slot.text} WHERE {chosen} "
        f"RETURNING {CLAIMED}, slot, {_REVOCATIONS}, {_EXPIRED} {now}",
        [worker, *said, *slot.parameters, *choice.where.parameters, *said],
    )
    return rows[0] if rows else None


def _claim_by_compound(
    connection: BaseDatabaseWrapper, choice: Choice, worker: int | None, slot: Sql
) -> tuple[Any, ...] | None:
    return _by_compound(connection, None, worker, choice, slot)[1]


def _select_then_update(
    connection: BaseDatabaseWrapper, choice: Choice, worker: int | None, slot: Sql
) -> tuple[Any, ...] | None:
    """Claim on a database without ``UPDATE … RETURNING``; the caller holds a transaction."""
    now, said = NOW.sql(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {CLAIMED}, {slot.text}, {_REVOCATIONS}, {_EXPIRED} {now} "
            f"{choice.source(connection)}{lock_of(connection)}",
            [*slot.parameters, *said, *choice.where.parameters],
        )
        row = cursor.fetchone()
        if row is None:
            return None
        *_, number, _, _ = row
        cursor.execute(
            f"{_BEGIN}, started_at = {now}, slot = %s WHERE id = %s AND state = 'waiting'",
            [worker, *said, number, row[0]],
        )
        if cursor.rowcount != 1:
            return None
    attempt = CLAIMED.split(", ").index("attempt")
    return (*row[:attempt], row[attempt] + 1, *row[attempt + 1 :])
