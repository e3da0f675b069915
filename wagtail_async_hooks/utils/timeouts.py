"""Ending a function that takes longer than it may, in whatever thread it runs.

Packages for it run the function in another thread or process, which does not have the connection
and the transaction of the worker's thread (func-timeout, wrapt-timeout-decorator), or use a signal,
which only the main thread gets (timeout-decorator). Here it stays in its thread, connections that
it used are closed if it was interrupted, and a coroutine is cancelled by ``asyncio.timeout()``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections

from wagtail_async_hooks.exceptions import GivenUp, TimedOut
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.catching import Interrupted
from wagtail_async_hooks.utils.database.opened import drop

logger = logging.getLogger(__name__)

AGAIN: Final = 5.0
"""Seconds after which a function is interrupted once more that goes on: what it calls may have
swallowed the exception, as Python itself does where an object is destroyed."""


class _Limit:
    """How long the thread that makes it may take for something.

    :param told: what takes that long, for the log.
    """

    def __init__(self, seconds: float | None, told: str) -> None:
        self.seconds = seconds
        self.was_hit = False
        self.was_revoked = False
        self._told = told
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._is_over = False
        self._is_suspended = False
        self._has_expired = False
        self._timeout: tuple[asyncio.AbstractEventLoop, asyncio.Timeout] | None = None
        self._revoked_at = float("-inf")
        self._over = threading.Event()

    def begin(self, *, watched: bool = True) -> None:
        """The time begins.

        :param watched: whether the thread is interrupted at its end.
        """
        if self.seconds is not None:
            self._deadline = time.monotonic() + self.seconds
        if watched and self.seconds is not None:
            threading.Thread(target=self._watch, name="timeout", daemon=True).start()

    @contextmanager
    def suspended(self) -> Iterator[float | None]:
        """Suspend the watchdog while asyncio enforces the deadline; yield the seconds left, if any.

        :raises Interrupted: if that was about to be.
        """
        try:
            with self._lock:
                self._is_suspended = True
            _let_arrive()
            limited = self.seconds is not None
            yield max(0.0, self._deadline - time.monotonic()) if limited else None
        finally:
            self._is_suspended = False
            self._timeout = None

    def cancels(self, timeout: asyncio.Timeout) -> None:
        """Have a coroutine cancelled by its own timeout, should what it may do be revoked.

        :raises TimeoutError: if that has happened already.
        """
        with self._lock:
            self._timeout = (asyncio.get_running_loop(), timeout)
            if self.was_revoked:
                timeout.reschedule(0)

    def revoke(self) -> None:
        """The function may not go on, however much of its time is left."""
        with self._lock:
            if self._is_over or self.was_revoked_within(AGAIN):
                return
            self.was_revoked = True
            if self._timeout is not None:
                loop, timeout = self._timeout
                with suppress(RuntimeError):  # it has ended at that very moment
                    loop.call_soon_threadsafe(_expire, timeout)
                return
        self._interrupt()

    def was_revoked_within(self, seconds: float) -> bool:
        """Return whether it was revoked a moment ago; notes that it is now, if not."""
        now = time.monotonic()
        if now - self._revoked_at < seconds:
            return True
        self._revoked_at = now
        return False

    def error(self) -> Exception:
        """Return what to raise of a function that was interrupted."""
        if self.was_revoked or self.seconds is None:
            return GivenUp()
        return TimedOut(self.seconds)

    def end(self) -> None:
        """Interrupt nothing any more.

        :raises Interrupted: if that was about to be.
        """
        try:
            self._close()
        except Interrupted:
            self._close()  # the next one would come in some seconds
            raise

    def _close(self) -> None:
        with self._lock:
            self._is_over = True
        _let_arrive()
        self._over.set()

    def expired(self) -> None:
        """Asyncio has ended the coroutine in time: the watchdog, if it comes late, need not."""
        with self._lock:
            self._has_expired = True

    def _watch(self) -> None:
        if self._over.wait(self.seconds) or not self._interrupt(in_time=True):
            return
        told_of = False
        while not self._over.wait(AGAIN) and self._interrupt():
            if not told_of:
                logger.warning(
                    "%s goes on %g s after its timeout of %g s: it may wait in a call that cannot "
                    "be interrupted.",
                    self._told,
                    AGAIN,
                    self.seconds,
                )
            told_of = True

    def _interrupt(self, *, in_time: bool = False) -> bool:
        """Interrupt the thread, unless there is no need to; return whether the call goes on.

        :param in_time: at the deadline itself.
        """
        with self._lock:
            was_ended = in_time and self._has_expired  # by asyncio, a moment ago
            if not (self._is_over or self._is_suspended or was_ended):
                self.was_hit = True
                _raise_in(self._thread)
            return not self._is_over


def _raise_in(thread: int) -> None:
    """Have :class:`Interrupted` raised in a thread, as soon as that runs Python."""
    import ctypes  # not above: web processes do without

    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(Interrupted)
    )


def _let_arrive() -> None:
    """Return, if nothing is about to be raised in this thread: Python looks when a function begins.

    It could be taken back instead. But Python 3.11 goes on to look for it then, for ever, which
    makes all that runs slower, and hangs where something traces it: a debugger, or coverage.
    """


_limit: Final[ContextVar[_Limit | None]] = ContextVar("limit", default=None)


_revocable: Final[set[_Limit]] = set()


def revoke() -> int:
    """Interrupt what may not go on without this worker being heard of; return how much that is."""
    limits = list(_revocable)
    for limit in limits:
        limit.revoke()
    return len(limits)


def _expire(timeout: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it has ended, or expires already
        timeout.reschedule(asyncio.get_running_loop().time())


def limited(
    call: Callable[[], Any],
    seconds: float | None,
    told: str,
    *,
    revocable: bool = False,
    watched: bool = True,
) -> Any:
    """Call something that has so many seconds.

    :param seconds: ``None`` for any number.
    :param told: what it is, for the log.
    :param revocable: whether :func:`revoke` interrupts it.
    :param watched: whether its thread is interrupted; a coroutine function only makes a coroutine
        there, which is cancelled wherever it runs.
    :raises TimedOut: if it took longer. It was interrupted where it ran Python.
    :raises GivenUp: if it was revoked.
    """
    limit = _Limit(seconds, told)
    if not revocable:
        return _within(limit, call, watched=watched)
    _revocable.add(limit)
    try:
        return _within(limit, call, watched=watched)
    finally:
        _revocable.discard(limit)


def _within(limit: _Limit, call: Callable[[], Any], *, watched: bool) -> Any:
    outer = {c.alias for c in connections.all(initialized_only=True) if c.in_atomic_block}
    token = _limit.set(limit)
    cause: BaseException | None = None
    try:
        try:
            limit.begin(watched=watched)
            value = call()
        finally:
            limit.end()
    except BaseException as error:  # also what somebody made of an interruption, such as a driver
        limit.end()
        if not limit.was_hit:
            raise
        cause = error
    finally:
        _limit.reset(token)
    if not limit.was_hit:
        return value
    _drop_connections(outer)
    raise limit.error() from cause


def _drop_connections(kept: set[str]) -> None:
    """Close the database connections that the function has used: each may be in mid-sentence.

    :param kept: those in whose transaction it was called.
    """
    for connection in connections.all(initialized_only=True):
        if connection.alias not in kept:
            with suppress(DatabaseError, InterfaceError):
                connection.close()
            if connection.in_atomic_block:  # it was interrupted while that was about to end
                del connections[connection.alias]
                drop(connection)


async def awaited(answer: Awaitable[Any]) -> Any:
    """Await something; a limit that is in force cancels it, rather than interrupt the thread.

    :raises TimedOut: if it took longer.
    """
    limit = _limit.get()
    if limit is None:
        return await _here(answer)
    with limit.suspended() as seconds:
        return await _bounded(answer, limit, seconds)


@contextmanager
def elsewhere(answer: Awaitable[Any]) -> Iterator[Awaitable[Any]]:
    """Yield what is to be awaited in another thread, for as long as that takes; else as above.

    Meanwhile this thread may do something else, which is not to be interrupted.
    """
    limit = _limit.get()
    if limit is None:
        yield _here(answer)
        return
    with limit.suspended() as seconds:
        yield _bounded(answer, limit, seconds)


async def _bounded(answer: Awaitable[Any], limit: _Limit, seconds: float | None) -> Any:
    try:
        async with asyncio.timeout(seconds) as timer:
            limit.cancels(timer)
            return await _here(answer)
    except TimeoutError as error:
        if timer.expired():
            limit.expired()
            raise limit.error() from error
        raise


async def _here(answer: Awaitable[Any]) -> Any:
    since = forks.generation()
    try:
        return await answer
    finally:
        # Nobody awaits it in a process that it has forked: the thread that does is not there.
        forks.end_if_forked(since, lambda: "a coroutine", sys.exception())
