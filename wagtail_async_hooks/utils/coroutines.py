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
from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation
from wagtail.log_actions import activate, get_active_log_context

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
    # Context variables are copied; what Django and Wagtail keep is each thread's own, all the same.
    surroundings: list[Callable[[], None]] = [
        partial(_activate_language, translation.get_language()),
        partial(timezone.activate, timezone.get_current_timezone()),
        partial(set_script_prefix, get_script_prefix()),
        partial(set_urlconf, get_urlconf()),
        partial(activate, get_active_log_context()),
    ]
    call = partial(copy_context().run, _call_and_disconnect, function, surroundings)
    with ThreadPoolExecutor(1, "wagtail_async_hooks") as thread:
        return thread.submit(call).result()


def _activate_language(language: str | None) -> None:
    if language is None:
        translation.deactivate_all()
    else:
        translation.activate(language)


def _call_and_disconnect(function: Callable[[], T], surroundings: list[Callable[[], None]]) -> T:
    try:
        for each in surroundings:
            each()
        return function()
    finally:
        connections.close_all()  # those of this thread
