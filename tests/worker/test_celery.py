"""Celery's workers as the engine: real ones, with real brokers, which die and are emptied."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from tests.faults.servers import Redis
from tests.processes import Process, wait_until
from tests.work import celery_app, tasks
from tests.worker.celery_processes import Broker
from wagtail_async_hooks import background, pausing
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.storage.celery import TASK
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.slow

Start = Callable[..., Process]


@pytest.fixture(params=["rabbitmq", "redis"])
def broker(request: pytest.FixtureRequest, committed_db: None, settings: Any) -> Iterator[Broker]:
    """A queue of each broker, to which the site's settings lead."""
    found = Broker.answering(request.param)
    settings.WAGTAIL_TASKS = found.setting
    yield found
    found.delete()


@pytest.fixture
def start(broker: Broker, tmp_path: Path) -> Iterator[Start]:
    """Start Celery workers; they are ended after the test."""
    processes: list[Process] = []
    numbers = count(1)

    def start(*options: str, **environment: str) -> Process:
        output = tmp_path / f"celery-{next(numbers)}.txt"
        processes.append(broker.worker(output, *options, **environment))
        return processes[-1]

    yield start
    for process in processes:
        process.stop()


def lines(path: Path) -> list[list[str]]:
    """Return the words of each trace."""
    return [line.split() for line in path.read_text().splitlines()]


def succeeded(number: int = 1) -> Callable[[], bool]:
    """Return what tells whether so many tasks have succeeded."""
    return lambda: BackgroundTask.objects.filter(state=State.SUCCEEDED).count() == number


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_pool__runs_what_is_committed(start: Start, trace_file: Path, pool: str) -> None:
    worker = start("--pool", pool, "--concurrency", "2")
    tasks.trace(str(trace_file), "x")
    wait_until(succeeded(), "the task has run")
    row = BackgroundTask.objects.get()
    ran_by = Worker.objects.get(pk=row.worker_id)
    assert str(ran_by.pid) == lines(trace_file)[0][1]
    assert (ran_by.pid == worker.pid) is (pool != "prefork")
    worker.stop()
    if pool != "prefork":  # whose processes Celery does not always tell of their end
        assert not Worker.objects.filter(stopped_at=None).exists()


def test_many__each_exactly_once_by_two_processes(start: Start, trace_file: Path) -> None:
    start("--concurrency", "2")
    start("--concurrency", "1")
    for number in range(100):
        tasks.trace(str(trace_file), number)
    background.enqueue_many([tasks.trace.s(str(trace_file), n) for n in range(100, 300)])
    wait_until(succeeded(300), "all have run")
    assert sorted(int(words[0]) for words in lines(trace_file)) == list(range(300))
    assert set(BackgroundTask.objects.values_list("attempt", flat=True)) == {1}


def test_child_killed__its_task_runs_in_another_process(
    start: Start, trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    start("--concurrency", "1")
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: lines(trace_file), "the task has begun")
    victim = int(lines(trace_file)[0][1])
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(lines(trace_file)) == 2, "the task has begun again")
    gate.touch()
    wait_until(succeeded(), "it succeeded")
    row = BackgroundTask.objects.get()
    assert (row.attempt, row.deaths) == (2, 1)


def test_main_process_killed__its_tasks_run_after_a_restart(
    start: Start, trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = start("--concurrency", "2")
    for _ in range(3):
        tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: len(lines(trace_file)) == 2, "two tasks have begun")
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    gate.touch()
    start("--concurrency", "2")
    wait_until(succeeded(3), "all have run")
    assert sum(BackgroundTask.objects.values_list("deaths", flat=True)) == 2


def test_emptied__what_waits_runs_nevertheless(
    broker: Broker, start: Start, trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    start("--concurrency", "1", "--prefetch-multiplier", "1")
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: lines(trace_file), "the task has begun")
    for number in range(20):
        tasks.trace(str(trace_file), number)
    broker.purge()
    gate.touch()
    wait_until(succeeded(21), "all have run")


def test_emptied__without_a_worker(broker: Broker, start: Start, trace_file: Path) -> None:
    background.enqueue_many([tasks.trace.s(str(trace_file), n) for n in range(20)])
    assert broker.size() == 20
    broker.purge()
    start("--concurrency", "2")
    wait_until(succeeded(20), "all have run")


