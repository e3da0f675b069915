"""Calls from within a coroutine, where Django allows no statements in the thread of the loop.

asgiref has no such call: ``sync_to_async()`` has to be awaited, which code that is not ``async``
cannot do, and ``async_to_sync()`` refuses to run in the thread of a loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from django.db import connections

from wagtail_async_hooks.utils import surroundings

T = TypeVar("T")


def refuses_statements() -> bool:
    """Return whether Django refuses statements here, because an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")


def call_beside(function: Callable[[], T]) -> T:
    """Call a function in a thread of its own, with the same surroundings; wait for its end.

    Nothing is lost by another connection: the thread of an event loop has no transaction open.

    :raises BaseException: what the function raises.
    """
    call = partial(copy_context().run, _call_and_disconnect, function, surroundings.taken())
    with ThreadPoolExecutor(1, "wagtail_async_hooks") as thread:
        return thread.submit(call).result()


def _call_and_disconnect(function: Callable[[], T], enter: Callable[[], None]) -> T:
    try:
        enter()
        return function()
    finally:
        connections.close_all()  # those of this thread
