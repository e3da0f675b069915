"""An event loop in a thread of its own, and threads for what its coroutines do that is not async.

What ``sync_to_async()`` is given, statements among it, runs in one of a few threads that keep their
connections, as those of a worker do; by default, asgiref has one for all.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import InterfaceError, OperationalError, connections

from wagtail_async_hooks.queue import connection_guard
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.database.opened import is_any_lost, note_loss, opened

logger = logging.getLogger("wagtail_async_hooks.worker")

T = TypeVar("T")

UNRESPONSIVE: Final = 5.0
"""Seconds without an answer after which the loop is considered to be blocked by a coroutine."""


TO_THREAD: Final = 20
"""Threads for ``asyncio.to_thread()``, at most."""


class Ended(NamedTuple):
    """What became of something that was awaited."""

    value: Any = None
    error: BaseException | None = None


class EventLoop:
    """An event loop that runs until it is closed.

    :param threads: number of threads for what is not async, at most.
    """

    def __init__(self, threads: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(_make_task)  # type: ignore[arg-type]  # typeshed's is private
        self._beside = _Executor(TO_THREAD, keeps_connections=False)
        self._loop.set_default_executor(self._beside)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._places = [_Place() for _ in range(threads)]
        self._turn = itertools.cycle(self._places)
        self._asked_at: float | None = None
        self._is_told = False
        self._thread = threading.Thread(target=self._run, name="EventLoop", daemon=True)
        self._thread.start()

    def await_(
        self,
        answer: Awaitable[Any],
        context: contextvars.Context,
        name: str,
        done: Callable[[Ended], None],
    ) -> None:
        """Await something in the loop.

        :param name: what it belongs to, for the log.
        :param done: called in the loop's thread with what became of it.
        """
        self._loop.call_soon_threadsafe(self._begin, answer, context, name, done)

    def _begin(
        self,
        answer: Awaitable[Any],
        context: contextvars.Context,
        name: str,
        done: Callable[[Ended], None],
    ) -> None:
        coroutine = self._awaited(answer, done)
        task = self._loop.create_task(coroutine, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _awaited(self, answer: Awaitable[Any], done: Callable[[Ended], None]) -> None:
        await next(self._turn).enter()
        begun: set[asyncio.Task[Any]] = set()
        _begun.set(begun)
        try:
            ended = Ended(await answer)
        except BaseException as error:  # also what would end the loop, such as SystemExit
            ended = Ended(error=error)
        if begun:
            await _cancel(begun)
        done(ended)

    # Whether it answers -------------------------------------------------------------------

    def is_blocked(self) -> bool:
        """Return whether a coroutine has kept the loop from anything else for a while.

        To be asked about once a second while something is awaited.
        """
        now = time.monotonic()
        if self._asked_at is None:
            self._is_told = False
            self._asked_at = now
            self._loop.call_soon_threadsafe(self._answer)
            return False
        if now - self._asked_at < UNRESPONSIVE:
            return False
        self._tell()
        return True

    def _answer(self) -> None:
        self._asked_at = None

    def _tell(self) -> None:
        if self._is_told:
            return
        self._is_told = True
        task = asyncio.current_task(self._loop)
        logger.warning(
            "%s keeps all other coroutines of this process waiting, for %g s by now: it calls "
            "something that is not async, which is for sync_to_async() or asyncio.to_thread(). "
            "Meanwhile new ones run in the worker's threads.",
            "A coroutine" if task is None else task.get_name(),
            UNRESPONSIVE,
        )

    # Its end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop the loop, and close the connections of its threads; nothing is awaited any more."""
        for place in self._places:
            place.close()
        self._is_closing = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        forks.begin_thread()
        asyncio.set_event_loop(self._loop)
        try:
            while not self._is_closing:  # a coroutine can stop the loop, which is not its own
                self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._beside.shutdown()  # not the loop's way, which needs one more thread for it
        finally:
            self._loop.close()


_begun: Final[ContextVar[set[asyncio.Task[Any]]]] = ContextVar("begun")
"""What was begun beside a coroutine: it ends with that, as with ``asyncio.run()``."""


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **options: Any
) -> asyncio.Task[T]:
    task = asyncio.Task(coroutine, loop=loop, **options)
    begun = _begun.get(None)
    if begun is not None:
        begun.add(task)
        task.add_done_callback(begun.discard)
    return task


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    while tasks:  # each may begin others as it ends
        for task in tuple(tasks):
            task.cancel()
        await asyncio.wait(tuple(tasks))
        await asyncio.sleep(0)


class _Place:
    """Where some of the coroutines do what is not async, one after the other."""

    def __init__(self) -> None:
        self._context = ThreadSensitiveContext()
        self._executor = _Executor(1, keeps_connections=True)

    async def enter(self) -> None:
        """Have what this coroutine gives to ``sync_to_async()`` run here."""
        # Not "async with": that shuts the executor down at its end, and this one is to last.
        SyncToAsync.context_to_thread_executor[self._context] = self._executor
        await self._context.__aenter__()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close its connections, once it has nothing to do; return then."""
        self._executor.close()


class _Executor(ThreadPoolExecutor):
    """Threads, after each call of which their connections are as they were before.

    :param threads: how many.
    :param keeps_connections: whether their connections stay open.
    """

    def __init__(self, threads: int, *, keeps_connections: bool) -> None:
        super().__init__(threads, "EventLoop-sync", initializer=forks.begin_thread)
        self._keeps_connections = keeps_connections
        self._is_used = False

    def submit(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """See ``ThreadPoolExecutor``."""
        self._is_used = True
        return super().submit(self._watched, partial(call, *args, **kwargs))

    def _watched(self, call: Callable[[], T]) -> T:
        try:
            return _watched(call)
        finally:
            if not self._keeps_connections and opened():
                connections.close_all()

    def close(self) -> None:
        """Take nothing more; return when its connections are closed.

        It may take long over what a coroutine gave to it, and did not wait for.
        """
        if self._is_used:
            super().submit(connections.close_all)
        self.shutdown()


def _watched(call: Callable[[], T]) -> T:
    connection_guard.tidy()
    try:
        value: T = connection_guard.watched(call, lambda: "What a coroutine gave to a thread")
    except (OperationalError, InterfaceError) as error:
        if is_any_lost():
            note_loss(error)
        raise
    return value