def test_broker_down__the_task_is_enqueued_and_runs_later(
    broker: Broker, start: Start, trace_file: Path, settings: Any, caplog: Any
) -> None:
    settings.WAGTAIL_TASKS = Broker("nobody", broker.queue).setting
    for number in range(3):
        tasks.trace(str(trace_file), number)
    assert caplog.text.count("Celery's broker cannot be reached") == 1
    assert BackgroundTask.objects.filter(state=State.WAITING).count() == 3
    start("--concurrency", "1")
    wait_until(succeeded(3), "all have run")


def test_rollback__nothing_is_sent(broker: Broker, trace_file: Path) -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        tasks.trace(str(trace_file), "x")
        raise ZeroDivisionError
    assert not BackgroundTask.objects.exists()
    with transaction.atomic():
        tasks.trace(str(trace_file), "y")
        assert broker.size() == 0
    assert broker.size() == 1


def test_schedule__what_is_due_runs(start: Start, trace_file: Path) -> None:
    tasks.trace.schedule(args=(str(trace_file), "later"), delay=2)
    assert BackgroundTask.objects.get().state == State.SCHEDULED
    start("--concurrency", "1")
    wait_until(succeeded(), "it has run")


def test_priorities__are_the_ledgers(
    broker: Broker, start: Start, trace_file: Path, tmp_path: Path
) -> None:
    for priority in (1, 3, 2):
        background.enqueue(tasks.trace.s(str(trace_file), priority, priority=priority))
    start("--pool", "solo")
    wait_until(succeeded(3), "all have run")
    assert [words[0] for words in lines(trace_file)] == ["3", "2", "1"]


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_warm_shutdown__waits_for_what_runs(
    start: Start, trace_file: Path, tmp_path: Path, pool: str
) -> None:
    gate = tmp_path / "gate"
    worker = start("--pool", pool, "--concurrency", "1")
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: lines(trace_file), "the task has begun")
    worker.send(signal.SIGTERM)
    worker.wait_for("Warm shutdown")
    gate.touch()
    assert worker.wait() == 0
    assert [words[0] for words in lines(trace_file)] == ["began", "ended"]
    assert BackgroundTask.objects.get().state == State.SUCCEEDED
    assert not Worker.objects.filter(stopped_at=None).exists()


def test_cold_shutdown__hands_back(start: Start, trace_file: Path, tmp_path: Path) -> None:
    worker = start("--concurrency", "1")
    tasks.wait_for(str(trace_file), str(tmp_path / "gate"))
    wait_until(lambda: lines(trace_file), "the task has begun")
    worker.send(signal.SIGQUIT)
    worker.wait()
    row = BackgroundTask.objects.get()
    assert (row.state, row.deaths, row.error) == (State.WAITING, 0, "")
    assert not Worker.objects.filter(stopped_at=None).exists()


def test_time_limit__of_celery_is_a_death(start: Start, trace_file: Path, tmp_path: Path) -> None:
    start("--concurrency", "1", "--time-limit", "1")
    tasks.wait_for(str(trace_file), str(tmp_path / "gate"))
    failed = BackgroundTask.objects.filter(state=State.FAILED)
    wait_until(failed.exists, "it has failed")
    assert failed.get().error == "its worker died 3 times"
    assert len(lines(trace_file)) == 3


def test_soft_time_limit__of_celery_is_an_error(
    start: Start, trace_file: Path, tmp_path: Path
) -> None:
    start("--concurrency", "1", "--soft-time-limit", "1")
    tasks.wait_for(str(trace_file), str(tmp_path / "gate"))
    failed = BackgroundTask.objects.filter(state=State.FAILED)
    wait_until(failed.exists, "it has failed")
    row = failed.get()
    assert (row.error_type, row.deaths) == ("billiard.exceptions.SoftTimeLimitExceeded", 0)


def test_retries__wait_for_their_time(start: Start, trace_file: Path) -> None:
    start("--concurrency", "1")
    tasks.fail_twice(str(trace_file))
    wait_until(succeeded(), "the third attempt succeeds")
    assert len(lines(trace_file)) == 3


def test_timeout__is_ours(start: Start, trace_file: Path) -> None:
    start("--concurrency", "1")
    tasks.get_stuck(str(trace_file), "sleep", timeout=0.5)
    failed = BackgroundTask.objects.filter(state=State.FAILED)
    wait_until(failed.exists, "it has failed")
    assert failed.get().error_type == "wagtail_async_hooks.exceptions.TimedOut"


