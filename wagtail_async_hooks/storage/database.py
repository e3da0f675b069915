"""A Huey storage on Django's ORM: the queue and the schedule are the ledger's rows.

It is a complete storage in its own right, also for messages that are not ours. What
:class:`~wagtail_async_hooks.queue.task_queue.TaskQueue` enqueues is an :class:`Envelope`, which
holds the row to insert beside the message. ``name`` keeps the values and counters of several
storages in one database apart.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.db import IntegrityError, models, transaction
from django.db.models import F, Q
from huey.constants import EmptyData
from huey.storage import BaseStorage

from wagtail_async_hooks import signals
from wagtail_async_hooks.conf.options import DEFAULT_QUEUE
from wagtail_async_hooks.types import State, TaskInfo
from wagtail_async_hooks.utils.database.instants import NOW, FromNow
from wagtail_async_hooks.utils.text import cut_key, storable
from wagtail_async_hooks.utils.time import from_huey

if TYPE_CHECKING:
    from wagtail_async_hooks.models import BackgroundTask, Counter, StoredValue
    from wagtail_async_hooks.storage.waiter import Waiter


MEETINGS: Final = 20
"""How often another process may create or delete a value in the moment between two statements."""

SPACE: Final = 64
"""Characters of a storage's name that are kept with its values."""

Row = Mapping[str, Any]
"""Non-default column values of a task to enqueue, keyed by attname."""


class Envelope(bytes):
    """A message with the ledger's row that goes with it."""

    row: Row

    def __repr__(self) -> str:
        return f"<Envelope of {len(self)} bytes>"

    __str__ = __repr__

    @classmethod
    def around(cls, message: bytes, row: Row) -> Envelope:
        """Put a message and its row together."""
        envelope = cls(message)
        envelope.row = row
        return envelope


class _Gathered(threading.local):
    """The rows that a thread is to insert all at once; ``None`` to insert each by itself."""

    rows: list[Row] | None = None


