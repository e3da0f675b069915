"""Why a waiting task is not begun: no worker, a pause, a limit, another task, workers that died."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.models import BackgroundTask, Pause
from wagtail_async_hooks.monitoring import workers
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State


class Kind(StrEnum):
    """What keeps a task from being begun."""

    NO_WORKER = "no worker"
    UNSERVED = "unserved"
    PAUSED = "paused"
    LIMIT = "limit"
    EXCLUSIVE = "exclusive"
    SUSPECT = "suspect"


class Obstacle(NamedTuple):
    """Something that keeps a task from being begun.

    :param text: a sentence, in the language of whoever asks.
    :param pause: if that is what it is.
    :param task: primary key of the task that it waits for, if it is one.
    """

    kind: Kind
    text: str
    pause: Pause | None = None
    task: int | None = None


def of_task(row: BackgroundTask) -> Iterator[Obstacle]:
    """Yield what keeps a waiting task from being begun; nothing if it only waits for its turn."""
    alive = list(ledger.alive())
    serving = [worker.pk for worker in alive if workers.serves(worker.queues, row.queue)]
    if not alive:
        yield Obstacle(Kind.NO_WORKER, _("No worker is running."))
    elif not serving:
        text = _("No worker serves the queue “%(queue)s”.") % {"queue": row.queue}
        yield Obstacle(Kind.UNSERVED, text)
    yield from _pauses(row)
    yield from _limit(row)
    yield from _exclusive(row)
    if row.deaths and serving:
        yield from _suspects(serving)


def _pauses(row: BackgroundTask) -> Iterator[Obstacle]:
    names = {"queue": row.queue, "hook": row.hook, "function": row.function}
    for pause in pausing.paused():
        if pause.kind == "everything":
            yield Obstacle(Kind.PAUSED, _("All background tasks are paused."), pause)
        elif pause.name and names.get(pause.kind) == pause.name:
            told = {"kind": pause.get_kind_display(), "name": pause.name}
            yield Obstacle(Kind.PAUSED, _("Paused: %(kind)s “%(name)s”.") % told, pause)


def _limit(row: BackgroundTask) -> Iterator[Obstacle]:
    limit = conf.current().limits.get(row.queue)
    if limit is None:
        return
    if _running().filter(queue=row.queue, slot__isnull=False).count() >= limit:
        told = {"queue": row.queue, "limit": limit}
        text = _("The queue “%(queue)s” has a limit of %(limit)d, and so many of its tasks run.")
        yield Obstacle(Kind.LIMIT, text % told)


def _exclusive(row: BackgroundTask) -> Iterator[Obstacle]:
    if not row.exclusive_key:
        return
    running = _running().filter(exclusive_key=row.exclusive_key)
    other = running.values_list("pk", flat=True).first()
    if other is not None:
        text = _("Another task runs that may not run at the same time.")
        yield Obstacle(Kind.EXCLUSIVE, text, task=other)
        return
    first = ledger.next_in_line(row.exclusive_key)
    if first is not None and first[0] != row.pk:
        text = _("Another task comes first that may not run at the same time.")
        yield Obstacle(Kind.EXCLUSIVE, text, task=first[0])


def _suspects(serving: list[int]) -> Iterator[Obstacle]:
    """Yield that each worker runs a task that workers have died of: it takes one at a time."""
    busy = dict(_running().filter(deaths__gt=0, worker__in=serving).values_list("worker", "pk"))
    if set(serving) <= busy.keys():
        text = _("Each worker runs another task that workers have died of.")
        yield Obstacle(Kind.SUSPECT, text, task=min(busy.values()))


def _running() -> QuerySet[BackgroundTask]:
    return BackgroundTask.objects.using(ledger.database()).filter(state=State.RUNNING)