def test_green_pool__is_refused_in_a_sentence(
    broker: Broker, start: Start, trace_file: Path
) -> None:
    green = start(
        "--pool", "custom", CELERY_CUSTOM_WORKER_POOL="tests.worker.celery_processes:GreenPool"
    )
    green.wait_for(r"has the pool celery_processes, in which background tasks cannot run")
    tasks.trace(str(trace_file), "x")
    wait_until(lambda: broker.size() == 0, "the message was taken")
    green.stop()
    start("--concurrency", "1")
    wait_until(succeeded(), "another one runs it")


def test_bounds__of_claims_are_kept(start: Start, trace_file: Path) -> None:
    def trace(queue: str) -> None:
        task = tasks.trace.task_class((str(trace_file), queue), {})
        task.submission.queue = queue
        background.enqueue(task)

    environment = {"TEST_WORKER": json.dumps({"exclude_queues": ["large"]})}
    trace("large")
    pausing.pause(function="tests.work.tasks.add")
    tasks.add(1, 2)
    start("--concurrency", "2", **environment)
    trace("small")
    wait_until(succeeded(), "one has run")
    assert [words[0] for words in lines(trace_file)] == ["small"]
    assert {row.queues for row in Worker.objects.all()} == {"all but large"}
    pausing.resume(function="tests.work.tasks.add")
    wait_until(succeeded(2), "what was paused has run")


def test_wagtail_worker__works_beside_celery(
    broker: Broker, start: Start, trace_file: Path, tmp_path: Path
) -> None:
    tasks.trace(str(trace_file), "x")
    output = tmp_path / "drain.txt"
    with Process.manage("wagtail_worker", "--drain", output=output, **broker.environment) as drain:
        assert drain.wait() == 0, drain.said()
    assert BackgroundTask.objects.get().state == State.SUCCEEDED
    start("--concurrency", "1")
    wait_until(lambda: broker.size() == 0, "the message finds nothing")


def test_other_queues__a_worker_of_those_is_none_of_ours(
    broker: Broker, start: Start, trace_file: Path, request: pytest.FixtureRequest
) -> None:
    other = start("--concurrency", "1", "-Q", f"{broker.queue}_other")
    other_queue = Broker(broker.name, f"{broker.queue}_other")
    request.addfinalizer(other_queue.delete)
    other.wait_for(f'does not serve the queue "{broker.queue}"')
    tasks.trace(str(trace_file), "x")
    start("--concurrency", "1")
    wait_until(succeeded(), "the other one runs it")
    assert Worker.objects.count() == 1
    other.stop()


def test_broker_killed__in_the_middle_of_tasks(
    committed_db: None,
    tmp_path: Path,
    trace_file: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = tmp_path / "gate"
    broker = Broker.of("own")
    with Redis() as server:
        address = f"redis://127.0.0.1:{server.port}/0"
        monkeypatch.setattr(celery_app, "own", celery_app.make(address))
        settings.WAGTAIL_TASKS = broker.setting
        output = tmp_path / "celery.txt"
        with broker.worker(output, "--concurrency", "1", TEST_CELERY_BROKER=address) as worker:
            worker.wait_for(" ready")
            tasks.wait_for(str(trace_file), str(gate))
            wait_until(lambda: lines(trace_file), "the task has begun")
            tasks.trace(str(trace_file), "before")
            server.kill()
            tasks.trace(str(trace_file), "meanwhile")
            server.start()
            gate.touch()
            # Celery's own worker may end of such a loss; whoever looks after it starts it again.
            again = tmp_path / "again.txt"
            with broker.worker(again, "--concurrency", "1", TEST_CELERY_BROKER=address):
                wait_until(succeeded(3), "all have run")
            assert {row.attempt for row in BackgroundTask.objects.all()} == {1}


def test_hostile_messages__find_a_task_at_most(
    broker: Broker, start: Start, trace_file: Path
) -> None:
    app = getattr(celery_app, broker.name)
    worker = start("--concurrency", "1")
    worker.wait_for(" ready")
    for arguments in (
        {"kwargs": {"rest": {"a": [1]}, "unknown": "x" * 1000}},
        {"args": [1, 2, 3]},
        {"kwargs": {"self": 1}},
    ):
        app.send_task(TASK, queue=broker.queue, **arguments)
    tasks.trace(str(trace_file), "x")
    wait_until(succeeded(), "the task has run")
    wait_until(lambda: broker.size() == 0, "all were taken")
    tasks.trace(str(trace_file), "y")
    wait_until(succeeded(2), "the worker goes on")
    assert worker.is_running()
