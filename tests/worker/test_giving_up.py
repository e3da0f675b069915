"""A worker that is not heard of gives up what nobody else may run beside it, before others may."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from tests.limits import PATIENCE
from tests.processes import wait_until
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.exceptions import GivenUp
from wagtail_async_hooks.ledger.workers import HEARTBEAT_TIMEOUT
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils import timeouts
from wagtail_async_hooks.worker import identity

pytestmark = pytest.mark.slow

begun, ended = threading.Event(), threading.Event()


def until_ended(number: int) -> None:
    begun.set()
    while not ended.wait(0.01):
        pass


@background.task(exclusive="{number}")
def alone(number: int) -> None:
    until_ended(number)


@background.task(exclusive="{number}", timeout=60, retries=3)
def alone_in_time(number: int) -> None:
    until_ended(number)


@background.task(exclusive="{number}")
async def alone_waiting(number: int) -> None:
    begun.set()
    while not ended.is_set():
        await asyncio.sleep(60)


@background.task()
def beside_others(number: int) -> None:
    until_ended(number)


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    begun.clear()
    ended.clear()
    yield
    ended.set()


def run_in_thread() -> threading.Thread:
    """Run what waits in a thread of its own, and return once it has begun."""

    def run() -> None:
        task = background.next()
        assert task is not None
        background.execute(task)
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(PATIENCE)
    return thread


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize("task", [alone, alone_in_time, alone_waiting])
def test_give_up__what_has_an_exclusive_key_waits_again(
    task: Callable[[int], Any], caplog: pytest.LogCaptureFixture
) -> None:
    task(1)
    thread = run_in_thread()
    wait_until(lambda: not give_up(thread), "it is interrupted")
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.deaths, row.traceback) == (State.WAITING, 1, 0, "")
    assert "its worker could not be heard of" in row.error
    assert caplog.text.count("others are about to take over what it holds") == 1


def give_up(thread: threading.Thread) -> bool:
    background.claims.give_up(16.0)
    return thread.is_alive()


@pytest.mark.usefixtures("committed_db")
def test_give_up__what_others_may_run_beside_goes_on() -> None:
    beside_others(1)
    thread = run_in_thread()
    background.claims.give_up(16.0)
    time.sleep(0.1)
    assert thread.is_alive()
    ended.set()
    thread.join(PATIENCE)
    assert BackgroundTask.objects.get().state == State.SUCCEEDED


def test_revoke__ends_with_the_call() -> None:
    assert timeouts.limited(lambda: 7, None, "a call", revocable=True) == 7
    assert timeouts.revoke() == 0


def test_revoke__is_told_from_a_timeout() -> None:
    def call() -> None:
        begun.set()
        until_ended(1)

    found: list[BaseException] = []

    def run() -> None:
        try:
            timeouts.limited(call, 60, "a call", revocable=True)
        except GivenUp as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(PATIENCE)
    wait_until(lambda: not (timeouts.revoke() and thread.is_alive()), "it is interrupted")
    thread.join(PATIENCE)
    assert len(found) == 1


@pytest.mark.django_db
def test_registration__is_overdue_before_others_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ledger.register_worker(Worker(host="here", pid=1, threads=1, release="1"))
    known = identity.Registration(row, background)
    assert not known.is_overdue()
    now = time.monotonic()
    monkeypatch.setattr(identity.time, "monotonic", lambda: now + HEARTBEAT_TIMEOUT * 0.8)
    assert known.is_overdue()
    known.beat()
    assert not known.is_overdue()
