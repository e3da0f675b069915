"""Real worker processes on a real database: what they run, in which order, and how they end."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from tests import limits
from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import ledger
from wagtail_async_hooks._version import __version__
from wagtail_async_hooks.models import BackgroundTask, Schedule, Worker
from wagtail_async_hooks.types import Bounds, State
from wagtail_async_hooks.worker import identity
from wagtail_async_hooks.worker.scheduler import Scheduler

pytestmark = pytest.mark.slow

Start = Callable[..., Process]
Backend = dict[str, str]

WITHOUT_END = {"TEST_WORKER": '{"shutdown_timeout": 3600}'}
"""Environment of workers that wait for their tasks, until a second signal."""


def words(trace_file: Path) -> list[str]:
    """Return the first word of every trace."""
    return [line.split()[0] for line in trace_file.read_text().splitlines()]


def states() -> Counter[str]:
    """Return how many tasks are in each state."""
    return Counter(BackgroundTask.objects.values_list("state", flat=True))


def test_drain__two_at_once_run_each_task_once(
    start: Start, backend: Backend, trace_file: Path
) -> None:
    with transaction.atomic():
        for number in range(500):
            tasks.trace(str(trace_file), number)
    workers = [start("wagtail_worker", "--drain", **backend) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert Counter(words(trace_file)) == Counter(str(number) for number in range(500))
    assert states() == {State.SUCCEEDED: 500}
    assert set(BackgroundTask.objects.values_list("attempt", flat=True)) == {1}


def drain_at_second_sight() -> None:
    """Drain, though looks find nothing before the drain asks what is left, as if it were locked."""
    step, waits = ledger.step, ledger.waits
    asked: list[bool] = []

    def look(*args: Any, **options: Any) -> Any:
        return step(*args, **options) if asked else (False, None)

    def ask(bounds: Bounds) -> bool:
        asked.append(waits(bounds))
        return asked[-1]

    ledger.step, ledger.waits = look, ask
    call_command("wagtail_worker", "--drain", "--threads", "1")


def test_drain__does_not_end_while_something_waits_that_a_look_passed_over(
    start: Start, backend: Backend, trace_file: Path
) -> None:
    tasks.trace(str(trace_file), "overlooked")
    code = f"from {__name__} import drain_at_second_sight; drain_at_second_sight()"
    assert start("shell", "-c", code, **backend).wait() == 0
    assert words(trace_file) == ["overlooked"]


def test_priority__what_was_submitted_last_runs_first(
    start: Start, backend: Backend, trace_file: Path
) -> None:
    for number in range(100):
        tasks.trace(str(trace_file), number, priority=1)
    tasks.trace(str(trace_file), "urgent", priority=2)
    tasks.trace(str(trace_file), "negative", priority=-1)
    tasks.trace(str(trace_file), "ordinary")
    assert start("wagtail_worker", "--drain", "--threads", "1", **backend).wait() == 0
    in_order = [str(number) for number in range(100)]
    assert words(trace_file) == ["urgent", *in_order, "ordinary", "negative"]


def test_running_worker__picks_up_what_is_enqueued_later(
    start: Start, backend: Backend, trace_file: Path
) -> None:
    worker = start("wagtail_worker", **backend)
    worker.wait_for("Background hooks")
    for number in range(5):
        tasks.trace(str(trace_file), number)
        wait_until(lambda n=number: str(n) in words(trace_file), f"task {number} has run")
    result = tasks.trace(str(trace_file), "last")
    assert result.get(blocking=True, timeout=limits.PATIENCE) == worker.pid
    worker.wait_for(r"\[task")  # steps are logged a tenth of a second late


def test_scheduled_task__runs_when_it_is_due(
    start: Start, backend: Backend, trace_file: Path
) -> None:
    worker = start("wagtail_worker", **backend)
    worker.wait_for("Background hooks")
    result = tasks.trace.schedule((str(trace_file), "later"), delay=1)
    assert BackgroundTask.objects.get().state == State.SCHEDULED
    assert result.get(blocking=True, timeout=limits.PATIENCE) == worker.pid


def test_drain__leaves_what_is_not_due(start: Start, backend: Backend, trace_file: Path) -> None:
    tasks.trace.schedule((str(trace_file), "later"), delay=3600)
    tasks.trace(str(trace_file), "now")
    assert start("wagtail_worker", "--drain", **backend).wait() == 0
    assert words(trace_file) == ["now"]
    assert states() == {State.SUCCEEDED: 1, State.SCHEDULED: 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal__a_running_task_ends_and_no_other_begins(
    start: Start, backend: Backend, trace_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    gate = tmp_path / "gate"
    worker = start("wagtail_worker", "--threads", "1", **backend)
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: words(trace_file) == ["began"], "the task has begun")
    tasks.trace(str(trace_file), "next")
    worker.send(number)
    worker.wait_for("is stopping")
    gate.touch()
    assert worker.wait() == 0
    assert words(trace_file) == ["began", "ended"]
    assert states() == {State.SUCCEEDED: 1, State.WAITING: 1}
    assert Worker.objects.get().stopped_at is not None


def test_signal__heartbeats_go_on_while_the_last_task_runs(
    start: Start, backend: Backend, trace_file: Path, tmp_path: Path
) -> None:
    """Others would rescue it, and run it beside itself, if it took longer than they wait."""
    gate = tmp_path / "gate"
    worker = start("wagtail_worker", "--threads", "1", **backend)
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: words(trace_file) == ["began"], "the task has begun")
    worker.send(signal.SIGTERM)
    worker.wait_for("is stopping")
    for _ in range(2):
        last = Worker.objects.get().heartbeat_at
        wait_until(lambda last=last: Worker.objects.get().heartbeat_at > last, "one more heartbeat")
    gate.touch()
    assert worker.wait() == 0
    assert states() == {State.SUCCEEDED: 1}
    assert Worker.objects.get().stopped_at is not None


def test_second_signal__ends_at_once_and_hands_back(
    start: Start, backend: Backend, trace_file: Path, tmp_path: Path
) -> None:
    worker = start("wagtail_worker", "--threads", "1", **WITHOUT_END, **backend)
    tasks.wait_for(str(trace_file), str(tmp_path / "gate"))
    wait_until(lambda: words(trace_file) == ["began"], "the task has begun")
    worker.send(signal.SIGTERM)
    worker.wait_for("is stopping")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    row = BackgroundTask.objects.get()
    assert (row.state, row.worker_id, row.deaths) == (State.WAITING, None, 0)
    assert "handed back" in worker.said()


def test_second_signal__in_the_same_moment(
    start: Start, backend: Backend, trace_file: Path, tmp_path: Path
) -> None:
    """The worker's main thread, which checks every 50 ms, learns of both at once."""
    worker = start("wagtail_worker", "--threads", "1", **WITHOUT_END, **backend)
    tasks.wait_for(str(trace_file), str(tmp_path / "gate"))
    wait_until(lambda: words(trace_file) == ["began"], "the task has begun")
    worker.send(signal.SIGTERM)
    worker.send(signal.SIGHUP)
    assert worker.wait() == 0
    assert states() == {State.WAITING: 1}


