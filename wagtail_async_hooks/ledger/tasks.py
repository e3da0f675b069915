"""Single tasks before and after they run: insert, promote, cancel, retry, look up."""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db import DataError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    AutoField,
    BigAutoField,
    BinaryField,
    BooleanField,
    CharField,
    Field,
    IntegerField,
    PositiveBigIntegerField,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    Q,
    QuerySet,
    TextField,
)
from django.db.models.signals import post_save

from wagtail_async_hooks.ledger import insertion, raw_sql
from wagtail_async_hooks.ledger.attempts import ATTEMPTS, keep_attempts
from wagtail_async_hooks.ledger.base import BATCH, BATCH_SIZE, TABLE, database, info
from wagtail_async_hooks.ledger.locks import brief, free
from wagtail_async_hooks.ledger.selection import First, first_of_key, first_of_queue
from wagtail_async_hooks.models import (
    BackgroundTask,
    ExactCharField,
    MutedError,
    Notice,
    Pause,
    TaskItem,
)
from wagtail_async_hooks.types import State, TaskInfo
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.database.instants import (
    NOW,
    DatabaseNow,
    FromNow,
    InstantField,
    StateAt,
    in_python,
)
from wagtail_async_hooks.utils.database.transactions import guarded
from wagtail_async_hooks.utils.database.values import SMALL, fitted, limit_of

logger = logging.getLogger(__name__)

RETRIABLE: Final = (State.FAILED, State.CANCELLED, State.EXPIRED)
"""How a task has ended that can be run once more."""


_BELONGING: Final = (ATTEMPTS, TaskItem._meta.db_table, Notice._meta.db_table)
"""The tables whose rows belong to a task, and go with it."""

HANDFUL: Final = 20
"""So many rows are one INSERT of our own at most; any database takes the values of so many."""

LARGE: Final = ("message", "result", "traceback", "messages")
"""Columns that hold much, which who looks at many rows had better leave out."""

# In SQL, since Django's ORM would spend more time making the statement than the database running
# it, and an editor waits.
_AS_IT_IS: Final[Mapping[type[Field[Any, Any]], type]] = {
    CharField: str,
    ExactCharField: str,
    TextField: str,
    AutoField: int,
    BigAutoField: int,
    IntegerField: int,
    PositiveBigIntegerField: int,
    PositiveIntegerField: int,
    PositiveSmallIntegerField: int,
    BooleanField: bool,
    BinaryField: bytes,
}
"""Fields of which each driver takes such values as they are; most columns of a row are such."""


_INT16: Final = 2**15
"""What the smallest of the columns of numbers takes."""

_ESCAPED: Final = (b"'", b'"', b"\\", b"\0", b"\n", b"\r", b"\x1a")
"""What takes two bytes in a statement for MySQL and MariaDB."""


class _Column(NamedTuple):
    """What there is to know of a column when a row is recorded.

    :param blank: what a new row has in it unless something is said, in SQL; ``None`` for ``NULL``.
    :param plain: the type of values that need no preparation.
    :param length: of a text at most; ``None`` where there is no limit.
    :param prepared: makes of any other value what the driver of a connection takes.
    """

    name: str
    blank: str | None
    plain: type | None
    length: int | None
    prepared: Callable[[Any, BaseDatabaseWrapper], Any]


@functools.cache
def _columns() -> dict[str, _Column]:
    """Return the columns, but for the primary key, by the names of their attributes."""
    fields = [field for field in BackgroundTask._meta.concrete_fields if not field.primary_key]
    return {field.attname: _column(field) for field in fields}


def _column(field: Any) -> _Column:
    holds = field.target_field if field.is_relation else field
    blank = field.get_default()
    return _Column(
        str(field.column),
        None if blank is None else _literal(blank),
        _AS_IT_IS.get(type(holds)),
        field.max_length,
        field.get_db_prep_value if isinstance(field, InstantField) else field.get_db_prep_save,
    )


def _literal(value: Any) -> str:
    """Return one of the model's own defaults in SQL: a text without quotes, a number, or a flag."""
    return f"'{value}'" if isinstance(value, str) else str(value).upper()


