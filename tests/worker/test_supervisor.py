"""Several worker processes under one parent."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.slow

Start = Callable[..., Process]


def lines(trace_file: Path) -> list[list[str]]:
    """Return the words of every trace."""
    return [line.split() for line in trace_file.read_text().splitlines()]


def test_drain__all_processes_take_part_and_end(
    start: Start, backend: dict[str, str], trace_file: Path
) -> None:
    for number in range(200):
        tasks.trace(str(trace_file), number)
    parent = start("wagtail_worker", "--drain", "--processes", "2", **backend)
    assert parent.wait() == 0
    assert "2 processes of" in parent.said()
    assert sorted(int(word) for word, _ in lines(trace_file)) == list(range(200))
    assert parent.pid not in {int(pid) for _, pid in lines(trace_file)}
    assert Worker.objects.exclude(stopped_at=None).count() == 2


def test_death__a_child_is_replaced_and_what_it_held_runs_again(
    start: Start, backend: dict[str, str], trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    parent = start("wagtail_worker", "--processes", "2", "--threads", "1", **backend)
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: lines(trace_file), "the task has begun")
    victim = int(lines(trace_file)[0][1])
    os.kill(victim, signal.SIGKILL)
    parent.wait_for(rf"Worker process {victim} died \(SIGKILL\), starting another one")
    wait_until(lambda: len(lines(trace_file)) == 2, "the task has begun again")
    gate.touch()
    wait_until(
        lambda: BackgroundTask.objects.filter(state=State.SUCCEEDED).exists(), "it succeeded"
    )
    row = BackgroundTask.objects.get()
    assert (row.attempt, row.deaths) == (2, 1)
    # The replacement may be the last to be there: the other child can have rescued the task.
    wait_until(lambda: Worker.objects.filter(stopped_at=None).count() == 2, "both are there")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal__all_children_end_calmly(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    gate = tmp_path / "gate"
    parent = start("wagtail_worker", "--processes", "2", "--threads", "1")
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: lines(trace_file), "the task has begun")
    parent.send(number)
    parent.wait_for("is stopping")
    gate.touch()
    assert parent.wait() == 0
    assert [words[0] for words in lines(trace_file)] == ["began", "ended"]
    assert BackgroundTask.objects.get().state == State.SUCCEEDED
    assert not Worker.objects.filter(stopped_at=None).exists()


def patient(start: Start, trace_file: Path, folder: Path) -> Process:
    """Start a parent whose children wait for an hour; one of them runs a task for as long."""
    parent = start(
        "wagtail_worker",
        "--processes=2",
        "--threads=1",
        TEST_WORKER='{"shutdown_timeout": 3600}',
    )
    tasks.wait_for(str(trace_file), str(folder / "gate"))
    wait_until(lambda: lines(trace_file), "the task has begun")
    return parent


def test_second_signal__children_hand_back_and_end(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    parent = patient(start, trace_file, tmp_path)
    parent.send(signal.SIGTERM)
    parent.wait_for("is stopping")
    parent.send(signal.SIGTERM)
    assert parent.wait() == 0
    row = BackgroundTask.objects.get()
    assert (row.state, row.deaths) == (State.WAITING, 0)


def test_two_signals_at_once__children_do_not_wait(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    parent = patient(start, trace_file, tmp_path)
    parent.send(signal.SIGSTOP)  # so that it gets both in the same moment
    parent.send(signal.SIGTERM)
    parent.send(signal.SIGINT)
    parent.send(signal.SIGCONT)
    assert parent.wait() == 0
    row = BackgroundTask.objects.get()
    assert (row.state, row.deaths) == (State.WAITING, 0)


def test_parent_killed__children_end_by_themselves(
    start: Start, committed_db: None, trace_file: Path
) -> None:
    parent = start("wagtail_worker", "--processes", "2")
    wait_until(lambda: Worker.objects.count() == 2, "both children work")
    children = [int(pid) for pid in Worker.objects.values_list("pid", flat=True)]
    parent.send(signal.SIGKILL)
    wait_until(lambda: not Worker.objects.filter(stopped_at=None).exists(), "both have stopped")
    wait_until(lambda: not any(map(_is_running, children)), "both processes are gone")
    assert len(re.findall("parent process is gone", parent.said())) == 2


def _is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False
    return status != "Z"