def test_signal__what_does_not_end_in_time_is_handed_back(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    worker = start("wagtail_worker", TEST_WORKER='{"threads": 2, "shutdown_timeout": 0.2}')
    tasks.wait_for(str(trace_file), str(tmp_path / "gate"))
    wait_until(lambda: words(trace_file) == ["began"], "the task has begun")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert "1 unfinished task was handed back" in worker.said()
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.deaths) == (State.WAITING, 1, 0)


@pytest.mark.parametrize("path", ["huey.storage.SqliteStorage", "huey.SqliteHuey"])
def test_backend__any_storage_or_huey_class(
    start: Start, trace_file: Path, tmp_path: Path, settings: Any, path: str
) -> None:
    options = {"filename": str(tmp_path / "notifier.sqlite3")}
    settings.WAGTAIL_TASKS = {"BACKEND": path, "BACKEND_OPTIONS": options}
    worker = start("wagtail_worker", SITE_BACKEND=path, SITE_BACKEND_OPTIONS=json.dumps(options))
    worker.wait_for("Background hooks")
    for number in range(20):
        tasks.trace(str(trace_file), number)
    wait_until(lambda: states() == {State.SUCCEEDED: 20}, "all tasks have run")
    assert Counter(words(trace_file)) == Counter(str(number) for number in range(20))


def test_max_seconds__ends_by_itself(start: Start, backend: Backend) -> None:
    worker = start("wagtail_worker", "--max-seconds", "0.5", **backend)
    assert worker.wait() == 0
    assert "0.5 seconds are over" in worker.said()


def test_failures__are_kept_with_their_tracebacks(start: Start, committed_db: None) -> None:
    tasks.fail("out of paint")
    tasks.leave()
    assert start("wagtail_worker", "--drain").wait() == 0
    failed, left = BackgroundTask.objects.order_by("pk")
    assert (failed.state, failed.error_type) == (State.FAILED, "builtins.ValueError")
    assert failed.error == "out of paint"
    assert "raise ValueError(text)\nValueError: out of paint" in failed.traceback
    assert (left.state, left.error_type) == (State.FAILED, "builtins.SystemExit")