class DatabaseStorage(BaseStorage):  # type: ignore[misc]  # Huey has no types
    """Huey storage in the database of Wagtail's pages.

    :param name: of the Huey instance.
    """

    def __init__(self, name: str = "huey") -> None:
        super().__init__(name)
        self._gathered = _Gathered()
        self._space = cut_key(storable(name), SPACE)

    # The models are loaded when first needed: an instance is made while Django's apps still load.

    @cached_property
    def ledger(self) -> ModuleType:
        """The package that changes tasks' states, for modules that are loaded before the models."""
        from wagtail_async_hooks import ledger

        return ledger

    @property
    def tasks(self) -> models.QuerySet[BackgroundTask]:
        """All rows of the ledger."""
        return self._objects("BackgroundTask")

    @property
    def values(self) -> models.QuerySet[StoredValue]:
        """What is kept by key and has not expired."""
        alive = Q(expires_at=None) | Q(expires_at__gt=NOW)
        return self._objects("StoredValue").filter(alive, storage=self._space)

    @property
    def counters(self) -> models.QuerySet[Counter]:
        """What is counted by key."""
        return self._objects("Counter").filter(storage=self._space)

    def _objects(self, model: str) -> models.QuerySet[Any]:
        manager: models.Manager[Any] = apps.get_model("wagtail_async_hooks", model)._default_manager
        return manager.using(self.ledger.database())

    # What TaskQueue and its worker need beyond Huey's interface ------------------------------

    def waiter(self) -> Waiter:
        """Return what tells a worker's threads that a task may be waiting."""
        from wagtail_async_hooks.storage.waiter import DatabaseWaiter  # for workers only

        return DatabaseWaiter(self.ledger.database())

    def announce(self, due: Iterable[tuple[int, int]]) -> None:
        """Tell workers that scheduled tasks (primary key, priority) wait from now on."""

    def announce_next(self, exclusive_key: str) -> None:
        """Tell workers that the next task with an exclusive key may run from now on."""

    def announce_room(self, queue: str) -> None:
        """Tell workers that one more task of a queue that has a limit may run from now on."""

    needs_reminders = False
    """Whether workers learn of tasks by nothing but what is announced, which may be lost."""

    def announce_rest(self) -> bool:
        """Tell workers that tasks wait of which they may not have heard; return whether they may
        hear it.
        """
        return False

    def forget_notifications(self, more_than: int = 0) -> bool:
        """Drop notifications that nobody will read; return whether there were any."""
        return False

    # Huey's queue ---------------------------------------------------------------------------

    def enqueue(self, data: bytes, priority: int | None = None) -> None:
        row = _row(data, state=State.WAITING, priority=priority or 0)
        if self._gathered.rows is None:
            self._insert(row)
        else:
            self._gathered.rows.append(row)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Insert all that this thread enqueues meanwhile at once, when the block ends.

        If it ends with an error, nothing is enqueued. A block within another one is a part of it.
        """
        if self._gathered.rows is not None:
            yield
            return
        rows = self._gathered.rows = []
        try:
            yield
        finally:
            self._gathered.rows = None
        self._insert_many(rows)

    def _insert(self, row: Row) -> None:
        self._enqueued([(self.ledger.insert(row), row)])

    def _insert_many(self, rows: list[Row]) -> None:
        self._enqueued(list(zip(self.ledger.insert_many(rows), rows, strict=True)))

    def _enqueued(self, rows: list[tuple[int, Row]]) -> None:
        """Announce tasks that were enqueued.

        :param rows: primary key and row of each.
        """
        if not signals.enqueued.receivers:
            return
        for pk, row in rows:
            task = _info(pk, row)
            signals.announce(signals.enqueued, task.sender, task=task)

    def dequeue(self) -> bytes | None:
        """Remove the next message; whoever calls this answers for it from now on."""
        with transaction.atomic(using=self.ledger.database()):
            _, claim = self.ledger.step(None, worker=None)
            while claim is not None and claim.is_deferred:
                _, claim = self.ledger.step(None, worker=None)
            if claim is None:
                return None
            self.tasks.filter(pk=claim.pk).delete()
        return bytes(claim.message)

    @property
    def _waiting(self) -> models.QuerySet[BackgroundTask]:
        return self.tasks.filter(state=State.WAITING).order_by("blocked", "-priority", "pk")

    def queue_size(self) -> int:
        return self._waiting.count()

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        return _messages(self._waiting, limit)

    def flush_queue(self) -> None:
        """Cancel what waits; the rows stay, as the history of every other task does."""
        self.ledger.cancel_all(State.WAITING, "the queue was flushed")

    # Huey's schedule ------------------------------------------------------------------------

    def add_to_schedule(self, data: bytes, ts: datetime.datetime) -> None:
        self._insert(_row(data, state=State.SCHEDULED, run_at=from_huey(ts)))

    @property
    def _scheduled(self) -> models.QuerySet[BackgroundTask]:
        return self.tasks.filter(state=State.SCHEDULED).order_by("run_at", "pk")

    def read_schedule(self, ts: datetime.datetime) -> list[bytes]:
        """Remove the messages that are due; whoever calls this answers for them from now on."""
        with transaction.atomic(using=self.ledger.database()):
            due = self._scheduled.filter(run_at__lte=from_huey(ts)).select_for_update()
            rows = list(due.values_list("pk", "message"))
            self.tasks.filter(pk__in=[pk for pk, _ in rows]).delete()
        return [bytes(message) for _, message in rows]

    def schedule_size(self) -> int:
        return self._scheduled.count()

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        return _messages(self._scheduled, limit)

    def flush_schedule(self) -> None:
        """Cancel what is scheduled; the rows stay, as the history of every other task does."""
        self.ledger.cancel_all(State.SCHEDULED, "the schedule was flushed")

    # Huey's values by key -------------------------------------------------------------------

    def put_data(self, key: str | bytes, value: bytes, is_result: bool = False) -> None:
        stored = self._objects("StoredValue").filter(storage=self._space, key=_text(key))
        for _ in range(MEETINGS):
            if stored.update(value=value, expires_at=None) or self._create_value(key, value):
                return
        raise IntegrityError(f"The value of {_text(key)!r} cannot be written.")

    def _create_value(self, key: str | bytes, value: bytes, ttl: float | None = None) -> bool:
        """Write a value; ``False`` if another process was quicker."""
        expires_at = FromNow(ttl) if ttl else None
        try:
            with transaction.atomic(using=self.ledger.database()):
                self._objects("StoredValue").create(
                    storage=self._space, key=_text(key), value=value, expires_at=expires_at
                )
        except IntegrityError:
            return False
        return True

    def peek_data(self, key: str | bytes) -> Any:
        found = self.values.filter(key=_text(key)).values_list("value", flat=True).first()
        return EmptyData if found is None else bytes(found)

    def peek_many(self, keys: Iterable[str | bytes]) -> dict[str | bytes, bytes]:
        asked = {_text(key): key for key in keys}
        found = self.values.filter(key__in=asked).values_list("key", "value")
        return {asked[key]: bytes(value) for key, value in found}

    def pop_data(self, key: str | bytes) -> Any:
        with transaction.atomic(using=self.ledger.database()):
            row = self.values.filter(key=_text(key)).select_for_update().first()
            if row is None or not self.values.filter(pk=row.pk).delete()[0]:
                return EmptyData
        return bytes(row.value)

    def delete_data(self, key: str | bytes) -> bool:
        return self.values.filter(key=_text(key)).delete()[0] > 0

    def has_data_for_key(self, key: str | bytes) -> bool:
        """Return whether there is a value, or a task of that id has ended and left its result."""
        name = _text(key)
        return self.values.filter(key=name).exists() or self.ledger.ended(name) is not None

    def put_if_empty(self, key: str | bytes, value: bytes, ttl: float | None = None) -> bool:
        expired = self._objects("StoredValue").filter(
            storage=self._space, key=_text(key), expires_at__lte=NOW
        )
        expired.delete()
        return self._create_value(key, value, ttl)

    def result_store_size(self) -> int:
        return self.values.count()

    def result_items(self) -> dict[str, bytes]:
        return {key: bytes(value) for key, value in self.values.values_list("key", "value")}

    def flush_results(self) -> None:
        self._objects("StoredValue").filter(storage=self._space).delete()

    # Huey's counters ------------------------------------------------------------------------

    def incr(self, key: str | bytes, amount: int = 1) -> int:
        name = _text(key)
        for _ in range(MEETINGS):
            with transaction.atomic(using=self.ledger.database()):
                # The update comes first: it locks the row, so that what is read is ours.
                counter = self.counters.filter(key=name)
                if counter.update(value=F("value") + amount):
                    return counter.values_list("value", flat=True).get()
            try:
                with transaction.atomic(using=self.ledger.database()):
                    self.counters.create(storage=self._space, key=name, value=amount)
                return amount
            except IntegrityError:
                continue  # another process created it meanwhile: add to that one
        raise IntegrityError(f"The counter {name!r} cannot be written.")

    def delete_counter(self, key: str | bytes) -> None:
        self.counters.filter(key=_text(key)).delete()

    def flush_counters(self) -> None:
        self.counters.delete()


def _row(data: bytes, **columns: Any) -> Row:
    """Return the row of an envelope, or a row for a message of somebody else's Huey."""
    if isinstance(data, Envelope):
        return data.row
    return {"message": data, "enqueued_at": NOW, **columns}


def _info(pk: int, row: Row) -> TaskInfo:
    """Return what signals tell about a row that was just inserted."""
    return TaskInfo(
        pk=pk,
        task_id=row.get("task_id", ""),
        name=row.get("name", ""),
        hook=row.get("hook", ""),
        function=row.get("function", ""),
        queue=row.get("queue", DEFAULT_QUEUE),
        priority=row.get("priority", 0),
        attempt=0,
    )


def _messages(rows: models.QuerySet[BackgroundTask], limit: int | None) -> list[bytes]:
    messages = rows.values_list("message", flat=True)
    return [bytes(message) for message in (messages[:limit] if limit else messages)]


def _text(key: str | bytes) -> str:
    """Return a key as its column can hold it: the same for the same key, and for no other."""
    text = key.decode(errors="backslashreplace") if isinstance(key, bytes) else str(key)
    return cut_key(storable(text))
