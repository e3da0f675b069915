"""Measuring how long synchronous functions of background-safe hooks take, where a site asks for it.

With ``WAGTAIL_TASKS["MEASURE_HOOKS"]``, :mod:`.takeover` puts a timer around each of them, into
Wagtail's registry. What it measures is kept in memory, and becomes a row for each function at most
once a minute: when a request is over and its response is sent, so that nobody waits for that.
"""

from __future__ import annotations

import functools
import inspect
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from django.core.signals import request_finished
from django.db import connections

from wagtail_async_hooks import conf
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function

logger = logging.getLogger(__name__)

INTERVAL: Final = 60.0
"""Seconds, at least, from one time that a process records its samples to the next."""

SIZE: Final = 20
"""Durations that are kept of the calls of one function, until they are recorded."""

_UID: Final = "wagtail_async_hooks.measuring"


class _Process:
    """What this process measures.

    :param next_at: monotonic time before which nothing is recorded.
    :param has_failed: whether recording has failed, which is logged once.
    """

    next_at = float("-inf")
    has_failed = False
    is_on = False


class Reservoir:
    """The calls of one function since they were last recorded, of which some are kept.

    Each call has the same chance to be kept. What other threads add meanwhile is not lost.
    """

    __slots__ = ("_lock", "calls", "durations", "seconds")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def add(self, seconds: float) -> None:
        """Add a call."""
        with self._lock:
            self.calls += 1
            self.seconds += seconds
            if len(self.durations) < SIZE:
                self.durations.append(seconds)
            elif (place := int(random.random() * self.calls)) < SIZE:
                self.durations[place] = seconds

    def take(self) -> tuple[int, float, tuple[float, ...]]:
        """Return number, sum and some of the durations, and begin anew."""
        with self._lock:
            taken = self.calls, self.seconds, tuple(self.durations)
            self._clear()
            return taken

    def _clear(self) -> None:
        self.calls, self.seconds = 0, 0.0
        self.durations: list[float] = []


_reservoirs: Final[dict[tuple[str, str], Reservoir]] = {}
"""By hook, and by the function's dotted path."""

_recording: Final = threading.Lock()


class Measured:
    """A function with a timer around it.

    It is equal to the function, so that whoever has registered that can still deregister it, and
    it has the function's attributes.
    """

    def __init__(self, hook: str, function: Function) -> None:
        functools.update_wrapper(self, function, updated=())
        self._add = reservoir_of(hook, functions.label(functions.behind(function))).add

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return self.__wrapped__(*args, **kwargs)
        finally:
            self._add(time.perf_counter() - begun)

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # a copy that is being made
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == plain(other))

    def __hash__(self) -> int:
        return hash(self.__wrapped__)


def is_wanted() -> bool:
    """Return whether the settings ask for it, and there is a ledger to keep it."""
    settings = conf.current()
    return bool(settings.measure_hooks and settings.backend)


def is_on() -> bool:
    """Return whether functions are measured."""
    return _Process.is_on


def switch() -> None:
    """Begin to record what is measured, or end it, as the settings say."""
    if is_wanted() == _Process.is_on:
        return
    _Process.is_on = not _Process.is_on
    if _Process.is_on:
        request_finished.connect(record, dispatch_uid=_UID)
    else:
        request_finished.disconnect(dispatch_uid=_UID)
        _reservoirs.clear()


def timed(hook: str, function: Function) -> Function:
    """Return what is to be registered for a function: a timer around it, or the function itself.

    A coroutine function is left alone: Wagtail would not await it.
    """
    if not is_wanted():
        original: Function = plain(function)
        return original
    if isinstance(function, Measured) or inspect.iscoroutinefunction(function):
        return function
    return Measured(hook, function)


def plain(function: Any) -> Any:
    """Return a function without its timer."""
    if isinstance(function, Measured):
        return function.__wrapped__
    return function


def call(hook: str, path: str, run: Callable[[], Any]) -> Any:
    """Call a background function that the site keeps in the request, and measure it if asked."""
    if not _Process.is_on:
        return run()
    begun = time.perf_counter()
    try:
        return run()
    finally:
        reservoir_of(hook, path).add(time.perf_counter() - begun)


def reservoir_of(hook: str, path: str) -> Reservoir:
    """Return where the calls of a function for a hook are kept."""
    return _reservoirs.setdefault((hook, path), Reservoir())


# Recording ----------------------------------------------------------------------------------


def record(**kwargs: Any) -> None:
    """Record what was measured, if a minute is over; an error is logged once, and hurts nobody.

    It waits while a transaction is open: it would become part of it.
    """
    if time.monotonic() < _Process.next_at or not any(each.calls for each in _reservoirs.values()):
        return
    if not _recording.acquire(blocking=False):
        return  # another thread does it
    try:
        _record()
    except Exception:
        if not _Process.has_failed:
            logger.exception("How long functions of hooks took cannot be recorded.")
        _Process.has_failed = True
    finally:
        _recording.release()


def _record() -> None:
    # Not before: the ledger has models, and who decorates a function need not have the app.
    from wagtail_async_hooks import ledger

    connection = connections[ledger.database()]
    if connection.in_atomic_block:
        return
    _Process.next_at = time.monotonic() + INTERVAL
    measured = [
        ledger.HookTimes(hook, path, *taken)
        for (hook, path), each in list(_reservoirs.items())
        if (taken := each.take())[0]
    ]
    try:
        ledger.add_hook_samples(measured)
    finally:
        # Django has ended the request's connections already, and ends this one at the next
        # request only, which the thread may not have.
        connection.close_if_unusable_or_obsolete()