def test_log__one_line_at_the_start_and_one_at_the_end(
    start: Start, committed_db: None, trace_file: Path
) -> None:
    tasks.trace(str(trace_file), "x")
    worker = start("wagtail_worker", "--drain")
    assert worker.wait() == 0
    lines = [line for line in worker.said().splitlines() if "[task" in line]
    assert len(lines) == 2
    assert "tests.work.tasks.trace" in lines[0]
    assert lines[0].endswith("started")
    assert "succeeded after" in lines[1]


def test_introduction__says_what_it_serves(start: Start, backend: Backend) -> None:
    worker = start("wagtail_worker", "--drain", **backend)
    assert worker.wait() == 0
    said = worker.said()
    assert f"Backend: {backend['SITE_BACKEND']}." in said
    assert "Queues: all." in said
    assert "Background hooks: 8 functions for 5 hooks (after_delete_page" in said


def test_death__another_worker_takes_over(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    """The worker that starts beside a dead one takes back at once what that one held."""
    gate = tmp_path / "gate"
    tasks.wait_for(str(trace_file), str(gate))
    victim = start("wagtail_worker", "--threads", "1")
    wait_until(lambda: words(trace_file) == ["began"], "the task has begun")
    victim.send(signal.SIGKILL)
    victim.wait()
    gate.touch()
    heir = start("wagtail_worker", "--drain")
    assert heir.wait() == 0
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.deaths) == (State.SUCCEEDED, 2, 1)
    assert words(trace_file) == ["began", "began", "ended"]
    assert "held by a worker that died, and waits again" in heir.said()


def test_death__a_task_that_kills_its_workers_fails(
    start: Start, committed_db: None, trace_file: Path
) -> None:
    tasks.die(str(trace_file))
    for _ in range(3):
        assert start("wagtail_worker", "--drain", "--threads", "1").wait() == 9
    assert start("wagtail_worker", "--drain").wait() == 0
    row = BackgroundTask.objects.get()
    assert (row.state, row.error) == (State.FAILED, "its worker died 3 times")
    assert words(trace_file) == ["died"] * 3


# What recurs --------------------------------------------------------------------------------


def daily(trace_file: Path, entries: int) -> dict[str, str]:
    """Return the environment of workers for which some tasks recur once a day."""
    schedule = {
        str(number): {
            "function": "tests.work.tasks.trace",
            "args": [str(trace_file), number],
            "crontab": "0 3 * * *",
        }
        for number in range(entries)
    }
    return {"TEST_SCHEDULE": json.dumps(schedule)}


def make_due() -> None:
    """Let all that recurs be due."""
    Schedule.objects.update(next_due_at=timezone.now())


def test_schedule__many_workers_run_what_is_due_once(
    start: Start, committed_db: None, trace_file: Path
) -> None:
    environment = daily(trace_file, entries=20)
    workers = [start("wagtail_worker", "--processes", "2", **environment) for _ in range(3)]
    wait_until(lambda: Worker.objects.count() == 6, "all processes work")
    wait_until(lambda: Schedule.objects.count() == 20, "all that recurs is planned")
    for turn in (1, 2, 3):
        make_due()
        wait_until(lambda t=turn: states() == {State.SUCCEEDED: 20 * t}, "all tasks have run")
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert Counter(words(trace_file)) == {str(number): 3 for number in range(20)}
    assert "Schedule: 20 entries (0, 1, 10," in workers[0].said()


def test_schedule__drains_run_what_fell_due_since_the_last_one(
    start: Start, committed_db: None, trace_file: Path, settings: Any
) -> None:
    environment = daily(trace_file, entries=3)
    schedule = json.loads(environment["TEST_SCHEDULE"])
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "SCHEDULE": schedule}
    Scheduler().enqueue_due()
    make_due()
    aside = start("wagtail_worker", "--drain", "--no-schedule", **environment)
    assert aside.wait() == 0
    assert "Schedule: left to other workers." in aside.said()
    assert words(trace_file) == []
    drains = [start("wagtail_worker", "--drain", **environment) for _ in range(2)]
    assert [drain.wait() for drain in drains] == [0, 0]
    assert sorted(words(trace_file)) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("named", "told"),
    [("", __version__), ("2026.47.1", "2026.47.1"), ("c" * 70, "c" * 64), ("a\0b", "a\\x00b")],
)
def test_release__is_the_sites(committed_db: None, settings: Any, named: str, told: str) -> None:
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "RELEASE": named}
    assert identity.register(1, "", 0).release == told