@functools.lru_cache(maxsize=64)
def _insert_into(given: tuple[str, ...], said: tuple[tuple[str, ...], ...]) -> str:
    """Return the INSERT, from ``INTO`` on, of rows of which some columns are given.

    The others are blank.

    :param said: what the statement says for each of them in each row: a placeholder, or SQL.
    """
    columns = _columns()
    blank = {c.name: c.blank for name, c in columns.items() if c.blank and name not in given}
    names = [*(columns[name].name for name in given), *blank]
    rows = [f"({', '.join([*texts, *blank.values()])})" for texts in said]
    return f"INTO {TABLE} ({', '.join(names)}) VALUES {', '.join(rows)}"


def insert(row: Mapping[str, Any]) -> int:
    """Record a new task, in the caller's transaction if there is one; return its primary key.

    :param row: what is not blank, by the names of the model's attributes.
    :raises Exception: if it could not be recorded. The caller's transaction is as it was before,
        or, where the database has rolled it back or is away, marked for a rollback.
    """
    alias = database()
    connection = connections[alias]
    _check_size(row, connection)
    names = [name for name, value in row.items() if value is not None]
    statement, values = _statement(names, [row], connection)
    [pk] = insertion.insert(connection, statement, values)
    if post_save.has_listeners(BackgroundTask):
        _tell(row, pk, alias)
    return pk


def _statement(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], connection: BaseDatabaseWrapper
) -> tuple[str, list[Any]]:
    """Return the INSERT of some rows, and its values as the driver takes them.

    :param names: of the columns that any of the rows has a value for.
    """
    columns = _columns()
    values: list[Any] = []
    at = clock.now()
    texts = []
    for row in rows:
        said = []
        for name in names:
            value = row.get(name)
            column = columns[name]
            if value is None:  # blank in this row, and not in another one
                said.append(column.blank or "NULL")
                continue
            if isinstance(value, FromNow | StateAt):
                text, parameters = value.sql(connection, at)
                said.append(text)
                values += parameters
                continue
            said.append("%s")
            # Not by the field where that changes nothing: it takes as long as all the rest.
            if not _is_storable(value, column):
                value = fitted(BackgroundTask, {name: value}, connection)[name]
            known = type(value) is column.plain
            values.append(value if known else column.prepared(value, connection))
        texts.append(tuple(said))
    return _insert_into(tuple(names), tuple(texts)), values


def _is_storable(value: Any, column: _Column) -> bool:
    """Return whether it is plain to see that a column takes a value as it is."""
    kind = type(value)
    if kind is uuid.UUID:
        return True
    if kind is str:
        fits = column.length is None or len(value) <= column.length
        return fits and value.isascii() and "\0" not in value
    return kind is bytes or (kind is int and -_INT16 <= value < _INT16)


def _check_size(row: Mapping[str, Any], connection: BaseDatabaseWrapper) -> None:
    """Refuse a message for which MySQL and MariaDB would end the connection, and the transaction.

    :raises DataError: if the message is longer than that.
    """
    message = row["message"]
    if connection.vendor != "mysql" or len(message) <= SMALL:
        return
    # As it is sent.
    size = len(message) + sum(message.count(each) for each in _ESCAPED)
    if size > (limit := limit_of(connection)):
        raise DataError(
            f"The message of a task has {size} bytes, and the database takes {limit} at once: "
            "raise max_allowed_packet there, or pass less."
        )


def _tell(row: Mapping[str, Any], pk: int, alias: str) -> None:
    """Tell the receivers of Django's signal: a site may have some for all that is saved.

    The task is enqueued already, so an error of theirs is logged, and costs the task nothing.
    """
    instance = BackgroundTask(pk=pk, **{name: in_python(value) for name, value in row.items()})
    instance._state.adding, instance._state.db = False, alias
    told = {"created": True, "raw": False, "using": alias, "update_fields": None}
    with guarded(_log_receiver):
        post_save.send(BackgroundTask, instance=instance, **told)


def _log_receiver(error: Exception) -> None:
    logger.error(
        "A receiver of Django's post_save failed when a background task was enqueued.",
        exc_info=error,
    )


