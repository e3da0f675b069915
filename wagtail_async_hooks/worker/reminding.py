"""Reminders: workers are told again of what waits, where what told them may have been lost.

A broker may have been emptied, or down, when a task came; a message may have been for a worker that
died, or whose claims the task is not within. So one of the workers looks into the ledger.
"""

from __future__ import annotations

import time
from typing import Final

from wagtail_async_hooks import ledger
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.worker.identity import Registration

FIRST_INTERVAL: Final = 1.0
"""Seconds from the first reminder to the second one; each further one takes twice as long to come,
as long as something waits."""

LONGEST_INTERVAL: Final = 30.0
"""Maximum seconds between two reminders, while something waits."""

ELECTION_INTERVAL: Final = 5.0
"""Seconds after which a worker asks again whether it is the one that reminds the others."""


class Reminder:
    """The reminders by one worker.

    A reminder stands for all that waits, and is passed on by who claims a task because of it. So
    one is enough for any number of tasks; where none was needed, it finds nothing in the end.

    :param queue: whose tasks they are about.
    :param worker: the oldest one reminds, of those that serve the same queues.
    :param queues: description of the queues that it serves.
    """

    def __init__(self, queue: TaskQueue, worker: Registration, queues: str) -> None:
        self._queue = queue
        self._worker = worker
        self._queues = queues
        self._rests_until = float("-inf")
        self._has_waited = False
        self._interval = FIRST_INTERVAL

    def look(self) -> None:
        """Remind the others if something has waited since the last time; at once, if it is new."""
        now = time.monotonic()
        if now < self._rests_until:
            return
        if ledger.oldest_alive(self._queues) != self._worker.pk:
            self._rests_until = now + ELECTION_INTERVAL
            return
        bounds = self._queue.bounds
        if bounds.all_paused or not ledger.waits(bounds):
            self._has_waited, self._interval = False, FIRST_INTERVAL
        elif not self._has_waited:
            self._has_waited = True  # whoever was told of it may be about to claim it
        elif self._queue.storage.announce_rest():
            self._rests_until = now + self._interval
            self._interval = min(2 * self._interval, LONGEST_INTERVAL)
