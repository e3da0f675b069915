"""The coroutine functions that a worker runs side by side, in one thread and one event loop.

A task is executed as any other, in a greenlet. Where its coroutine is to be awaited, that is left
to the event loop, and the thread goes on with another task; greenlets cannot change their thread.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from django.db import connections
from greenlet import getcurrent, greenlet

from wagtail_async_hooks.ledger import workers
from wagtail_async_hooks.queue import connection_guard
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.types import Outcome
from wagtail_async_hooks.utils import forks, parking
from wagtail_async_hooks.utils.database.outages import Outage
from wagtail_async_hooks.utils.errors import report
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.worker.activity import Activity
from wagtail_async_hooks.worker.event_loop import Ended, EventLoop
from wagtail_async_hooks.worker.identity import HEARTBEAT_WAIT, Registration

logger = logging.getLogger("wagtail_async_hooks.worker")

LOOK_INTERVAL: Final = 1.0
"""Seconds between two checks whether the event loop answers."""


LONG_WAIT: Final = 1.0
"""Seconds after which it is asked again whether a task that has waited for its turn is to run."""


class _Taken(NamedTuple):
    """A task that was taken from a thread.

    :param has_waited: whether it may have been cancelled, or given to another worker, meanwhile.
    """

    task: QueuedTask
    has_waited: bool


class _Awaiting(NamedTuple):
    """What an attempt waits for."""

    answer: Awaitable[Any]
    context: contextvars.Context


class _Attempt(greenlet):
    """An attempt at a task.

    :param name: of the attempt, for the log.
    """

    def __init__(self, name: str, run: Any) -> None:
        super().__init__(run)
        self.name = name


class _Resumed(NamedTuple):
    """An attempt whose coroutine has ended."""

    attempt: _Attempt
    ended: Ended


class Coroutines:
    """Runs tasks of coroutine functions that the threads of a worker have claimed.

    Its threads are started with the first one.

    :param queue: whose tasks they are.
    :param limit: how many to run at once; 0 for none.
    :param threads: how many threads the worker has, and the event loop for what is not async.
    :param activity: told of each that runs.
    :param worker: of this process.
    :param outage: notified of what cannot be recorded.
    """

    def __init__(
        self,
        queue: TaskQueue,
        *,
        limit: int,
        threads: int,
        activity: Activity,
        worker: Registration,
        outage: Outage,
    ) -> None:
        self._queue = queue
        self._limit = limit
        self._threads = threads
        self._activity = activity
        self._worker = worker
        self._outage = outage
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._running = 0
        self._waiting = 0
        self._left: deque[Outcome] = deque()
        self._is_blocked = False
        self._is_closed = False
        self._inbox: SimpleQueue[_Taken | _Resumed | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def take(self, task: QueuedTask) -> bool:
        """Take a task that a thread has claimed, if it is one for an event loop.

        With no room for it, the thread waits. It would be busy as well if it ran the task, but
        then no place that gets free meanwhile would get a task.

        :returns: whether it was taken; otherwise the thread is to run it, unless the worker stops.
        """
        if not self._limit or not _is_coroutine(task):
            return False
        asked_at = time.monotonic()
        with self._room:
            if self._takes_none() or (self._thread is None and not self._start()):
                return False
            self._wait_for_room()
            if self._takes_none():
                return False
            self._running += 1
            if self._left:
                self._queue.claims.pending = self._left.popleft()
        self._activity.occupy()
        self._inbox.put(_Taken(task, has_waited=time.monotonic() - asked_at > LONG_WAIT))
        return True

    def _takes_none(self) -> bool:
        return self._is_closed or self._is_blocked

    def _wait_for_room(self) -> None:
        self._waiting += 1
        try:
            self._room.wait_for(lambda: self._running < self._limit or self._takes_none())
        finally:
            self._waiting -= 1

    def _start(self) -> bool:
        """Start the threads; return whether the system had room for them."""
        thread = threading.Thread(target=self._run, name="Coroutines", daemon=True)
        try:
            self._loop = EventLoop(self._threads)
            thread.start()
        except (OSError, RuntimeError) as error:
            logger.warning("No event loop can be started, so a thread runs it: %s", one_line(error))
            return False
        self._thread = thread
        return True

    def close(self) -> None:
        """Take nothing more, and end with the last that runs."""
        with self._room:
            self._is_closed = True
            self._room.notify_all()
        self._inbox.put(None)

    def join(self, seconds: float) -> None:
        """Wait until all have ended, for so many seconds at most; :meth:`close` comes first."""
        if self._thread is not None:
            self._thread.join(seconds)

    def is_alive(self) -> bool:
        """Return whether one still runs."""
        return self._thread is not None and self._thread.is_alive()

    # The thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        self._since = forks.generation()
        forks.begin_thread()
        while self._running or not self._is_closed:
            item = self._next()
            if item is not None:
                self._step(item)
            self._settle_left()
        self._outage.leave()
        self._loop.close()
        connections.close_all()

    def _next(self) -> _Taken | _Resumed | None:
        """Return what there is to do; look after the event loop meanwhile."""
        try:
            item = self._inbox.get(timeout=LOOK_INTERVAL if self._running else None)
        except Empty:
            with self._room:
                self._is_blocked = self._loop.is_blocked()
                self._room.notify_all()
            return None
        if isinstance(item, _Resumed):
            self._is_blocked = False
        return item

    def _step(self, item: _Taken | _Resumed) -> None:
        """Make an attempt, or go on with it, until it waits for its coroutine or has ended."""
        self._wait_for_heartbeat()
        try:
            if isinstance(item, _Resumed):
                attempt = item.attempt
                awaiting = attempt.switch(item.ended)
            else:
                # A greenlet has no context of its own but what it is given.
                context = contextvars.copy_context()
                attempt = _Attempt(str(item.task.claim), partial(self._within, context))
                awaiting = attempt.switch(item)
        except BaseException as error:
            # The attempt itself lets nothing pass; this one must not take the others with it.
            forks.end_if_forked(self._since, lambda: "a coroutine function", error)
            report(logger, error, "An attempt at a coroutine function broke off.")
        if not attempt.dead:
            self._await(attempt, awaiting)
            return
        if not self._leave():
            self._settle()
            with self._room:
                self._vacate()

    def _await(self, attempt: _Attempt, awaiting: _Awaiting) -> None:
        self._loop.await_(
            awaiting.answer,
            awaiting.context,
            attempt.name,
            lambda ended: self._inbox.put(_Resumed(attempt, ended)),
        )

    def _wait_for_heartbeat(self) -> None:
        """Neither begin nor record anything before it is known which tasks are still ours."""
        while self._worker.is_overdue() and not self._is_closed:
            time.sleep(HEARTBEAT_WAIT)

    def _leave(self) -> bool:
        """Leave how an attempt ended, and its place, to a thread that waits for a place, if any.

        It records that together with its next claim: one commit, not two.
        """
        with self._room:
            outcome = self._queue.claims.pending
            if outcome is None or self._takes_none() or len(self._left) >= self._waiting:
                return False
            self._left.append(outcome)
            self._queue.claims.pending = None
            self._vacate()
        return True

    def _vacate(self) -> None:
        """Let the place of an attempt be another's; the caller holds the lock."""
        self._running -= 1
        self._room.notify()
        self._activity.vacate()

    def _settle_left(self) -> None:
        """Record what was left to threads that do not wait any more."""
        while (outcome := self._left_to_nobody()) is not None:
            self._queue.claims.pending = outcome
            self._settle()

    def _left_to_nobody(self) -> Outcome | None:
        with self._lock:
            waiting = 0 if self._takes_none() else self._waiting
            return self._left.popleft() if len(self._left) > waiting else None

    def _settle(self) -> None:
        """Record how an attempt ended, however long the database does not work."""
        deadline: float | None = None
        while True:
            try:
                self._queue.settle()
            except Exception as error:
                pause = self._outage.begin(error)
                if self._is_closed:
                    deadline = deadline or time.monotonic() + workers.HEARTBEAT_TIMEOUT
                    if time.monotonic() + pause > deadline:
                        told = "How a coroutine function ended could not be recorded: %s"
                        logger.error(told, one_line(error))
                        return
                time.sleep(pause)
            else:
                self._outage.end()
                return

    # An attempt, in its greenlet ----------------------------------------------------------

    def _within(self, context: contextvars.Context, taken: _Taken) -> None:
        context.run(self._attempt, taken)

    def _attempt(self, taken: _Taken) -> None:
        parking.give(self._park)
        connection_guard.tidy()
        try:
            if not taken.has_waited or self._queue.claims.confirm(taken.task):
                self._queue.attempt(taken.task)
        finally:
            connection_guard.tidy()

    def _park(self, answer: Awaitable[Any], context: contextvars.Context) -> Any:
        """Let the thread do something else until something has ended that the loop awaits."""
        parent = getcurrent().parent
        assert parent is not None
        with self._queue.set_aside():
            ended: Ended = parent.switch(_Awaiting(answer, context))
        if ended.error is not None:
            raise ended.error
        return ended.value


def _is_coroutine(task: QueuedTask) -> bool:
    """Return whether a task calls a coroutine function; an error is for the attempt to raise."""
    try:
        return task.definition.is_coroutine(task)
    except Exception:
        return False
