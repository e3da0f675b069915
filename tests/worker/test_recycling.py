"""Processes that are replaced after so many tasks, or with too much memory: nothing is lost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.limits import PATIENCE
from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker import recycling
from wagtail_async_hooks.worker.recycling import Limits, Wear, resident
from wagtail_async_hooks.worker.reporting import Channel, Own, Phase, Report
from wagtail_async_hooks.worker.supervisor import STOP_SIGNALS, Child, Supervisor

Start = Callable[..., Process]

PATIENT = {"TEST_WORKER": '{"shutdown_timeout": 3600}'}


def lines(trace_file: Path) -> list[list[str]]:
    """Return the words of every trace."""
    return [line.split() for line in trace_file.read_text().splitlines()]


def alive() -> set[int]:
    """Return the processes of the workers that have not stopped."""
    return set(Worker.objects.filter(stopped_at=None).values_list("pid", flat=True))


def each_ran_once(trace_file: Path, number: int) -> bool:
    """Return whether all of some numbered tasks have run; none may have run twice."""
    found = Counter(words[0] for words in lines(trace_file) if words[0].isdigit())
    assert set(found.values()) <= {1}
    return found.keys() == {str(n) for n in range(number)}


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["--max-tasks=4", "--max-memory=1"])
@pytest.mark.parametrize("processes", [1, 2])
def test_running_worker__each_task_runs_once_in_ever_new_processes(
    start: Start, backend: dict[str, str], trace_file: Path, limit: str, processes: int
) -> None:
    worker = start("wagtail_worker", limit, f"--processes={processes}", "--threads=2", **backend)
    wait_until(lambda: len(alive()) == processes, "all work")
    first = alive()
    number = 0
    while alive() & first or number < 40:  # until none of the first ones is left
        tasks.trace(str(trace_file), number)
        number += 1
        time.sleep(0.01)
    wait_until(lambda: each_ran_once(trace_file, number), "all have run")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert set(BackgroundTask.objects.values_list("state", "attempt", "deaths")) == {
        (State.SUCCEEDED, 1, 0)
    }
    assert not alive()
    assert len({pid for _, pid in lines(trace_file)}) > processes
    assert worker.pid not in {int(pid) for _, pid in lines(trace_file)}
    assert " is replaced, as it " in worker.said()
    assert "died" not in worker.said()


@pytest.mark.slow
def test_drain__goes_on_in_the_next_process(
    start: Start, backend: dict[str, str], trace_file: Path
) -> None:
    for number in range(60):
        tasks.trace(str(trace_file), number)
    drain = start("wagtail_worker", "--drain", "--max-tasks=10", "--threads=1", **backend)
    assert drain.wait() == 0
    assert each_ran_once(trace_file, 60)
    assert not alive()


@pytest.mark.slow
def test_what_runs__ends_in_its_process_while_the_next_one_works(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    # Less time than the task takes: a process that is replaced does not hand back what it runs.
    worker = start(
        "wagtail_worker", "--max-tasks=1", "--threads=1", TEST_WORKER='{"shutdown_timeout": 0}'
    )
    tasks.wait_for(str(trace_file), str(gate))
    worker.wait_for("claims nothing more")
    [[_, old, _]] = lines(trace_file)
    tasks.trace(str(trace_file), "next")
    wait_until(lambda: len(lines(trace_file)) == 2, "the next process works")
    assert lines(trace_file)[1][1] != old
    assert int(old) in alive()  # with heartbeats, so that nobody takes its task over
    gate.touch()
    wait_until(lambda: int(old) not in alive(), "the old process has ended")
    assert ["ended", old] in lines(trace_file)
    wait_until(
        lambda: (
            set(BackgroundTask.objects.values_list("state", "attempt")) == {(State.SUCCEEDED, 1)}
        ),
        "the end of both is recorded",
    )


@pytest.mark.slow
def test_many_that_retire__are_never_more_than_those_that_are_wanted(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = start("wagtail_worker", "--max-tasks=1", "--threads=2", **PATIENT)
    for _ in range(2):
        tasks.wait_for(str(trace_file), str(gate))
    worker.wait_for("claims nothing more")
    tasks.trace(str(trace_file), 0)
    # The second process should be replaced now as well, but goes on: a third one would be too many.
    wait_until(lambda: each_ran_once(trace_file, 1), "the second process runs it")
    tasks.trace(str(trace_file), 1)
    wait_until(lambda: each_ran_once(trace_file, 2), "it goes on")
    assert len(alive()) == 2
    assert worker.said().count(" is replaced, as it ") == 1
    gate.touch()
    worker.wait_for(r"(?s) is replaced, as it .* is replaced, as it ")
    wait_until(lambda: len(alive()) == 1, "the third is alone")


def ends(trace_file: Path) -> list[list[str]]:
    """Return the traces of tasks that have waited and ended."""
    return [words for words in lines(trace_file) if words[0] == "ended"]


@pytest.mark.slow
def test_death__of_one_that_retires__is_made_up_for_already(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = start("wagtail_worker", "--max-tasks=1", "--threads=1", **PATIENT)
    tasks.wait_for(str(trace_file), str(gate))
    worker.wait_for("claims nothing more")
    victim = int(lines(trace_file)[0][1])
    os.kill(victim, signal.SIGKILL)
    worker.wait_for(rf"Worker process {victim} died \(SIGKILL\)\.")
    # The next one rescues its task, when it starts or by its heartbeats, and gets relieved itself.
    wait_until(lambda: len(lines(trace_file)) == 2, "the task has begun again")
    gate.touch()
    wait_until(lambda: len(ends(trace_file)) == 1, "it has ended")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert "starting another one" not in worker.said()
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.deaths) == (State.SUCCEEDED, 2, 1)


@pytest.mark.slow
def test_signal__while_one_retires__all_end_calmly(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = start("wagtail_worker", "--max-tasks=1", "--threads=1", **PATIENT)
    tasks.wait_for(str(trace_file), str(gate))
    worker.wait_for("claims nothing more")
    worker.send(signal.SIGTERM)
    wait_until(lambda: worker.said().count("is stopping") == 2, "both are stopping")
    gate.touch()
    assert worker.wait() == 0
    assert [words[0] for words in lines(trace_file)] == ["began", "ended"]
    assert BackgroundTask.objects.get().state == State.SUCCEEDED
    assert not alive()


@pytest.mark.slow
def test_second_signal__while_one_retires__hands_back(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    worker = start("wagtail_worker", "--max-tasks=1", "--threads=1", **PATIENT)
    tasks.wait_for(str(trace_file), str(tmp_path / "gate"))
    worker.wait_for("claims nothing more")
    worker.send(signal.SIGTERM)
    wait_until(lambda: worker.said().count("is stopping") == 2, "both are stopping")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    row = BackgroundTask.objects.get()
    assert (row.state, row.deaths) == (State.WAITING, 0)


@pytest.mark.slow
def test_max_seconds__count_from_the_start_of_the_command(
    start: Start, committed_db: None, trace_file: Path
) -> None:
    for number in range(20):
        tasks.trace(str(trace_file), number)
    assert start("wagtail_worker", "--max-tasks=1", "--max-seconds=2").wait() == 0
    assert not alive()


@pytest.mark.slow
def test_settings__say_it_as_well(start: Start, committed_db: None) -> None:
    worker = start("wagtail_worker", TEST_WORKER='{"max_tasks": 1000, "max_memory": 512.5}')
    worker.wait_for(r"A process is replaced after 1000 tasks or above 512\.5 MB\.")
    tasks.add(1, 2)
    wait_until(lambda: BackgroundTask.objects.filter(state=State.SUCCEEDED).exists(), "it runs")
    assert len(alive()) == 1
    assert worker.pid not in alive()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "option",
    [
        *("--max-tasks=0", "--max-tasks=1.5", "--max-tasks=some", f"--max-tasks={2**31}"),
        *("--max-memory=0", "--max-memory=-1", "--max-memory=nan", "--max-memory=inf"),
        "--max-memory=1G",
    ],
)
def test_options__of_no_use(option: str) -> None:
    with pytest.raises(CommandError, match=option.partition("=")[0]):
        call_command("wagtail_worker", option)


# The parts ----------------------------------------------------------------------------------


def test_limits__in_words() -> None:
    assert not Limits()
    assert [str(limits) for limits in (Limits(1), Limits(2), Limits(None, 0.5), Limits(3, 4))] == [
        "after 1 task",
        "after 2 tasks",
        "above 0.5 MB",
        "after 3 tasks or above 4 MB",
    ]


def test_wear__begins_with_the_first_task_and_stays() -> None:
    wear = Wear(Limits(tasks=3, memory=1))
    assert wear.excess(0) == ""
    said = wear.excess(1)
    assert said.startswith("it takes ")
    assert wear.excess(3) == said
    assert Wear(Limits(tasks=3)).excess(2) == ""
    assert Wear(Limits(tasks=3)).excess(4) == "it has run 4 tasks"
    assert Wear(Limits(memory=1e9)).excess(4) == ""
    assert Wear(Limits()).excess(4) == ""


TAKING = """
import os
from wagtail_async_hooks.worker.recycling import resident
before = resident()
taken = bytearray(os.urandom(64)) * 1_000_000
print(before, resident())
"""


def test_resident__grows_with_what_is_taken() -> None:
    """In a process of its own: in this one, other threads may give memory back meanwhile."""
    told = subprocess.run(
        [sys.executable, "-c", TAKING], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    before, after = map(float, told.stdout.split())
    assert 2 < before < after - 50


def test_resident__where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = resident()
    monkeypatch.setattr(recycling, "_STATM", Path("/no/such/file"))
    assert resident() > exact / 2


def test_channel__reports_and_retirement() -> None:
    channel = Channel()
    assert channel.last.phase is Phase.STARTING
    assert not channel.is_to_retire()
    channel.report(Report(Phase.WORKING, "Ünwell.", "it has run 4 tasks", 1.5))
    channel.report(Report(Phase.RETIRING))
    channel.read()
    assert channel.last == Report(Phase.RETIRING)
    channel.retire()
    assert channel.is_to_retire()
    assert not channel.is_to_retire()
    channel.close()
    channel.report(Report(Phase.STOPPING))  # nobody is there, which is noticed otherwise
    channel.read()
    assert channel.last == Report(Phase.RETIRING)


def test_channel__that_nobody_reads_keeps_nobody_waiting() -> None:
    channel = Channel()
    for number in range(10_000):
        channel.report(Report(Phase.WORKING, "x" * 200, at=number))
    channel.read()
    assert channel.last.problem == "x" * 200
    channel.close()


def test_successor__that_the_system_has_no_room_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fork() -> int:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    supervisor = Supervisor(1, lambda channel: 0, 1.0)
    channel = Channel()
    channel.last = Report(Phase.WORKING, excess="it takes 600 MB")
    supervisor._children.append(Child(1, 0.0, channel))
    monkeypatch.setattr(os, "fork", fork)
    for _ in range(3):  # not at once again
        supervisor._ask_who_is_due()
    assert caplog.text.count("Another worker process cannot be started") == 1
    assert len(supervisor._children) == 1
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(STOP_SIGNALS)
    channel.close()


def test_own__keeps_the_last_report() -> None:
    own: Any = Own()
    own.report(Report(Phase.WORKING))
    assert own.last == Report(Phase.WORKING)
    assert not own.is_to_retire()