def insert_many(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Record new tasks by few INSERTs, all of them or none; return their primary keys.

    A handful, such as those of one publish, is one statement, as safe and as quick as that of
    :func:`insert`.

    :param rows: as of :func:`insert`.
    :raises Exception: as :func:`insert`.
    """
    if not rows:
        return []
    if len(rows) == 1:
        return [insert(rows[0])]
    alias = database()
    connection = connections[alias]
    for row in rows:
        _check_size(row, connection)
    batches = list(_batches(rows, _batch_size(rows, connection)))
    if len(rows) <= HANDFUL and len(batches) == 1:
        keys = _insert_handful(rows, connection)
    else:
        keys = _insert_batches(batches, connection)
    if post_save.has_listeners(BackgroundTask):
        for row, pk in zip(rows, keys, strict=True):
            _tell(row, pk, alias)
    return keys


def _insert_handful(
    rows: Sequence[Mapping[str, Any]], connection: BaseDatabaseWrapper
) -> list[int]:
    given = {name for row in rows for name, value in row.items() if value is not None}
    statement, values = _statement([c for c in _columns() if c in given], rows, connection)
    keys = insertion.insert(connection, statement, values)
    return keys if len(keys) == len(rows) else _keys_by_id(rows, connection)  # else MySQL


def _insert_batches(
    batches: Iterable[Sequence[Mapping[str, Any]]], connection: BaseDatabaseWrapper
) -> list[int]:
    keys: list[int] = []
    with brief(connection.alias, in_request=True):
        for batch in batches:
            made = [BackgroundTask(**fitted(BackgroundTask, row, connection)) for row in batch]
            BackgroundTask.objects.using(connection.alias).bulk_create(made)
            if connection.features.can_return_rows_from_bulk_insert:
                keys += [row.pk for row in made]
            else:  # MySQL
                keys += _keys_by_id(batch, connection)
    return keys


def _keys_by_id(rows: Sequence[Mapping[str, Any]], connection: BaseDatabaseWrapper) -> list[int]:
    ids = [row.get("task_id", "") for row in rows]
    found = BackgroundTask.objects.using(connection.alias).filter(task_id__in=ids)
    known = dict(found.values_list("task_id", "pk"))
    return [known[task_id] for task_id in ids]


def _batch_size(rows: Sequence[Mapping[str, Any]], connection: BaseDatabaseWrapper) -> int:
    """Return how many bytes of messages one statement can hold."""
    if connection.vendor != "mysql" or 2 * sum(len(row["message"]) for row in rows) <= SMALL:
        return BATCH_SIZE
    return min(BATCH_SIZE, limit_of(connection) // 2)


def _batches(rows: Sequence[Mapping[str, Any]], at_most: int) -> Iterator[list[Mapping[str, Any]]]:
    """Divide rows into what one statement can hold."""
    batch: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        if batch and (len(batch) == BATCH or size + len(row["message"]) > at_most):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += len(row["message"])
    if batch:
        yield batch


def cancel(keys: Sequence[int], reason: str) -> tuple[list[TaskInfo], int]:
    """Cancel tasks: those that wait at once, those that run when they next report their progress.

    :param keys: primary keys.
    :returns: the tasks that are cancelled, and how many will be. Those whose rows are locked are
        passed over: a transaction of a task's own locks its row once it has reported progress.
    """
    alias = database()
    tasks = BackgroundTask.objects.using(alias).filter(pk__in=keys)
    with brief(alias):
        unbegun = free(tasks.filter(state__in=(State.WAITING, State.SCHEDULED)))
        cancelled = [info(row) for row in unbegun.order_by("pk")]
        tasks.filter(pk__in=[task.pk for task in cancelled]).update(**_cancelled(reason))
        running = free(tasks.filter(state=State.RUNNING)).values_list("pk", flat=True)
        requested = tasks.filter(pk__in=list(running)).update(cancel_requested=True)
    return cancelled, requested


def not_cancelled(keys: Sequence[int]) -> list[int]:
    """Return those of some tasks that have not ended and that nobody has cancelled."""
    unfinished = State.WAITING, State.SCHEDULED, State.RUNNING
    tasks = BackgroundTask.objects.using(database()).filter(pk__in=keys, state__in=unfinished)
    return list(tasks.filter(cancel_requested=False).order_by("pk").values_list("pk", flat=True))


def _cancelled(reason: str) -> dict[str, Any]:
    columns = {"state": State.CANCELLED, "error": reason, "finished_at": DatabaseNow()}
    return fitted(BackgroundTask, columns, connections[database()])


def discard(keys: Sequence[int]) -> tuple[int, list[TaskInfo]]:
    """Delete tasks that do not run, with what is kept of their attempts.

    :param keys: primary keys.
    :returns: how many are gone, and those of them that had not ended.
    """
    alias = database()
    tasks = BackgroundTask.objects.using(alias).filter(pk__in=keys).exclude(state=State.RUNNING)
    with transaction.atomic(using=alias):
        gone = list(tasks.defer(*LARGE).select_for_update().order_by("pk"))
        delete([row.pk for row in gone])
    return len(gone), [info(row) for row in gone if not State(row.state).is_final]


def delete(keys: Sequence[int]) -> None:
    """Delete the rows of some tasks, and all that belongs to them; the caller holds a transaction.

    In SQL, as Django would read each row before, with its message and its traceback.
    """
    if not keys:
        return
    named = ", ".join(["%s"] * len(keys))
    with connections[database()].cursor() as cursor:
        for table in _BELONGING:
            cursor.execute(f"DELETE FROM {table} WHERE task_id IN ({named})", list(keys))
        cursor.execute(f"DELETE FROM {TABLE} WHERE id IN ({named})", list(keys))


def retry(messages: Mapping[int, tuple[int, bytes | None]]) -> set[int]:
    """Let tasks that have ended wait again, by a few statements for all of them.

    :param messages: by primary key, at most :data:`BATCH`: the attempt that the row had when it was
        read, and the message to run, ``None`` for the one that it has.
    :returns: primary keys of those that wait now; others have not ended, or not at that attempt.
    """
    alias = database()
    tasks = BackgroundTask.objects.using(alias)
    with transaction.atomic(using=alias):
        keys = _held(tasks, messages, RETRIABLE)
        keep_attempts(alias, keys)
        ended = tasks.filter(pk__in=keys)
        ended.filter(attempt=0).update(error="")  # no attempt would clear it
        ended.update(
            state=State.WAITING,
            blocked=False,
            run_at=None,
            expires_at=None,
            finished_at=None,
            worker=None,
            deaths=0,
            cancel_requested=False,
        )
        _give(tasks, keys, messages)
    return set(keys)


def next_in_line(exclusive_key: str) -> tuple[int, int] | None:
    """Return primary key and priority of the task that comes next of those with a key."""
    return _told(first_of_key(connections[database()], exclusive_key))


def next_in_queue(queue: str) -> tuple[int, int] | None:
    """Return primary key and priority of the task that comes next in a queue."""
    return _told(first_of_queue(connections[database()], queue))


def _told(first: First | None) -> tuple[int, int] | None:
    return None if first is None else (first.pk, first.priority)


def promote_due(limit: int = 500) -> list[tuple[int, int]]:
    """Let scheduled tasks whose time has come wait for a worker.

    :returns: primary key and priority of each, at most ``limit`` of them.
    """
    if not _is_any_due(connections[database()]):
        return []
    tasks = BackgroundTask.objects.using(database())
    due = list(
        tasks.filter(state=State.SCHEDULED, run_at__lte=DatabaseNow())
        .order_by("run_at")
        .values_list("pk", "priority")[:limit]
    )
    with brief(tasks.db):
        still = free(tasks.filter(pk__in=[pk for pk, _ in due], state=State.SCHEDULED))
        keys = set(still.values_list("pk", flat=True))
        tasks.filter(pk__in=keys).update(state=State.WAITING)
    return [(pk, priority) for pk, priority in due if pk in keys]


def _is_any_due(connection: BaseDatabaseWrapper) -> bool:
    now, parameters = NOW.sql(connection)
    # In the order of the index, which the database might not use otherwise.
    condition = f"state = 'scheduled' AND run_at <= {now} ORDER BY run_at"
    return _exists(connection, condition, parameters)


def is_any_waiting(alias: str) -> bool:
    """Return whether a task waits for a worker, and not only for its exclusive key.

    :param alias: of the ledger's database.
    """
    return _exists(connections[alias], "state = 'waiting' AND blocked = FALSE", [])


def _exists(connection: BaseDatabaseWrapper, condition: str, parameters: Sequence[Any]) -> bool:
    """Return whether a task meets a condition.

    Idle workers ask so every second, or more often: Django's ORM would take most of the time.
    """
    statement = f"SELECT 1 FROM {TABLE} WHERE {condition} LIMIT 1"
    return bool(raw_sql.rows_of(connection, statement, parameters))


def hasten(messages: Mapping[int, tuple[int, bytes | None]]) -> set[int]:
    """Let scheduled tasks wait for a worker before their time, by a few statements for all of them.

    :param messages: as :func:`retry` takes them.
    :returns: primary keys of those that wait now; others were not scheduled, or not for that
        attempt.
    """
    alias = database()
    tasks = BackgroundTask.objects.using(alias)
    with brief(alias):
        keys = _held(tasks, messages, {State.SCHEDULED})
        tasks.filter(pk__in=keys).update(state=State.WAITING, run_at=DatabaseNow(), latest_at=None)
        _give(tasks, keys, messages)
    return set(keys)


def _held(
    tasks: QuerySet[BackgroundTask],
    messages: Mapping[int, tuple[int, bytes | None]],
    states: Collection[State],
) -> list[int]:
    """Lock tasks; return those that are in one of some states, at the attempt that was read."""
    # Not by their states in SQL, whose index PostgreSQL would read rather than the keys'.
    held = tasks.filter(pk__in=messages).select_for_update().order_by("pk")
    return [
        pk
        for pk, attempt, state in held.values_list("pk", "attempt", "state")
        if state in states and messages[pk][0] == attempt
    ]


def _give(
    tasks: QuerySet[BackgroundTask],
    keys: Iterable[int],
    messages: Mapping[int, tuple[int, bytes | None]],
) -> None:
    """Give tasks their new messages, where they have some."""
    for pk in keys:
        if (message := messages[pk][1]) is not None:
            tasks.filter(pk=pk).update(message=message)


def cancel_all(state: State, reason: str) -> int:
    """Cancel all tasks in a state other than running; return how many."""
    tasks = BackgroundTask.objects.using(database()).filter(state=state)
    return tasks.update(**_cancelled(reason))


def cancel_scheduled(name: str, coalesce_key: str, reason: str) -> int:
    """Cancel the tasks of one name and key whose time has not come; return how many."""
    alias = database()
    tasks = BackgroundTask.objects.using(alias).filter(
        name=name, coalesce_key=coalesce_key, state=State.SCHEDULED
    )
    with brief(alias, in_request=True):  # an editor waits
        return tasks.update(**_cancelled(reason))


def under_way(names: Collection[str]) -> set[tuple[str, str]]:
    """Return name and coalesce key of the tasks of some names that run, wait or are due."""
    due = Q(state=State.SCHEDULED, run_at__lte=DatabaseNow())
    tasks = BackgroundTask.objects.using(database()).filter(
        due | Q(state__in=(State.WAITING, State.RUNNING)), name__in=names
    )
    return set(tasks.values_list("name", "coalesce_key"))


def forget_user(key: Any) -> int:
    """Drop the link to a user who was deleted from all tasks; return from how many."""
    alias = database()
    with brief(alias, in_request=True):  # somebody waits who deletes the user
        Pause.objects.using(alias).filter(user=key).update(user=None)
        MutedError.objects.using(alias).filter(user=key).update(user=None)
        Notice.objects.using(alias).filter(user=key).delete()
        return BackgroundTask.objects.using(alias).filter(user=key).update(user=None)


def newest(task_id: str) -> BackgroundTask | None:
    """Return the newest row of a task by Huey's id."""
    tasks = BackgroundTask.objects.using(database())
    return tasks.filter(task_id=task_id).order_by("-pk").first()


def unmerged(row: BackgroundTask) -> BackgroundTask:
    """Return a row, or if it was merged into another one, that one; its own if that is gone."""
    tasks = BackgroundTask.objects.using(database())
    into: BackgroundTask | None = row
    while into is not None and into.state == State.MERGED:
        into = tasks.filter(pk=into.merged_into_id or 0).first()
    return row if into is None else into


def ended(task_id: str) -> BackgroundTask | None:
    """Return the newest row of a task by Huey's id, if that task has come to an end.

    Of a task that was merged into another one, that other one's row.
    """
    row = newest(task_id)
    row = row and unmerged(row)
    is_final = row is not None and row.state != State.MERGED and State(row.state).is_final
    return row if is_final else None
