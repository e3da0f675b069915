"""The bounds of a worker's claims: its queues, their limits, and what is paused."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from django.db.models import Q

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.models import BackgroundTask, Pause
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.storage.waiter import DatabaseWaiter, Waiter
from wagtail_async_hooks.types import EVERYTHING, Bounds, State
from wagtail_async_hooks.utils.text import visible

logger = logging.getLogger("wagtail_async_hooks.worker")

MANY_NOTIFICATIONS: Final = 1000
"""Notifications that are kept while no thread listens."""


class ClaimBounds:
    """The bounds of a worker's claims, from one second to the next.

    :param queue: whose claims these are.
    :param queues: the queues that the worker serves; empty for all.
    :param exclude: queues that it does not serve.
    """

    def __init__(self, queue: TaskQueue, queues: Sequence[str], exclude: Sequence[str]) -> None:
        self._queue = queue
        self._queues = tuple(queues)
        self._exclude = tuple(exclude)
        self._paused: dict[str, Pause] = {}
        self._serves_all = not (queues or exclude)

    def waiter(self) -> Waiter:
        """Return the waiter that wakes threads when a task may be waiting.

        A notification may be for a task of another queue, and is taken by one thread only. So a
        process that does not serve all queues watches the database.
        """
        return self._queue.storage.waiter() if self._serves_all else self._watch()

    @staticmethod
    def _watch() -> Waiter:
        return DatabaseWaiter(ledger.database())

    def refresh(self) -> None:
        """Read the pauses, and log those that are new or gone."""
        pauses = {str(pause): pause for pause in ledger.pauses()}
        self._queue.bounds = self._bounds(pauses.values())
        for name in pauses.keys() - self._paused.keys():
            why = pauses[name].reason
            logger.info("Paused: %s%s", visible(name), f" ({visible(why)})." if why else ".")
        for name in self._paused.keys() - pauses.keys():
            logger.info("Resumed: %s.", visible(name))
        self._paused = pauses

    def limit_notifications(self) -> None:
        """Empty the notifier if nobody reads it: no live worker serves all queues, or all are busy.

        Threads that were busy ask the ledger before they listen.
        """
        if self._serves_all:
            self._queue.storage.forget_notifications(MANY_NOTIFICATIONS)
        elif not ledger.is_served_throughout():
            self._queue.storage.forget_notifications()

    def held_back(self) -> int:
        """Return how many tasks of the worker's queues wait because of a pause."""
        if not self._paused:
            return 0
        tasks = BackgroundTask.objects.using(ledger.database()).filter(state=State.WAITING)
        if self._queues:
            tasks = tasks.filter(queue__in=self._queues)
        tasks = tasks.exclude(queue__in=self._exclude)
        bounds = self._bounds(self._paused.values())
        if not bounds.all_paused:
            tasks = tasks.filter(
                Q(queue__in=bounds.left_out)
                | Q(hook__in=bounds.hooks)
                | Q(function__in=bounds.functions)
            )
        return tasks.count()

    def reset(self) -> None:
        """Let the queue's claims be bounded by its limits alone, once the worker has stopped."""
        self._queue.bounds = Bounds(limits=conf.current().limits)

    def _bounds(self, pauses: Iterable[Pause]) -> Bounds:
        names: dict[str, list[str]] = {kind: [] for kind in Pause.Kind.values}
        for pause in pauses:
            names[pause.kind].append(pause.name)
        bounds = Bounds(
            queues=self._queues,
            left_out=(*self._exclude, *names[Pause.Kind.QUEUE]),
            hooks=tuple(names[Pause.Kind.HOOK]),
            functions=tuple(names[Pause.Kind.FUNCTION]),
            limits=conf.current().limits,
            all_paused=bool(names[Pause.Kind.EVERYTHING]),
        )
        return bounds or EVERYTHING  # found false by identity, several times for each task


def describe_queues(queues: Sequence[str], exclude: Sequence[str]) -> str:
    """Return a description of the queues that a worker serves; blank for all."""
    if queues:
        return ", ".join(queues)
    return f"all but {', '.join(exclude)}" if exclude else ""
