"""What a worker does around a task's function: guards of its processor time, without a clock."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from django.db import connection

from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.queue import connection_guard

TASKS = 20

MOST_CALLS = {"sqlite": 310, "postgresql": 340}
"""Functions written in Python that are called for a task that does nothing, with some to spare."""


@pytest.mark.skipif(connection.vendor not in MOST_CALLS, reason="by Django's cursor here")
def test_a_task__costs_few_calls_of_functions(
    committed_db: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, logger="huey")
    monkeypatch.setattr(connection, "close_at", None)  # a worker's connections stay open
    background.enqueue_many(tasks.add.s(1, 2) for _ in range(2 * TASKS))
    _run(TASKS)  # what is made once is made by now

    calls = _calls(lambda: _run(TASKS)) / TASKS

    background.settle()
    assert calls <= MOST_CALLS[connection.vendor]


def _run(number: int) -> None:
    """Claim and run so many tasks, as a worker's thread does."""
    for _ in range(number):
        task = background.next()
        assert task is not None
        connection_guard.tidy()
        background.attempt(task)
        connection_guard.tidy()


def _calls(call: Callable[[], Any]) -> int:
    calls = 0

    def count(frame: FrameType, event: str, given: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls
