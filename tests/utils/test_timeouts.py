"""Tests of timeouts: what takes too long is ended, and nothing else is ever interrupted."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction

from tests import limits
from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks.exceptions import TimedOut
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils import timeouts
from wagtail_async_hooks.utils.database.opened import is_any_in_atomic_block
from wagtail_async_hooks.utils.timeouts import limited

# Python ignores, and pytest tells of, an interruption of what tidies up after an object. The next
# one ends the function.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SOON = 0.2
"""Seconds: a timeout that is soon over, but not before the function has begun on a busy machine."""

in_a_call_that_waits = pytest.mark.skipif(
    sys.gettrace() is not None and sys.version_info < (3, 12),
    reason="Python 3.11 lets no traced thread call a function before an exception has arrived",
)


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Threads that take turns so often that limits end functions at any moment of theirs."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.00001)
    yield
    sys.setswitchinterval(interval)


def run_for_ever() -> None:
    """Never return."""
    while True:
        pass


def run_whatever_goes_wrong() -> None:
    """Never return, as a loop does that logs what goes wrong and goes on."""
    while True:
        try:
            run_for_ever()
        except Exception:
            continue


def test_limited__returns_what_the_function_returns() -> None:
    assert limited(lambda: 42, 60, "it") == 42


def test_limited__raises_what_the_function_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        limited(lambda: 1 / 0, 60, "it")


@pytest.mark.parametrize("function", [run_for_ever, run_whatever_goes_wrong])
def test_limited__ends_what_takes_longer(function: Callable[[], None]) -> None:
    with pytest.raises(TimedOut, match=r"^it took longer than its timeout of 0\.2 s$") as caught:
        limited(function, SOON, "it")
    where = caught.value.__cause__
    assert where is not None
    assert where.__traceback__ is not None  # says where it was
    assert isinstance(caught.value, TimeoutError)


def test_limited__tidies_up_on_the_way() -> None:
    done = []

    def function() -> None:
        try:
            run_for_ever()
        finally:
            done.append("tidied up")

    with pytest.raises(TimedOut):
        limited(function, SOON, "it")
    assert done == ["tidied up"]


def test_limited__what_waits_outside_of_python_ends_once_that_is_over() -> None:
    begun = time.monotonic()
    with pytest.raises(TimedOut):
        limited(lambda: time.sleep(2 * SOON), SOON, "it")
    assert time.monotonic() - begun >= 2 * SOON


def test_limited__once_more_if_it_was_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "AGAIN", SOON)
    swallowed = []

    def function() -> None:
        try:
            run_for_ever()
        except BaseException as error:
            swallowed.append(error)
        run_for_ever()

    with pytest.raises(TimedOut):
        limited(function, SOON, "it")
    assert len(swallowed) == 1


def test_limited__whatever_became_of_the_interruption() -> None:
    def fail_then() -> None:
        try:
            run_for_ever()
        except BaseException:
            raise ValueError("of a driver that was cut off") from None

    def return_then() -> str:
        try:
            run_for_ever()
        except BaseException:
            return "too late"
        return "never"

    for function in (fail_then, return_then):
        with pytest.raises(TimedOut):
            limited(function, SOON, "it")


@in_a_call_that_waits
def test_limited__says_what_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(timeouts, "AGAIN", SOON)
    gate = threading.Event()

    def open_once_it_is_logged() -> None:
        wait_until(lambda: caplog.messages, "it is logged")
        gate.set()

    opener = threading.Thread(target=open_once_it_is_logged)
    opener.start()
    with caplog.at_level(logging.WARNING), pytest.raises(TimedOut):
        limited(gate.wait, SOON, "the task")  # a lock, which cannot be interrupted
    opener.join()
    assert caplog.messages == [
        "the task goes on 0.2 s after its timeout of 0.2 s: it may wait in a call that cannot be "
        "interrupted."
    ]


def test_limited__interrupts_nothing_that_comes_after(often_switched: None) -> None:
    late = 0
    for number in range(200):
        seconds = 0.0002 + number % 20 * 0.0001
        end = time.monotonic() + 0.001
        try:
            limited(lambda end=end: _run_until(end), seconds, "it")  # type: ignore[misc]
        except TimedOut:
            late += 1
        _run_until(time.monotonic() + 0.0005)  # whatever is still to come would come here
    assert 0 < late < 200


_TRACED = """
import asyncio, sys, time
from wagtail_async_hooks.exceptions import TimedOut
from wagtail_async_hooks.utils.timeouts import awaited, limited

def run_for_ever():
    while True:
        pass

def result_of(function, seconds):
    try:
        return limited(function, seconds, "it")
    except TimedOut:
        return "late"

sys.settrace(lambda *told: None)
print(result_of(lambda: "done", 60), result_of(run_for_ever, 0.02))
print(result_of(lambda: asyncio.run(awaited(asyncio.sleep(0, "awaited"))), 60))
"""


@pytest.mark.slow
def test_limited__while_something_traces_it() -> None:
    """As a debugger does, or coverage: Python 3.11 hung where an interruption was taken back.

    In a process of its own, since it could not be ended otherwise.
    """
    run = subprocess.run(
        [sys.executable, "-c", _TRACED],
        check=True,
        capture_output=True,
        text=True,
        timeout=limits.TEST,
    )
    assert run.stdout.split() == ["done", "late", "awaited"]


def _run_until(moment: float) -> None:
    while time.monotonic() < moment:
        pass


def test_limited__coroutine_ends_where_it_awaits() -> None:
    async def wait() -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimedOut, match=r"timeout of 0\.2 s"):
        limited(lambda: async_to_sync(timeouts.awaited)(wait()), SOON, "it")


def test_limited__a_timeout_of_the_coroutine_itself_is_its_own() -> None:
    async def give_up() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own") as caught:
        limited(lambda: async_to_sync(timeouts.awaited)(give_up()), 60, "it")
    assert not isinstance(caught.value, TimedOut)


def test_limited__goes_on_to_watch_after_a_coroutine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "AGAIN", SOON)

    async def answer() -> int:
        return 42

    def function() -> None:
        assert async_to_sync(timeouts.awaited)(answer()) == 42
        run_for_ever()

    with pytest.raises(TimedOut):
        limited(function, 0.2, "it")


def test_limited__drops_connections_that_may_be_in_mid_sentence(committed_db: None) -> None:
    def function() -> None:
        with transaction.atomic():
            BackgroundTask.objects.count()
            run_for_ever()

    with pytest.raises(TimedOut):
        limited(function, SOON, "it")
    assert connection.connection is None
    assert BackgroundTask.objects.count() == 0


def test_limited__in_the_middle_of_queries(
    committed_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "AGAIN", 0.5)

    def ask_on_and_on() -> None:
        while True:
            with transaction.atomic():
                BackgroundTask.objects.count()

    for number in range(50):
        with pytest.raises(TimedOut):
            limited(ask_on_and_on, 0.005 + number * 0.0001, "it")
        assert BackgroundTask.objects.count() == 0
        assert not connection.in_atomic_block


def test_limited__an_interrupted_commit_leaves_no_transaction_open(
    committed_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def function() -> None:
        block = transaction.atomic()
        block.__enter__()  # and nothing leaves it, as if that had been interrupted
        BackgroundTask.objects.count()
        run_for_ever()

    with pytest.raises(TimedOut):
        limited(function, SOON, "it")
    assert not connection.in_atomic_block
    assert BackgroundTask.objects.count() == 0
    assert not is_any_in_atomic_block()  # the connection that was dropped is forgotten


@pytest.mark.django_db
def test_limited__keeps_the_transaction_within_which_it_was_called() -> None:
    with pytest.raises(TimedOut):
        limited(run_for_ever, SOON, "it")
    assert connection.in_atomic_block
    assert BackgroundTask.objects.count() == 0


# In a worker --------------------------------------------------------------------------------


@pytest.mark.slow
def test_worker__ends_what_is_stuck_and_takes_the_next(
    backend: dict[str, str], start: Callable[..., Process], trace_file: Any
) -> None:
    path = str(trace_file)
    for how in ("loop", "sleep", "queries"):
        tasks.get_stuck(path, how, timeout=0.5)
    tasks.wait_long(path, timeout=0.5)
    tasks.trace(path, "next")
    worker = start("wagtail_worker", "--threads", "1", **backend)
    wait_until(lambda: "next" in trace_file.read_text(), "the thread is free again")
    rows = BackgroundTask.objects.exclude(name__endswith=".trace").order_by("pk")
    assert rows.count() == 4
    running = rows.filter(state=State.RUNNING)  # the coroutine, which keeps no thread
    wait_until(lambda: not running.exists(), "all have ended")
    assert set(rows.values_list("state", "error", "error_type")) == {
        (
            State.FAILED,
            "it took longer than its timeout of 0.5 s",
            "wagtail_async_hooks.exceptions.TimedOut",
        )
    }
    assert "in get_stuck" in rows[0].traceback
    worker.stop()


@in_a_call_that_waits
@pytest.mark.slow
def test_worker__hands_back_what_cannot_be_interrupted_when_it_stops(
    start: Callable[..., Process], trace_file: Any
) -> None:
    tasks.get_stuck(str(trace_file), "call", timeout=0.5)
    worker = start("wagtail_worker")
    wait_until(lambda: "call" in trace_file.read_text(), "it has begun")
    worker.send(signal.SIGTERM)
    worker.wait_for("is stopping")
    worker.send(signal.SIGTERM)  # do not wait for it
    worker.wait()
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.error) == (State.WAITING, 1, "")


def test_awaited__what_asyncio_has_ended_is_not_interrupted_besides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even by a watchdog that comes late: the error's traceback is being formatted then."""
    watch, interrupt = timeouts._Limit._watch, timeouts._Limit._interrupt
    ended, came = threading.Event(), threading.Event()

    def come_late(limit: timeouts._Limit) -> None:
        ended.wait()
        watch(limit)

    def come(limit: timeouts._Limit, **options: Any) -> bool:
        goes_on = interrupt(limit, **options)
        came.set()
        return goes_on

    def work() -> str:
        with pytest.raises(TimedOut):
            asyncio.run(timeouts.awaited(asyncio.sleep(60)))
        ended.set()
        wait_until(came.is_set, "the watchdog has come")
        return "tidied up"

    monkeypatch.setattr(timeouts._Limit, "_watch", come_late)
    monkeypatch.setattr(timeouts._Limit, "_interrupt", come)
    assert timeouts.limited(work, 0.05, "a test") == "tidied up"
