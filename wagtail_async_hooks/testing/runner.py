"""Runs waiting tasks in the process and the transaction of a test."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from django.db import transaction
from django.test import TestCase
from django.test.utils import override_settings
from huey.api import Task
from huey.signals import SIGNAL_ERROR

from wagtail_async_hooks import conf, ledger, signals
from wagtail_async_hooks.exceptions import BackgroundError, ConfigurationError
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import retries
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.testing.task_record import RecordedTask
from wagtail_async_hooks.types import State, TaskInfo
from wagtail_async_hooks.utils.catching import original

LIMIT: Final = 1000
"""How many attempts one call makes by default, before it takes them for an endless chain."""

_UNFINISHED: Final = (State.SCHEDULED, State.WAITING)


class BackgroundTaskFailed(BackgroundError, AssertionError):
    """A background task has raised an error, which is the cause of this one.

    :param ran: the records of all tasks that were run, as ``run_background_tasks()`` returns them.
    """

    def __init__(self, message: str, ran: list[RecordedTask]) -> None:
        super().__init__(message)
        self.ran = ran


def run_background_tasks(
    *, scheduled: bool = False, raise_errors: bool = True, limit: int = LIMIT
) -> list[RecordedTask]:
    """Run waiting tasks, and those that they enqueue, in this process and its transaction.

    :param scheduled: also run tasks that are due in the future, including retries.
    :param raise_errors: raise an error if the last attempt at a task failed.
    :param limit: maximum number of attempts.
    :returns: the record of each task that was run, in the order of their starts.
    :raises BackgroundTaskFailed: with the task's own error as its cause, after all have run.
    :raises ConfigurationError: if ``BACKEND`` is blank, so that nothing is enqueued.
    :raises RuntimeError: if tasks are left after ``limit`` attempts.
    """
    if background.immediate:
        raise ConfigurationError(
            f'{conf.SETTING}["BACKEND"] is blank, so background tasks have run already, where they '
            "were called; use BackgroundTasksMixin, the fixture background_tasks or “with "
            "BackgroundTasks():”, which let them be recorded."
        )
    attempts = 0
    with in_the_database(), retries.without_least_delay():
        with _noted() as noted:
            for task in islice(_waiting(scheduled), limit):
                attempts += 1
                noted.begin(task.claim.pk)
                with _commits():
                    background.attempt(task)
        if attempts == limit and background.storage.queue_size():
            raise RuntimeError(
                f"{limit} attempts at background tasks were made, and some still wait: does a task "
                "record itself again? If not, give a higher limit=."
            )
        rows = background.storage.tasks.in_bulk(list(noted.raised))
        # A task may have deleted rows, its own among them.
        ran = [RecordedTask.of(rows[pk], e) for pk, e in noted.raised.items() if pk in rows]
    if raise_errors:
        _raise_errors(ran)
    return ran


def advance(seconds: float) -> None:
    """Let what is recorded and has not begun be as though it had been recorded so much earlier.

    :param seconds: how much.
    """
    by = datetime.timedelta(seconds=seconds)
    unfinished = background.storage.tasks.filter(state__in=_UNFINISHED)
    for row in unfinished.order_by("pk"):
        unfinished.filter(pk=row.pk).update(
            run_at=row.run_at and row.run_at - by,
            expires_at=row.expires_at and row.expires_at - by,
            enqueued_at=row.enqueued_at - by,
            message=background.messages.enqueued_earlier(row, by),
        )


def in_the_database() -> AbstractContextManager[Any]:
    """Let tasks be recorded in the database alone, whatever ``BACKEND`` is."""
    if conf.current().backend == "database":
        return nullcontext()
    return override_settings(**{conf.SETTING: conf.with_backend("database")})


def _waiting(scheduled: bool) -> Iterator[Task]:
    """Claim what waits, one after the other."""
    ledger.promote_due()
    while True:
        task = background.next()
        if task is not None:
            yield task
        elif not ledger.promote_due() and not (scheduled and _skip_to_the_next()):
            return


def _skip_to_the_next() -> bool:
    """Let the time pass that the next task waits for; ``False`` if none does."""
    later = background.storage.tasks.filter(state=State.SCHEDULED, run_at__isnull=False)
    due = later.order_by("run_at").values_list("run_at", flat=True).first()
    if due is None:
        return False
    advance(max(0.0, (due - ledger.clock()).total_seconds()))
    return True


@dataclass
class _Noted:
    """What is heard of tasks while they are run.

    :param raised: what the last attempt at each has raised, by the numbers of their rows.
    """

    raised: dict[int, BaseException | None] = field(default_factory=dict)

    def begin(self, pk: int) -> None:
        """A task is begun, or was claimed and is passed over, since nobody can run it."""
        self.raised[pk] = None

    def error(self, signal: str, task: QueuedTask, error: BaseException) -> None:
        """Huey tells of an error."""
        if (claim := task.claim) is not None:
            self.raised[claim.pk] = original(error)

    def ended(self, sender: str, *, task: TaskInfo, **told: Any) -> None:
        """We tell of the end of a task, which may never have begun."""
        self.raised.setdefault(task.pk, None)


@contextmanager
def _noted() -> Iterator[_Noted]:
    """Listen to what becomes of the tasks that are run here."""
    noted = _Noted()
    background.signal(SIGNAL_ERROR)(noted.error)
    with ExitStack() as stack:
        for signal in (signals.failed, signals.retrying, signals.cancelled):
            stack.enter_context(signal.connected_to(noted.ended))
        try:
            yield noted
        finally:
            background.settle()
            background.disconnect_signal(noted.error, SIGNAL_ERROR)


def _commits() -> AbstractContextManager[Any]:
    """Call afterwards what a task leaves to ``on_commit()``: a worker has no transaction around."""
    alias = ledger.database()
    if not transaction.get_connection(alias).in_atomic_block:
        return nullcontext()
    return TestCase.captureOnCommitCallbacks(using=alias, execute=True)


def _raise_errors(ran: list[RecordedTask]) -> None:
    failed = [task for task in ran if task.state == State.FAILED or _is_to_be_retried(task)]
    if not failed:
        return
    told = [f"{task.hook or task.name} {task.function}: {task.error}" for task in failed]
    message = (
        f"A background task failed: {told[0]}"
        if len(failed) == 1
        else f"{len(failed)} of {len(ran)} background tasks failed:\n" + "\n".join(told)
    )
    error = BackgroundTaskFailed(message, ran)
    first, *others = failed
    for task in others if first.exception else failed:
        error.add_note(f"{task.function}:\n{task.traceback or task.error}")
    raise error from first.exception


def _is_to_be_retried(task: RecordedTask) -> bool:
    return task.state in _UNFINISHED and bool(task.error)


def recorded_since(pk: int) -> list[RecordedTask]:
    """Return the tasks whose rows have higher numbers, in their order."""
    rows: list[BackgroundTask] = list(background.storage.tasks.filter(pk__gt=pk).order_by("pk"))
    return [RecordedTask.of(row) for row in rows]
