"""Tests of hosts whose clocks are wrong: real processes, whose clock ``wrong_clock.c`` sets.

What processes on several hosts compare are times of the database's clock. SQLite has none: its
processes are on one host.
"""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.management import call_command
from django.db import connection

from tests.integrations.test_scheduled_publishing import new_page
from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.models import BackgroundTask, Schedule, Worker
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.worker.timekeeping import Timekeeper

ON_SERVERS: Final = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="its clock is that of the process"
)
TWO_HOURS: Final = 7200
CLOCKS: Final = {"fast": TWO_HOURS, "slow": -TWO_HOURS}
Start = Callable[..., Process]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What sets the clock of a process wrong into which it is preloaded."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        assert "CI" not in os.environ, "a C compiler is needed"
        pytest.skip("a C compiler is needed, on Linux")
    made = tmp_path_factory.mktemp("clock") / "wrong_clock.so"
    source = Path(__file__).with_name("wrong_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(made), str(source)], check=True)
    return str(made)


def clock_set(library: str, ahead: int) -> dict[str, str]:
    """Return the environment of a process whose clock is wrong by so many seconds."""
    return {"LD_PRELOAD": library, "WRONG_CLOCK": str(ahead)}


@pytest.fixture(params=CLOCKS)
def wrong(request: pytest.FixtureRequest, library: str) -> dict[str, str]:
    """The environment of a process whose clock is two hours fast, or slow."""
    return clock_set(library, CLOCKS[request.param])


def seconds_from_now(moment: datetime.datetime) -> float:
    """Return how long a time is away, by the database's clock."""
    return (moment - ledger.clock()).total_seconds()


def run_code(start: Start, code: str, wrong: dict[str, str]) -> None:
    """Run a piece of code in a process whose clock is wrong."""
    process = start("shell", "-c", code, **wrong)
    assert process.wait() == 0, process.said()


RECORD: Final = """
import datetime
from tests.work import tasks
from wagtail_async_hooks import background

@background.task(debounce=40, coalesce="all", expires=60, name="burst")
def burst(): pass

named = datetime.datetime.fromisoformat({named!r})
background.enqueue(tasks.add.s(1, 0, expires=60))
tasks.add.schedule((2, 0), delay=40)
tasks.add.schedule((3, 0), eta=named, expires=named)
tasks.add.schedule(40)
burst()
background.enqueue_many([tasks.add.s(6, 0, delay=40, expires=60), tasks.add.s(7, 0, eta=named)])
background.enqueue(tasks.add.s(8, 0, eta=named - datetime.timedelta(hours=2)))
"""


@ON_SERVERS
@pytest.mark.slow
def test_record__on_a_host_whose_clock_is_wrong(start: Start, wrong: dict[str, str]) -> None:
    named = ledger.clock() + datetime.timedelta(hours=1)
    run_code(start, RECORD.format(named=named.isoformat()), wrong)
    rows = list(BackgroundTask.objects.order_by("pk"))
    assert len(rows) == 8
    assert all(-60 < seconds_from_now(row.enqueued_at) <= 0 for row in rows)
    now, delayed, at, by_number, burst, of_many, at_of_many, over = rows
    assert [row.state for row in rows] == [
        State.WAITING,
        *[State.SCHEDULED] * 6,
        State.WAITING,
    ]
    for row in (delayed, by_number, burst, of_many):
        assert 39 < (row.run_at - row.enqueued_at).total_seconds() < 41
    for row in (now, of_many):
        assert 59 < (row.expires_at - row.enqueued_at).total_seconds() < 61
    assert 99 < (burst.expires_at - burst.enqueued_at).total_seconds() < 101
    assert 399 < (burst.latest_at - burst.enqueued_at).total_seconds() < 401
    assert at.run_at == at.expires_at == at_of_many.run_at == named
    assert over.run_at == named - datetime.timedelta(hours=2)


@ON_SERVERS
@pytest.mark.slow
def test_run__what_a_host_has_recorded_whose_clock_is_wrong(
    start: Start, wrong: dict[str, str]
) -> None:
    named = ledger.clock() + datetime.timedelta(hours=1)
    run_code(start, RECORD.format(named=named.isoformat()), wrong)
    ledger.promote_due()
    while (task := background.next()) is not None:
        background.execute(task)
    background.settle()
    states = list(BackgroundTask.objects.order_by("pk").values_list("state", flat=True))
    assert states == [State.SUCCEEDED, *[State.SCHEDULED] * 6, State.SUCCEEDED]
    BackgroundTask.objects.filter(state=State.SCHEDULED).update(
        run_at=ledger.clock(), latest_at=ledger.clock()
    )
    ledger.promote_due()
    while (task := background.next()) is not None:
        background.execute(task)
    background.settle()
    ended = list(BackgroundTask.objects.order_by("pk").values_list("state", flat=True))
    # One was called with no arguments, and "burst" is not known here. None has expired.
    done, lacking, unknown = State.SUCCEEDED, State.FAILED, State.SCHEDULED
    assert ended == [done, done, done, lacking, unknown, done, done, done]


@ON_SERVERS
@pytest.mark.slow
def test_worker__whose_clock_is_wrong(
    start: Start, wrong: dict[str, str], trace_file: Path, capsys: Any
) -> None:
    for word in range(3):
        background.enqueue(tasks.trace.s(str(trace_file), word, expires=60))
    tasks.trace.schedule((str(trace_file), "early"), delay=40)
    background.enqueue(tasks.fail.s(retries=1, retry_delay=40))
    background.enqueue(tasks.put_off.s(40))
    worker = start("wagtail_worker", **wrong)
    wait_until(lambda: BackgroundTask.objects.filter(state="succeeded").count() == 3, "all ran")
    wait_until(lambda: BackgroundTask.objects.filter(state="scheduled").count() == 3, "others wait")
    row = Worker.objects.get()
    # By then it has looked several times for what is due.
    wait_until(
        lambda: Worker.objects.get().heartbeat_at > row.heartbeat_at, "another heartbeat is there"
    )

    ended = BackgroundTask.objects.filter(state="succeeded")
    assert all(abs(seconds_from_now(done.finished_at)) < 60 for done in ended)
    assert all(done.enqueued_at <= done.started_at <= done.finished_at for done in ended)
    early, failed, put_off = BackgroundTask.objects.filter(state="scheduled").order_by("pk")
    assert (early.attempt, failed.attempt, put_off.attempt) == (0, 1, 1)
    assert 39 < (failed.run_at - failed.started_at).total_seconds() < 50
    assert 39 < (put_off.run_at - put_off.started_at).total_seconds() < 45
    assert "early" not in trace_file.read_text()

    is_fast = int(wrong["WRONG_CLOCK"]) > 0
    ahead = Worker.objects.get().clock_ahead
    assert abs(abs(ahead) - TWO_HOURS) <= 2
    assert (ahead > 0) == is_fast
    told = f"{abs(ahead)} s {'ahead of' if is_fast else 'behind'} the database's"
    assert worker.said().count("The clock of this host is ") == 1
    call_command("wagtail_tasks", "status")
    assert f"The clock of {row.host} is {told}." in capsys.readouterr().out


@ON_SERVERS
@pytest.mark.slow
def test_schedule__planned_by_a_worker_whose_clock_is_wrong(
    start: Start, wrong: dict[str, str]
) -> None:
    entry = '{"sums": {"function": "tests.work.tasks.add", "args": [1, 2], "crontab": "0 * * * *"}}'
    start("wagtail_worker", TEST_SCHEDULE=entry, **wrong)
    row = wait_until(lambda: Schedule.objects.filter(name="sums").first(), "it is planned")
    assert 0 < seconds_from_now(row.next_due_at) <= 3600
    wait_until(lambda: Worker.objects.filter(stopped_at=None).exists(), "the worker lives")
    row.refresh_from_db()
    assert row.last_due_at is None


@ON_SERVERS
@pytest.mark.slow
def test_go_live__on_a_host_whose_clock_is_slow(start: Start, library: str, settings: Any) -> None:
    slow = clock_set(library, -TWO_HOURS)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "SCHEDULED_PUBLISHING": True}
    page = new_page()
    try:
        page.go_live_at = ledger.clock() + datetime.timedelta(seconds=1)
        page.save_revision().publish()
        worker = start("wagtail_worker", **slow)
        planned = BackgroundTask.objects.filter(function__endswith="publish_revision")
        wait_until(lambda: planned.filter(snoozes=1, state="scheduled").exists(), "it waits")
        row = planned.get()
        assert 50 < (row.run_at - row.started_at).total_seconds() < 70
        page.refresh_from_db()
        assert not page.live
        worker.stop()

        planned.update(run_at=ledger.clock())
        start("wagtail_worker")  # of another host, or of this one once its clock is right
        wait_until(lambda: type(page).objects.get(pk=page.pk).live, "it is live")
        wait_until(lambda: planned.get().state == State.SUCCEEDED, "its task has ended")
    finally:
        page.get_parent().delete()


# What is said of it -------------------------------------------------------------------------


@pytest.mark.django_db
def test_timekeeper__says_it_once_and_when_it_changes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ahead = 0.0
    monkeypatch.setattr(
        ledger,
        "clock",
        lambda: clock.now() - datetime.timedelta(seconds=ahead),
    )
    caplog.set_level("INFO", "wagtail_async_hooks.worker.timekeeping")
    keeper = Timekeeper()

    def look(by: float) -> list[str]:
        nonlocal ahead
        ahead = by
        caplog.clear()
        assert keeper.measure() == round(by)
        return [f"{record.levelname} {record.message[:40]}" for record in caplog.records]

    try:
        assert look(0) == look(4) == []
        [told] = look(7)
        assert told == "WARNING The clock of this host is 7 s ahead of t"
        assert look(7) == look(9) == []
        [told] = look(-3600)
        assert told == "WARNING The clock of this host is 3600 s behind "
        assert abs((clock.database_now() - clock.now()).total_seconds() - 3600) < 1
        [told] = look(0)
        assert told == "INFO The clock of this host agrees with the d"
        assert look(0) == []
    finally:
        clock.forget()
