"""What people do to enqueued tasks: find, cancel, hasten and discard them, and run them again."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Max, Model, QuerySet

from wagtail_async_hooks import ledger, signals
from wagtail_async_hooks.queue.claims import CANCELLED
from wagtail_async_hooks.queue.row import columns_of_subject
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State, TaskInfo
from wagtail_async_hooks.utils.database.instants import DatabaseNow

if TYPE_CHECKING:
    from wagtail_async_hooks.models import BackgroundTask

DISCARDED: Final = "it was discarded"
"""Why a task ended that was taken out of the ledger before its turn."""

UNFINISHED: Final = (State.SCHEDULED, State.WAITING, State.RUNNING)
"""How a task stands that can be cancelled."""

logger = logging.getLogger(__name__)


def select(
    *,
    hook: str = "",
    function: str = "",
    state: str | Collection[str] = (),
    queue: str = "",
    older_than: datetime.timedelta | None = None,
    subject: Model | None = None,
    user: Any = None,
) -> QuerySet[BackgroundTask]:
    """Return the tasks that match all arguments; without arguments, all tasks.

    :param hook: name of a hook or signal.
    :param function: the dotted path of a function, or ``"manage.py …"`` with the name of a command.
    :param state: one state, or several.
    :param queue: name of a queue.
    :param older_than: minimum time since they were enqueued.
    :param subject: the object that they are about.
    :param user: the user who triggered them, or the primary key.
    :raises ValueError: if there is no such state.
    """
    states = [State(each) for each in ([state] if isinstance(state, str) else state)]
    given: dict[str, Any] = {"hook": hook, "function": function, "queue": queue}
    given = {column: value for column, value in given.items() if value}
    if len(states) == 1:  # as the conditions of the indexes have it
        given["state"] = states[0]
    elif states:
        given["state__in"] = states
    if states and all(each.is_final for each in states):
        given["finished_at__isnull"] = False  # so it is, and the index holds no others
    if older_than is not None:
        given["enqueued_at__lt"] = DatabaseNow() - older_than
    if subject is not None:
        given |= columns_of_subject(subject)
    if user is not None:
        given["user"] = user
    return background.storage.tasks.filter(**given)


def cancel(tasks: Iterable[int] | QuerySet[BackgroundTask], reason: str = CANCELLED) -> int:
    """Cancel waiting tasks at once, and running ones when they next report their progress.

    A running task that never reports runs to its end; if its worker dies, it does not run again.

    :param tasks: the tasks, or the primary keys of their rows.
    :param reason: why, in one line, for those that have not begun.
    :returns: number of tasks that are or will be cancelled.
    """
    number = 0
    for keys in _batches(tasks, UNFINISHED):
        cancelled, requested = ledger.cancel(keys, reason)
        for task in cancelled:
            _announce_cancelled(task, reason)
        number += len(cancelled) + requested
        for key in ledger.not_cancelled(keys):
            logger.warning(
                "Task %d cannot be cancelled at this moment, since a transaction, mostly its own, "
                "has locked its row: try again once that has ended.",
                key,
            )
    return number


def retry(
    tasks: Iterable[int] | QuerySet[BackgroundTask], *, repeat_side_effects: bool = False
) -> int:
    """Run tasks again that have failed, expired or been cancelled.

    :param tasks: the tasks, or the primary keys of their rows.
    :param repeat_side_effects: include tasks that were started and have a ``side_effect``, such as
        sending an e-mail.
    :returns: number of tasks that wait again.
    """
    number = 0
    for keys in _batches(tasks, ledger.RETRIABLE):
        ended = background.storage.tasks.filter(pk__in=keys, state__in=ledger.RETRIABLE)
        chosen = []
        for row in ended.defer("result", "traceback", "messages").order_by("pk"):
            if row.side_effect and row.attempt and not repeat_side_effects:
                told = "%s is not run again, it may repeat its side effect: %s."
                logger.info(told, str(row), row.side_effect)
            else:
                chosen.append(row)
        renewed = background.messages.renewed
        waiting = ledger.retry(
            {row.pk: (row.attempt, _if_other(row, renewed(row))) for row in chosen}
        )
        background.storage.announce((r.pk, r.priority) for r in chosen if r.pk in waiting)
        number += len(waiting)
    return number


def run_now(tasks: Iterable[int] | QuerySet[BackgroundTask]) -> int:
    """Set scheduled tasks to waiting, before their time.

    :param tasks: the tasks, or the primary keys of their rows.
    :returns: number of tasks that were set to waiting.
    """
    number = 0
    for keys in _batches(tasks, [State.SCHEDULED]):
        scheduled = background.storage.tasks.filter(pk__in=keys, state=State.SCHEDULED)
        chosen = list(scheduled.defer("result", "traceback", "messages").order_by("pk"))
        undelayed = background.messages.undelayed
        waiting = ledger.hasten(
            {row.pk: (row.attempt, _if_other(row, undelayed(row))) for row in chosen}
        )
        background.storage.announce((r.pk, r.priority) for r in chosen if r.pk in waiting)
        number += len(waiting)
    return number


def discard(tasks: Iterable[int] | QuerySet[BackgroundTask]) -> int:
    """Delete tasks from the ledger, with their results and errors.

    Running tasks are kept. Tasks that were not started never run.

    :param tasks: the tasks, or the primary keys of their rows.
    :returns: number of tasks that were deleted.
    """
    number = 0
    for keys in _batches(tasks, set(State) - {State.RUNNING}):
        gone, unfinished = ledger.discard(keys)
        for task in unfinished:
            _announce_cancelled(task, DISCARDED)
        number += gone
    return number


def _announce_cancelled(task: TaskInfo, reason: str) -> None:
    told = {"task": task, "duration": 0.0, "error": reason, "error_type": ""}
    signals.announce(signals.cancelled, task.sender, **told)


def _if_other(row: BackgroundTask, message: bytes) -> bytes | None:
    """Return a message that a task is to have; ``None`` if it is the one that it has."""
    return None if message == bytes(row.message) else message


def _batches(
    tasks: Iterable[int] | QuerySet[BackgroundTask], states: Collection[State]
) -> Iterator[list[int]]:
    """Yield primary keys, oldest first, a bounded number at a time: each batch commits by itself.

    :param states: of a queryset's tasks, only those which are in one of these.
    """
    size = ledger.BATCH
    if not isinstance(tasks, QuerySet):
        keys = list(tasks)
        yield from (keys[n : n + size] for n in range(0, len(keys), size))
        return
    wanted = tasks.filter(state__in=states)
    last = wanted.aggregate(last=Max("pk"))["last"]  # what is enqueued from now on is not meant
    done = 0
    while last is not None:
        rest = wanted.filter(pk__gt=done, pk__lte=last).order_by("pk")
        batch = list(rest.values_list("pk", flat=True)[:size])
        if not batch:
            return
        yield batch
        done = batch[-1]
