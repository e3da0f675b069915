"""A worker that starts anew when code changes: gently, and whatever becomes of the code."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests import limits
from tests.processes import REPOSITORY, Process, wait_until
from tests.work import tasks
from wagtail_async_hooks.management.commands import wagtail_worker
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State

Start = Callable[..., Process]

SETTINGS = """
from tests.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "changing"]
"""

CODE = """
import os
with open({loaded!r}, "a") as file:
    print({version!r}, os.getpid(), os.environ.get("RUN_MAIN"), file=file)
"""

PATIENT = {"TEST_WORKER": '{"shutdown_timeout": 3600}'}


class Site:
    """A site one of whose modules changes."""

    def __init__(self, folder: Path, start: Start, module: str = "tasks") -> None:
        self._start = start
        self._folder = folder
        self._module = folder / "changing" / f"{module}.py"
        self._module.parent.mkdir()
        (self._module.parent / "__init__.py").touch()
        (folder / "changing_settings.py").write_text(SETTINGS)
        self._loaded = folder / "loaded.txt"
        self._loaded.touch()

    def write(self, version: str) -> None:
        """Write the module."""
        self.write_code(self.code(version))

    def code(self, version: str) -> str:
        """Return the module at some version."""
        return CODE.format(loaded=str(self._loaded), version=version)

    def change(self, worker: Process, code: str) -> None:
        """Change the module, until the worker notices: at first Django looks what there is."""
        before = worker.said().count("is stopping")
        until = time.monotonic() + limits.PATIENCE
        while worker.said().count("is stopping") == before:
            assert time.monotonic() < until, worker.said()
            self.write_code(code)
            time.sleep(0.2)

    def write_code(self, code: str) -> None:
        """Change the module, to something else; in one step, as good editors do."""
        new = self._module.with_suffix(".new")
        new.write_text(code)
        new.replace(self._module)

    def start(self, *options: str, **environment: str) -> Process:
        """Start a worker that watches the module."""
        path = os.pathsep.join([str(self._folder), str(REPOSITORY)])
        given = {"DJANGO_SETTINGS_MODULE": "changing_settings", "PYTHONPATH": path, **environment}
        return self._start("wagtail_worker", "--reload", *options, **given)

    def loaded(self, version: str) -> list[int]:
        """Return the processes that have loaded a version of the module."""
        lines = [line.split() for line in self._loaded.read_text().splitlines()]
        return [int(pid) for found, pid, child in lines if (found, child) == (version, "true")]

    def wait_for(self, version: str) -> int:
        """Return the process of the worker that has a version of the module."""

        def working() -> int | None:  # to change it again may have started yet another one
            return next((pid for pid in self.loaded(version) if pid in alive()), None)

        return int(wait_until(working, f"a worker with {version} works"))


def alive() -> set[int]:
    """Return the processes of the workers that have not stopped."""
    return set(Worker.objects.filter(stopped_at=None).values_list("pid", flat=True))


@pytest.fixture
def site(start: Start, tmp_path: Path) -> Site:
    """A site whose module is at its first version."""
    made = Site(tmp_path, start)
    made.write("first")
    return made


def words(trace_file: Path) -> list[str]:
    """Return the first word of every trace."""
    return [line.split()[0] for line in trace_file.read_text().splitlines()]


def begin_to_wait(trace_file: Path, gate: Path) -> None:
    """Have a worker run a task that ends when a file appears."""
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: words(trace_file) == ["began"], "the task has begun")


@pytest.mark.slow
def test_change__what_runs_ends_before_the_worker_starts_anew(
    site: Site, trace_file: Path, tmp_path: Path
) -> None:
    worker = site.start("--threads=1", **PATIENT)
    first = site.wait_for("first")
    assert first != worker.pid
    begin_to_wait(trace_file, tmp_path / "gate")
    tasks.trace(str(trace_file), "later")
    site.change(worker, site.code("second"))
    assert f"Worker {first} is stopping" in worker.said()
    assert site.loaded("second") == []
    (tmp_path / "gate").touch()
    second = site.wait_for("second")
    wait_until(lambda: words(trace_file) == ["began", "ended", "later"], "the next one goes on")
    assert trace_file.read_text().splitlines()[-1] == f"later {second}"
    unfinished = BackgroundTask.objects.exclude(state=State.SUCCEEDED)
    wait_until(lambda: not unfinished.exists(), "both have succeeded")
    assert set(BackgroundTask.objects.values_list("attempt", flat=True)) == {1}
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert not alive()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal__what_runs_ends(
    site: Site, trace_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    worker = site.start("--threads=1", **PATIENT)
    site.wait_for("first")
    begin_to_wait(trace_file, tmp_path / "gate")
    # As a terminal does on Ctrl-C: to all processes of the group.
    os.killpg(worker.pid, number) if number == signal.SIGINT else worker.send(number)
    worker.wait_for("is stopping")
    (tmp_path / "gate").touch()
    assert worker.wait() == 0
    assert words(trace_file) == ["began", "ended"]
    assert BackgroundTask.objects.get().state == State.SUCCEEDED
    assert not alive()
    assert "Traceback" not in worker.said()


@pytest.mark.slow
def test_second_signal__hands_back(site: Site, trace_file: Path, tmp_path: Path) -> None:
    worker = site.start("--threads=1", **PATIENT)
    site.wait_for("first")
    begin_to_wait(trace_file, tmp_path / "gate")
    worker.send(signal.SIGTERM)
    worker.wait_for("is stopping")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    row = BackgroundTask.objects.get()
    assert (row.state, row.deaths) == (State.WAITING, 0)


@pytest.mark.slow
def test_signal__while_it_stops_for_a_change_ends_it_for_good(
    site: Site, trace_file: Path, tmp_path: Path
) -> None:
    worker = site.start("--threads=1", **PATIENT)
    site.wait_for("first")
    begin_to_wait(trace_file, tmp_path / "gate")
    site.change(worker, site.code("second"))
    worker.send(signal.SIGTERM)
    (tmp_path / "gate").touch()
    assert worker.wait() == 0
    assert words(trace_file) == ["began", "ended"]
    assert not alive()


@pytest.mark.slow
def test_broken_code__is_waited_out(start: Start, trace_file: Path, tmp_path: Path) -> None:
    site = Site(tmp_path, start, "models")
    site.write("first")
    broken = "def unfinished("
    worker = site.start()
    first = site.wait_for("first")
    site.change(worker, broken)
    worker.wait_for("The worker did not start again")
    assert "unfinished" in worker.said()
    assert first not in alive()
    site.write("second")
    site.wait_for("second")
    tasks.trace(str(trace_file), "done")
    wait_until(lambda: words(trace_file) == ["done"], "tasks are run again")
    site.change(worker, broken)
    wait_until(lambda: worker.said().count("did not start again") == 2, "it is broken again")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0


@pytest.mark.slow
def test_broken_code__of_a_module_that_the_worker_can_do_without(site: Site) -> None:
    site.write_code("raise ValueError('unfinished')")
    worker = site.start()
    worker.wait_for("changing.tasks cannot be imported")
    site.change(worker, site.code("second"))
    site.wait_for("second")


@pytest.mark.slow
def test_mistakes_of_settings__end_it_with_one_sentence(site: Site) -> None:
    worker = site.start(SITE_BACKEND="")
    assert worker.wait() == 1
    assert worker.said().count('CommandError: WAGTAIL_TASKS["BACKEND"] is blank') == 1
    assert "Traceback" not in worker.said()


@pytest.mark.slow
def test_parent_killed__the_child_ends(site: Site) -> None:
    worker = site.start()
    pid = site.wait_for("first")
    worker.send(signal.SIGKILL)
    wait_until(lambda: pid not in alive(), "the worker has stopped")


@pytest.mark.slow
def test_max_seconds__end_it(site: Site) -> None:
    worker = site.start("--max-seconds=1")
    assert worker.wait() == 0
    assert "1 seconds are over" in worker.said()
    assert not alive()


@pytest.mark.slow
def test_settings_for_several_processes__are_for_others(site: Site) -> None:
    worker = site.start(TEST_WORKER='{"processes": 3, "max_tasks": 1, "threads": 1}')
    site.wait_for("first")
    assert len(alive()) == 1
    assert "starts 1 thread." in worker.said()


@pytest.mark.slow
def test_what_a_task_starts__does_not_count_as_the_child(site: Site) -> None:
    site.start("--health=0")
    pid = site.wait_for("first")
    # The environment as Python has it, not as /proc shows it: a task is asked.
    result = tasks.environment("RUN_MAIN", "WAGTAIL_WORKER_PARENT")
    assert result.get(blocking=True) == [None, None]
    assert pid in alive()


# Whether it does ----------------------------------------------------------------------------


def decides(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> bool:
    """Return what a command decides."""
    monkeypatch.setattr(sys, "argv", ["manage.py", "wagtail_worker", *arguments])
    parser = wagtail_worker.Command().create_parser("manage.py", "wagtail_worker")
    return wagtail_worker._is_to_reload(vars(parser.parse_args(list(arguments))))


@pytest.mark.parametrize("debug", [True, False])
def test_default__is_on_with_debug_alone(
    settings: Any, monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    settings.DEBUG = debug
    assert decides(monkeypatch) is debug
    assert decides(monkeypatch, "--threads=2", "--queue=a") is debug
    assert decides(monkeypatch, "--reload")
    for option in (*("--noreload", "--drain", "--processes=2", "--max-tasks=5", "--max-memory=5"),):
        assert not decides(monkeypatch, option)


def test_default__is_off_where_code_calls_the_command(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEBUG = True
    parser = wagtail_worker.Command().create_parser("manage.py", "wagtail_worker")
    for argv in (["pytest"], ["manage.py", "shell"], [], ["-c"]):
        monkeypatch.setattr(sys, "argv", argv)
        assert not wagtail_worker._is_to_reload(vars(parser.parse_args([])))
    with pytest.raises(CommandError, match="--reload works on the command line only"):
        call_command("wagtail_worker", "--reload")


@pytest.mark.parametrize("option", ["--drain", "--processes=2", "--max-tasks=5", "--max-memory=5"])
def test_reload__and_what_it_does_not_go_with(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    name = option.partition("=")[0]
    with pytest.raises(CommandError, match=f"Give either --reload or {name}, not both"):
        decides(monkeypatch, "--reload", option)


def test_sqlite_file__is_no_code() -> None:
    """What the worker writes to does not make it start anew."""
    from wagtail_async_hooks.worker import reloading

    database = str(connection.settings_dict["NAME"])
    assert database not in {str(file) for file, _ in reloading._written()}
