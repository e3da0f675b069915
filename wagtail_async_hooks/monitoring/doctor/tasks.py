"""What is wrong with the tasks that wait: those that nobody can run, and the oldest, and why.

Of the tasks that wait or are scheduled, :data:`SAMPLE` each are looked at, the first ones; of those
that are tried again, so many as become due first.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from django.db.models import QuerySet
from django.db.models.functions import Length

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.exceptions import MessageRefused, UnknownTask
from wagtail_async_hooks.integrations.tasks_backend.calls import Call
from wagtail_async_hooks.models import BackgroundTask, Pause
from wagtail_async_hooks.monitoring import description, obstacles, overview
from wagtail_async_hooks.monitoring.details import Details
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity
from wagtail_async_hooks.monitoring.moment import TASKS, Moment
from wagtail_async_hooks.monitoring.obstacles import Kind, Obstacle
from wagtail_async_hooks.monitoring.overview import waits_since
from wagtail_async_hooks.monitoring.problems import TOO_LONG, WITHOUT_WORKER
from wagtail_async_hooks.monitoring.starting import start_worker
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization import messages
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.utils.time import elapsed_text

SAMPLE: Final = 200
"""So many tasks are looked at, in each of the two states."""

LONGEST: Final = 100_000
"""Bytes of a message up to which it is read."""

_SHOW: Final = "manage.py wagtail_tasks show"


def examine() -> Iterator[Finding]:
    """Yield what is wrong with the tasks."""
    moment = Moment()
    yield from _unreadable()
    for pause in moment.pauses:
        yield _paused(pause, moment)
    if moment.living:
        yield from _overdue(moment)
        yield from _oldest(moment)
    yield from _not_due(moment)


# What nobody can run ------------------------------------------------------------------------


def _unreadable() -> Iterator[Finding]:
    """Yield tasks whose messages this process would refuse, or whose functions it does not know."""
    refused: dict[str, list[int]] = {}
    unknown: dict[str, list[int]] = {}
    otherwise_signed: list[int] = []
    for row in _sample():
        message = bytes(row.message)
        if not messages.is_signed_here(message):
            otherwise_signed.append(row.pk)
            continue
        try:
            _find(message)
        except UnknownTask:
            unknown.setdefault(row.function or row.name, []).append(row.pk)
        except MessageRefused as error:
            refused.setdefault(one_line(error), []).append(row.pk)
    if otherwise_signed:
        yield Finding(
            Severity.CRITICAL,
            Code.SECRET_KEY,
            f"{_some(otherwise_signed)} not signed with the SECRET_KEY of this process: workers "
            "with this key let such tasks fail.",
            "Put the former key into SECRET_KEY_FALLBACKS, and see to it that the web processes, "
            "the workers and this command have the same SECRET_KEY.",
        )
    for why, keys in refused.items():
        yield Finding(
            Severity.CRITICAL,
            Code.SECRET_KEY if "SECRET_KEY" in why else Code.UNKNOWN_TASK,
            f"{_some(keys)} refused by this release: {why}",
            "Install the release that has enqueued them, for workers as well; "
            f'"{_SHOW} {keys[0]}" shows the first.',
        )
    for name, keys in sorted(unknown.items()):
        yield Finding(
            Severity.CRITICAL,
            Code.UNKNOWN_TASK,
            f'{_some(keys)} for "{name}", which no code here knows: workers with this code try '
            "again for an hour or so, and then the tasks fail.",
            "Deploy the code that has it, have a wagtail_hooks.py or tasks.py import its module, "
            f'or drop them: "manage.py wagtail_tasks discard {" ".join(map(str, keys[:10]))}".',
        )


def _sample() -> Iterator[BackgroundTask]:
    """Yield tasks that are still to be run, with no more columns than are needed here."""
    for state in (State.WAITING, State.SCHEDULED):
        # In the order of the index by which they are claimed, or become due.
        order = ("blocked", "-priority", "pk") if state is State.WAITING else ("run_at",)
        rows = _tasks().filter(state=state).annotate(size=Length("message"))
        keys = [
            pk
            for pk, size in rows.order_by(*order).values_list("pk", "size")[:SAMPLE]
            if size <= LONGEST
        ]
        yield from _tasks().filter(pk__in=keys).only("name", "function", "message").order_by("pk")


def _find(message: bytes) -> None:
    """Look for the function of a message, as a worker would.

    :raises UnknownTask: if there is none here.
    :raises MessageRefused: if the message cannot be read.
    """
    task = background.messages.unpack(message)
    if task.definition.call_class is Call:
        Call.from_payload(task.kwargs).task  # noqa: B018  (it is looked up)


def _some(keys: list[int]) -> str:
    """Return which tasks are meant, as the beginning of a sentence."""
    if len(keys) == 1:
        return f"Task {keys[0]} is"
    return f"{len(keys)} of the tasks that are to be run, such as {keys[0]}, are"


# What waits ---------------------------------------------------------------------------------


def _paused(pause: Pause, moment: Moment) -> Finding:
    is_all = pause.kind == Pause.Kind.EVERYTHING
    waiting = sum(is_all or getattr(task, pause.kind) == pause.name for task in moment.waiting)
    what = (
        "Everything" if pause.kind == Pause.Kind.EVERYTHING else f'The {pause.kind} "{pause.name}"'
    )
    why = f" ({one_line(pause.reason)})" if pause.reason else ""
    return Finding(
        Severity.WARNING,
        Code.PAUSED,
        f"{what} has been paused for {elapsed_text(pause.paused_at, moment.time)}{why}; "
        f"{waiting or 'no'} {'task waits' if waiting == 1 else 'tasks wait'} for it.",
        _resume(pause),
    )


def _resume(pause: Pause) -> str:
    if pause.kind == Pause.Kind.EVERYTHING:
        return "manage.py wagtail_tasks resume --all"
    return f"manage.py wagtail_tasks resume --{pause.kind} {shlex.quote(pause.name)}"


def _overdue(moment: Moment) -> Iterator[Finding]:
    since = [task.since for task in moment.overdue]
    if since and moment.time - min(since) > WITHOUT_WORKER:
        yield Finding(
            Severity.WARNING,
            Code.WAITING,
            f"Scheduled tasks have been due for {elapsed_text(min(since), moment.time)}, and no "
            "worker has set them to waiting, although one is alive.",
            "Look into the log of the workers, which says what keeps them from it; restart them.",
        )


def _oldest(moment: Moment) -> Iterator[Finding]:
    """Yield the task that has waited longest, if that is too long, and why it waits."""
    row = overview.oldest_waiting()
    if row is None:
        return
    waited = moment.time - waits_since(row)
    found = list(obstacles.of_task(row)) if waited > WITHOUT_WORKER else []
    # What a worker does in its turn may take a while; what it does not do may not.
    stuck = any(each.kind in (Kind.UNSERVED, Kind.PAUSED) for each in found)
    if waited <= TOO_LONG and not stuck:
        return
    why = " ".join(each.text for each in found) or _busy(moment)
    yield Finding(
        Severity.WARNING,
        Code.WAITING,
        f"Task {row.pk} ({description.title_of(row)}) has waited longest, for "
        f"{elapsed_text(waits_since(row), moment.time)}. {why}",
        "; ".join(dict.fromkeys(_remedy(each, row) for each in found)) or _more_workers(),
    )


def _more_workers() -> str:
    more = "--concurrency" if conf.current().backend == conf.CELERY else "--threads"
    return f"{start_worker()} (one more, or with more {more})"


def _busy(moment: Moment) -> str:
    threads = sum(worker.threads for worker in moment.living)
    running = _tasks().filter(state=State.RUNNING).count()
    return (
        f"Nothing keeps it from being run but its turn: {running} of the {threads} threads of the "
        "workers are busy."
    )


def _remedy(obstacle: Obstacle, row: BackgroundTask) -> str:
    if obstacle.kind is Kind.PAUSED and obstacle.pause is not None:
        return _resume(obstacle.pause)
    if obstacle.kind in (Kind.EXCLUSIVE, Kind.SUSPECT):
        other = obstacle.task
        return f"{_SHOW} {other} (and if it is stuck: manage.py wagtail_tasks cancel {other})"
    if obstacle.kind is Kind.LIMIT:
        return f'Raise WAGTAIL_TASKS["QUEUES"]["{row.queue}"]["limit"], or wait'
    return f"manage.py wagtail_worker --queue {shlex.quote(row.queue)}"


def _not_due(moment: Moment) -> Iterator[Finding]:
    """Yield the oldest task that was tried, of those that are due first, and waits for that."""
    scheduled = _tasks().filter(state=State.SCHEDULED).order_by("run_at")
    first = scheduled.values_list("pk", "attempt")[:TASKS]
    tried = [pk for pk, attempt in first if attempt > 0]
    rows = _tasks().defer(*ledger.LARGE).select_related("subject_type")
    row = rows.filter(pk=min(tried), state=State.SCHEDULED).first() if tried else None
    if row is None or moment.time - row.enqueued_at <= TOO_LONG:
        return
    known = Details(row, moment.time)
    yield Finding(
        Severity.NOTE,
        Code.NOT_DUE,
        f"Task {row.pk} ({known.title}) was enqueued "
        f"{elapsed_text(row.enqueued_at, moment.time)} ago, and is not due: {known.sentence}",
        f"{_SHOW} {row.pk} (manage.py wagtail_tasks cancel {row.pk}, if it is in vain)",
    )


def _tasks() -> QuerySet[BackgroundTask]:
    return BackgroundTask.objects.using(ledger.database())
