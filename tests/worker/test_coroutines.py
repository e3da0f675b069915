"""Coroutine functions of one worker, side by side in an event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction
from django.dispatch import Signal
from django.utils import translation

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import background, background_task, hooks, ledger, receiver, signals
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.models import Worker as WorkerRow
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker.worker import Worker

pytestmark = pytest.mark.slow

here: list[Any] = []
"""What the functions below have seen."""

gate = threading.Event()
paid = Signal()


@pytest.fixture(autouse=True)
def nothing_seen(committed_db: None) -> Iterator[None]:
    """Forget what was seen, and let all that wait for the gate go on in the end."""
    here.clear()
    gate.clear()
    yield
    gate.set()
    Group.objects.filter(name__startswith="loop").delete()


@contextmanager
def working(**options: Any) -> Iterator[Worker]:
    """Have a worker run what waits; what is not over in the end is let through the gate."""
    worker = Worker(background, **{"threads": 1, "coroutines": 20, **options})
    worker.prepare()
    worker.start()
    try:
        yield worker
    finally:
        gate.set()
        worker.stop()
        wait_until(lambda: not worker.is_alive(), "the worker has ended")
        wait_until(lambda: not worker.scheduler.is_alive(), "its maintenance, too")


def is_over() -> bool:
    return not BackgroundTask.objects.filter(
        state__in=[State.WAITING, State.RUNNING, State.SCHEDULED]
    ).exists()


def count(state: State) -> int:
    return BackgroundTask.objects.filter(state=state).count()


async def pass_gate() -> None:
    while not gate.is_set():
        await asyncio.sleep(0.01)


@background.task()
async def wait(number: int) -> int:
    here.append(number)
    await pass_gate()
    return number


@background.task()
def be_quick() -> str:
    return threading.current_thread().name


@background.task(timeout=0.2, retries=0)
async def take_long() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        here.append("cleaned up")


@background.task(timeout=60)
async def be_in_time(number: int) -> None:
    here.append({each.name for each in threading.enumerate()})
    await pass_gate()


@background.task()
async def fail_later() -> None:
    await asyncio.sleep(0)
    raise LookupError("nothing there")


@background.task()
async def exit_later(kind: str) -> None:
    await asyncio.sleep(0)
    raise {"exit": SystemExit, "cancel": asyncio.CancelledError, "ctrl-c": KeyboardInterrupt}[kind]


@background.task()
async def write(name: str) -> int:
    group = await Group.objects.acreate(name=name)
    here.append((threading.current_thread().name, await sync_to_async(connection_of)()))
    await asyncio.sleep(0)
    return int(group.pk)


def connection_of() -> tuple[str, Any]:
    connection.ensure_connection()
    return threading.current_thread().name, connection.connection


@background.task()
async def leave_open() -> None:
    await sync_to_async(begin)()


def begin() -> None:
    transaction.atomic().__enter__()
    Group.objects.create(name="loop lost")


@background.task()
async def block() -> None:
    here.append("blocks")
    gate.wait()  # not async


@background.task()
async def begin_another() -> None:
    async def go_on() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            here.append("cancelled")

    begin_another.kept = asyncio.create_task(go_on())  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)


@background.task()
async def stop_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)


@background.task()
async def count_in_thread() -> int:
    number = await asyncio.to_thread(Group.objects.filter(name__startswith="loop").count)
    here.append(await asyncio.to_thread(lambda: connection.connection is None))
    return number


# Side by side -------------------------------------------------------------------------------


def test_coroutines__run_side_by_side_beside_the_thread() -> None:
    for number in range(20):
        wait(number)
    quick = be_quick()
    with working():
        wait_until(lambda: len(here) == 20, "all have begun")
        wait_until(quick.is_ready, "the thread is free")
        assert quick.get() == "Worker-1"
        assert BackgroundTask.objects.filter(state=State.RUNNING).count() == 20
        gate.set()
        wait_until(is_over, "all have ended")
    assert set(BackgroundTask.objects.values_list("state", flat=True)) == {State.SUCCEEDED}
    assert sorted(here) == list(range(20))


def test_coroutines__beyond_the_limit_wait_for_their_turn() -> None:
    for number in range(8):
        wait(number)
    with working(threads=2, coroutines=3):
        wait_until(lambda: count(State.RUNNING) == 5, "each thread has claimed one more")
        wait_until(lambda: len(here) == 3, "as many have begun as there are places")
        gate.set()
        wait_until(is_over, "all have ended")
    assert sorted(here) == list(range(8))


@pytest.mark.parametrize("meanwhile", ["cancelled", "taken over"])
def test_coroutines__what_has_waited_is_asked_for_again(
    meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wagtail_async_hooks.worker.coroutines.LONG_WAIT", 0.0)
    results = [wait(number) for number in range(2)]
    with working(threads=1, coroutines=1):
        wait_until(lambda: here and count(State.RUNNING) == 2, "the thread has claimed one more")
        [number] = {0, 1} - set(here)
        waiting = BackgroundTask.objects.filter(task_id=results[number].id)
        if meanwhile == "cancelled":
            control.cancel(waiting)
        else:
            waiting.update(attempt=2, worker=None)
        gate.set()
        wait_until(lambda: count(State.RUNNING) == (meanwhile != "cancelled"), "all have ended")
    assert len(here) == 1
    assert waiting.get().state == (State.CANCELLED if meanwhile == "cancelled" else State.RUNNING)


def test_coroutines__ends_are_recorded_with_the_next_claim() -> None:
    recorded_by: set[str] = set()

    def note(sender: Any, **kwargs: Any) -> None:
        recorded_by.add(threading.current_thread().name)

    def look() -> bool:
        wait(0)
        wait(1)
        return "Worker-1" in recorded_by

    gate.set()
    with signals.succeeded.connected_to(note), working(threads=1, coroutines=1):
        wait_until(look, "the thread that waited for a place has recorded an end")
        wait_until(is_over, "all have ended")
    assert count(State.SUCCEEDED) == len(here)


def test_coroutines__none_keep_their_threads() -> None:
    for number in range(3):
        wait(number)
    with working(threads=2, coroutines=0):
        wait_until(lambda: len(here) == 2, "two have begun")
        assert "EventLoop" not in {thread.name for thread in threading.enumerate()}
        gate.set()
        wait_until(is_over, "all have ended")


def test_coroutines__results_and_retries() -> None:
    results = [wait(number) for number in range(3)]
    failed = fail_later()
    gate.set()
    with working():
        wait_until(is_over, "all have ended")
    assert [result.get() for result in results] == [0, 1, 2]
    row = BackgroundTask.objects.get(task_id=failed.id)
    assert (row.state, row.error) == (State.FAILED, "nothing there")
    assert "fail_later" in row.traceback


@pytest.mark.parametrize("kind", ["exit", "cancel", "ctrl-c"])
def test_coroutines__what_is_no_exception_fails_its_task_alone(kind: str) -> None:
    bad = exit_later(kind)
    gate.set()
    with working():
        wait_until(is_over, "it has ended")
        wait(1)
        wait_until(is_over, "others go on")
    states = dict(BackgroundTask.objects.values_list("task_id", "state"))
    assert states.pop(bad.id) == State.FAILED
    assert list(states.values()) == [State.SUCCEEDED]


@receiver(paid, background=True)
async def tell(sender: Any, number: int, **kwargs: Any) -> None:
    before = (background_task.pk, translation.get_language())
    await pass_gate()
    here.append((number, before == (background_task.pk, translation.get_language()), before[1]))


def test_coroutines__each_has_its_own_context() -> None:
    for number, language in enumerate(["de", "fr", "en"]):
        with translation.override(language):
            paid.send(Group, number=number)
    with working():
        running = BackgroundTask.objects.filter(state=State.RUNNING)
        wait_until(lambda: running.count() == 3, "all have begun")
        gate.set()
        wait_until(is_over, "all have ended")
    assert sorted(here) == [(0, True, "de"), (1, True, "fr"), (2, True, "en")]


def test_coroutines__what_one_has_begun_ends_with_it() -> None:
    begin_another()
    with working():
        wait_until(is_over, "it has ended")
    assert here == ["cancelled"]
    assert BackgroundTask.objects.get().state == State.SUCCEEDED


def test_coroutines__none_stops_the_loop() -> None:
    stop_loop()
    wait(1)
    gate.set()
    with working():
        wait_until(is_over, "all have ended")
    assert set(BackgroundTask.objects.values_list("state", flat=True)) == {State.SUCCEEDED}


# Time ---------------------------------------------------------------------------------------


def test_timeout__ends_the_coroutine_and_no_other() -> None:
    late = take_long()
    wait(1)
    with working():
        wait_until(late.is_ready, "it has ended")
        assert BackgroundTask.objects.get(task_id=late.id).error.startswith("it took longer than")
        gate.set()
        wait_until(is_over, "the other one has ended")
    assert "cleaned up" in here
    assert BackgroundTask.objects.filter(state=State.SUCCEEDED).count() == 1


def test_timeout__takes_no_thread() -> None:
    be_in_time(1)
    be_in_time(2)
    with working():
        wait_until(lambda: len(here) == 2, "both have begun")
        gate.set()
        wait_until(is_over, "both have ended")
    assert not any("timeout" in names for names in here)


# The database -------------------------------------------------------------------------------


def test_database__a_few_threads_keep_their_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    # As in a process that is nothing but a worker.
    monkeypatch.setitem(connections.settings[ledger.database()], "CONN_MAX_AGE", None)
    for number in range(12):
        write(f"loop {number}")
    with working(threads=2):
        wait_until(is_over, "all have ended")
    assert Group.objects.filter(name__startswith="loop").count() == 12
    assert {loop for loop, _ in here} == {"EventLoop"}
    assert len({statement for _, statement in here}) == 2


def test_database__a_transaction_left_open_is_undone_and_fails_the_task() -> None:
    left = leave_open()
    with working(threads=1):
        wait_until(is_over, "it has ended")
        write("loop kept")
        wait_until(is_over, "another one has ended")
    row = BackgroundTask.objects.get(task_id=left.id)
    assert (row.state, row.error_type.rpartition(".")[2]) == (State.FAILED, "TransactionLeftOpen")
    assert list(Group.objects.filter(name__startswith="loop").values_list("name", flat=True)) == [
        "loop kept"
    ]


def test_database__other_threads_keep_no_connections() -> None:
    counted = count_in_thread()
    with working():
        wait_until(is_over, "it has ended")
    assert counted.get() == 0
    assert here == [True]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="its connections can be ended")
def test_database__connections_that_end_meanwhile() -> None:
    with working(threads=2):
        write("loop 1")
        wait_until(is_over, "connections are there")
        wait(1)
        wait_until(lambda: 1 in here, "one runs")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        gate.set()
        wait_until(is_over, "its end is recorded")
        write("loop 2")
        wait_until(is_over, "statements work again")
    assert set(BackgroundTask.objects.values_list("state", flat=True)) == {State.SUCCEEDED}
    assert Group.objects.filter(name__startswith="loop").count() == 2


# Hooks --------------------------------------------------------------------------------------


async def notify(page: Any) -> None:
    here.append((threading.current_thread().name, page))


def test_hook__runs_in_the_loop(settings: Any) -> None:
    own = {"order_paid": {"arguments": ["page"]}}
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": own}
    from wagtail import hooks as wagtail_hooks

    with hooks.register_temporarily("order_paid", notify, background=True):
        for function in wagtail_hooks.get_hooks("order_paid"):
            function("9")
        with working():
            wait_until(is_over, "it has ended")
    assert here == [("EventLoop", "9")]


# The end ------------------------------------------------------------------------------------


def test_stop__waits_for_coroutines() -> None:
    wait(1)
    with working(shutdown_timeout=3600) as worker:
        wait_until(lambda: here, "it has begun")

        def stop() -> None:
            worker.stop()
            connections.close_all()

        stopping = threading.Thread(target=stop)
        stopping.start()
        wait_until(worker.stop_flag.is_set, "the worker is stopping")
        assert BackgroundTask.objects.get().state == State.RUNNING
        gate.set()
        stopping.join()
    assert BackgroundTask.objects.get().state == State.SUCCEEDED


def test_stop__puts_back_what_waits_for_its_turn() -> None:
    for number in range(2):
        wait(number)
    with working(threads=1, coroutines=1, shutdown_timeout=3600) as worker:
        wait_until(lambda: here and count(State.RUNNING) == 2, "the thread has claimed one more")
        worker.claim_no_more()
        wait_until(lambda: count(State.WAITING) == 1, "it has put that back")
    row = BackgroundTask.objects.get(state=State.WAITING)
    assert (row.deaths, here) == (0, [0])
    assert count(State.SUCCEEDED) == 1


def test_stop__hands_back_what_has_not_ended() -> None:
    wait(1)
    with working(shutdown_timeout=0.1) as worker:
        wait_until(lambda: here, "it has begun")
        worker.stop()
        row = BackgroundTask.objects.get()
        assert (row.state, row.deaths) == (State.WAITING, 0)
        assert worker.is_alive()
    assert BackgroundTask.objects.get().state == State.WAITING  # its end does not count
    assert WorkerRow.objects.get().stopped_at is not None


def test_retire__goes_on_with_coroutines_alone() -> None:
    wait(1)
    with working() as worker:
        wait_until(lambda: here, "it has begun")
        worker.retire()
        wait(2)
        assert not worker.activity.is_over()
        gate.set()
        wait_until(worker.activity.is_over, "it has ended")
        assert here == [1]


# A coroutine that blocks --------------------------------------------------------------------


@pytest.mark.parametrize("coroutines", [20, 1], ids=["room", "no room"])
def test_block__is_told_and_others_run_in_threads(
    coroutines: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wagtail_async_hooks.worker.event_loop.UNRESPONSIVE", 0.5)
    block()
    with working(threads=1, coroutines=coroutines):
        wait_until(lambda: here, "it blocks")
        wait_until(lambda: "keeps all other coroutines" in caplog.text, "that is told")
        assert "tests.worker.test_coroutines.block" in caplog.text
        wait(1)
        wait_until(lambda: len(here) == 2, "another one runs in the thread")
        gate.set()
        wait_until(is_over, "both have ended")
        write("loop after")
        wait_until(is_over, "the loop answers again")
        wait_until(lambda: len(here) == 3, "it has written")
    assert here[-1][0] == "EventLoop"
    assert [each.levelno for each in caplog.records].count(logging.WARNING) == 1


def test_start__where_the_system_has_no_room(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(threads: int) -> None:
        raise OSError("Too many open files")

    monkeypatch.setattr("wagtail_async_hooks.worker.coroutines.EventLoop", fail)
    wait(1)
    gate.set()
    with working():
        wait_until(is_over, "a thread has run it")
    assert BackgroundTask.objects.get().state == State.SUCCEEDED
    assert "No event loop can be started" in caplog.text


def test_task__that_cannot_tell_is_left_to_a_thread() -> None:
    def cannot_tell(task: Any) -> bool:
        raise SyntaxError("in a module that is imported for it")

    gate.set()
    wait(1)
    with working():
        kind = next(each for each in background.task_classes() if each.__name__ == "wait")
        before = kind.definition
        kind.definition = replace(before, is_coroutine=cannot_tell)
        try:
            wait(2)
            wait_until(is_over, "both have ended")
        finally:
            kind.definition = before
    assert sorted(here) == [1, 2]


def test_idle__no_thread_is_started_without_coroutines() -> None:
    quick = be_quick()
    with working():
        wait_until(quick.is_ready, "it has run")
        names = {thread.name for thread in threading.enumerate()}
        assert not names & {"Coroutines", "EventLoop"}


# Processes ----------------------------------------------------------------------------------


def words(trace_file: Path) -> list[list[str]]:
    return [line.split() for line in trace_file.read_text().splitlines()]


def test_drain__waits_for_coroutines(
    start: Callable[..., Process], backend: dict[str, str], trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    for _ in range(6):
        tasks.await_gate(str(trace_file), str(gate))
    worker = start("wagtail_worker", "--drain", "--threads=1", "--coroutines=5", **backend)
    wait_until(lambda: len(words(trace_file)) == 5, "as many have begun as there are places")
    gate.touch()
    assert worker.wait() == 0
    assert is_over()
    threads = [thread for state, _, thread in words(trace_file) if state == "began"]
    assert threads == ["EventLoop"] * 6


def test_kill__what_the_loop_ran_is_rescued(
    start: Callable[..., Process], trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    for _ in range(3):
        tasks.await_gate(str(trace_file), str(gate))
    worker = start("wagtail_worker", "--threads=1")
    wait_until(lambda: len(words(trace_file)) == 3, "all have begun")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    gate.touch()
    assert start("wagtail_worker", "--drain").wait() == 0
    assert [state for state, _, _ in words(trace_file)].count("ended") == 3
    assert set(BackgroundTask.objects.values_list("state", "attempt", "deaths")) == {
        (State.SUCCEEDED, 2, 1)
    }


def test_second_signal__hands_back_what_the_loop_runs(
    start: Callable[..., Process], trace_file: Path, tmp_path: Path
) -> None:
    for _ in range(3):
        tasks.await_gate(str(trace_file), str(tmp_path / "gate"))
    worker = start("wagtail_worker", "--threads=1", TEST_WORKER='{"shutdown_timeout": 3600}')
    wait_until(lambda: len(words(trace_file)) == 3, "all have begun")
    worker.send(signal.SIGTERM)
    worker.wait_for("is stopping")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert set(BackgroundTask.objects.values_list("state", "deaths")) == {(State.WAITING, 0)}


def test_settings__no_coroutines(
    start: Callable[..., Process], trace_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    tasks.await_gate(str(trace_file), str(tmp_path / "gate"))
    worker = start("wagtail_worker", "--drain", TEST_WORKER='{"coroutines": 0}')
    assert worker.wait() == 0
    assert "EventLoop" not in {thread for _, _, thread in words(trace_file)}


def test_option__is_a_number(start: Callable[..., Process]) -> None:
    worker = start("wagtail_worker", "--coroutines=-1")
    assert worker.wait() == 2
    assert "--coroutines" in worker.said()
