"""Waiting for a coroutine in code that is not ``async``: there, or where its thread is not kept.

asgiref's ``async_to_sync()`` keeps the thread and makes an event loop for each call. A worker that
runs many coroutines at once gives the code that calls them a place, where it is parked until what
it waits for has ended.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

from asgiref.sync import async_to_sync

from wagtail_async_hooks.utils import surroundings, timeouts

Park = Callable[[Awaitable[Any], contextvars.Context], Any]
"""Awaits something in a context, while its thread does something else; returns its value, or raises
its error."""

_park: Final[ContextVar[Park | None]] = ContextVar("park", default=None)


def give(park: Park | None) -> None:
    """Have what is awaited in this context parked; or not, with ``None``."""
    _park.set(park)


def is_parkable() -> bool:
    """Return whether code that waits here keeps no thread."""
    return _park.get() is not None


def wait_for(answer: Awaitable[Any]) -> Any:
    """Wait for something that a function has returned; return its value.

    :raises TimedOut: if it took longer than the task may.
    :raises GivenUp: if the task was revoked.
    """
    park = _park.get()
    if park is None:
        return async_to_sync(timeouts.awaited)(answer)
    context = contextvars.copy_context()
    context.run(give, None)  # it goes on in other threads, which cannot be parked there
    with timeouts.elsewhere(_surrounded(answer, surroundings.taken())) as bounded:
        return park(bounded, context)


async def _surrounded(answer: Awaitable[Any], enter: Callable[[], None]) -> Any:
    enter()
    return await answer
