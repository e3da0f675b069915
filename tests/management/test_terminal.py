"""The commands in a real terminal, in a pipe that nobody reads, and interrupted."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from tests.limits import ENDING, PATIENCE
from tests.processes import REPOSITORY, Process, wait_until
from tests.work import tasks, tasks_of_package
from wagtail_async_hooks.management import endings
from wagtail_async_hooks.models import BackgroundTask

pytestmark = pytest.mark.slow

BACKEND = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"
CTRL_C = "\x03"
CTRL_D = "\x04"


class Terminal:
    """A management command in a terminal of 80 columns.

    :param arguments: of ``manage.py``.
    """

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.set_blocking(self._ours, False)
        self._said = b""
        # A session of its own, of which this is the terminal: so Ctrl-C reaches it.
        take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        take += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", take, "tests/site/manage.py", *arguments],
            cwd=REPOSITORY,
            env=environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self._process.kill()
        self._process.wait(ENDING)
        os.close(self._ours)

    def said(self) -> str:
        """Return all that has been printed so far, without colours."""
        try:
            while read := os.read(self._ours, 65_536):
                self._said += read
        except OSError:
            pass  # nothing to read for now, or for ever
        return re.sub(r"\x1b\[[0-9;]*m", "", self._said.decode()).replace("\r\n", "\n")

    def answer(self, question: str, answer: str) -> None:
        """Type something, once a question has been printed."""
        wait_until(lambda: question in self.said(), f"it prints {question}: {self.said()}")
        os.write(self._ours, answer.encode())

    def wait(self) -> int:
        """Return the exit code, once it has ended."""
        said = wait_until(lambda: self._over(), f"it ends: {self.said()}")
        assert said
        return int(self._process.returncode)

    def _over(self) -> bool:
        self.said()  # which it may wait for
        return self._process.poll() is not None


def environment() -> dict[str, str]:
    """Return the variables with which a command uses the tests' database."""
    from django.db import connection

    ours = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    database = str(connection.settings_dict["NAME"])
    return {**ours, "DJANGO_SETTINGS_MODULE": "tests.settings", "SITE_DATABASE_NAME": database}


@pytest.fixture
def terminal(committed_db: None) -> Iterator[Callable[..., Terminal]]:
    """Start commands in terminals, which end with the test."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(Terminal(*arguments))


@pytest.fixture
def three(committed_db: None) -> None:
    """Three tasks that wait."""
    for number in range(3):
        tasks.add(number, 1)


def left() -> int:
    """Return how many tasks there are."""
    return BackgroundTask.objects.count()


# Questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "number"),
    [
        ("y\n", 0, 0),
        ("YES\n", 0, 0),
        ("\n", 1, 3),
        ("no\n", 1, 3),
        (CTRL_D, 1, 3),
        (CTRL_C, 130, 3),
    ],
)
def test_discard__asks_in_a_terminal(
    answer: str, code: int, number: int, three: None, terminal: Any
) -> None:
    command = terminal("wagtail_tasks", "discard", "--all")
    command.answer("Go on? [y/N] ", answer)

    assert command.wait() == code
    said = command.said()
    assert "This discards 3 tasks for good, with their results and errors: 3 waiting.\n" in said
    assert ("Nothing was discarded." in said) == bool(number)
    assert "Traceback" not in said
    assert left() == number


def test_cancel__asks_and_leaves_what_came_meanwhile(three: None, terminal: Any) -> None:
    command = terminal("wagtail_tasks", "cancel", "--state=waiting", "--json")
    wait_until(lambda: "[y/N]" in command.said(), "it asks")
    tasks.add(4, 5)
    command.answer("[y/N] ", "y\n")

    assert command.wait() == 0
    assert '"cancelled": 3' in command.said()
    assert BackgroundTask.objects.filter(state="waiting").count() == 1


def test_cancel__says_nothing_of_errors(
    settings: Any, committed_db: None, start: Callable[..., Process]
) -> None:
    settings.TASKS = {"default": {"BACKEND": BACKEND}}
    tasks_of_package.fail.enqueue()
    command = start("wagtail_tasks", "cancel", "--all", TEST_TASKS=json.dumps(settings.TASKS))
    assert command.wait() == 0
    assert command.said() == "1 task cancelled.\n"


def test_discard__does_not_ask_for_one_task(terminal: Any) -> None:
    tasks.add(1, 2)
    command = terminal("wagtail_tasks", "discard", "--all")
    assert command.wait() == 0
    assert "1 task discarded." in command.said()


def test_discard__refuses_where_nobody_could_answer(
    three: None, start: Callable[..., Process]
) -> None:
    command = start("wagtail_tasks", "discard", "--all")
    assert command.wait() == 1
    assert command.said() == (
        "CommandError: 3 tasks would be discarded, and there is no terminal to ask in: add --yes "
        "to do it, or --dry-run to see the number alone.\n"
    )
    assert left() == 3

    assert start("wagtail_tasks", "discard", "--all", "--yes").wait() == 0
    assert left() == 0


def test_discard__refuses_without_a_standard_input(three: None, tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"
    command = [sys.executable, "tests/site/manage.py", "wagtail_tasks", "discard", "--all"]
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    with errors.open("w") as sink:
        ended = subprocess.run(
            closed, cwd=REPOSITORY, env=environment(), stderr=sink, timeout=PATIENCE, check=False
        )
    assert ended.returncode == 1
    assert "there is no terminal to ask in" in errors.read_text()
    assert left() == 3


# Ctrl-C -------------------------------------------------------------------------------------


def test_interrupted__while_it_waits_for_a_task(terminal: Any) -> None:
    command = terminal("wagtail_tasks", "run", "check", "--wait")
    command.answer("It does not begin yet: No worker is running.\n", CTRL_C)
    assert command.wait() == 130
    assert "goes on; nobody waits for it." in command.said()
    assert "Traceback" not in command.said()


def test_interrupted__in_the_middle_of_something(terminal: Any, trace_file: Path) -> None:
    gate = f"{trace_file}-gate"
    command = terminal(
        "wagtail_tasks", "run", "--here", "tests.work.tasks.wait_for", str(trace_file), gate
    )
    wait_until(lambda: "began" in trace_file.read_text(), "it has begun")
    command.answer("", CTRL_C)
    assert command.wait() == endings.INTERRUPTED
    assert "Interrupted." in command.said()
    assert "Traceback" not in command.said()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_interrupted__a_worker(processes: str, terminal: Any) -> None:
    worker = terminal("wagtail_worker", "--processes", processes)
    worker.answer("Background hooks:", CTRL_C)  # before its handlers, or after
    assert worker.wait() in (0, endings.INTERRUPTED)
    assert "Traceback" not in worker.said()


# Pipes --------------------------------------------------------------------------------------


def run_unread(errors: Path, *arguments: str) -> int:
    """Run a subcommand into a pipe whose other end is closed, as ``| head`` closes it."""
    command = [sys.executable, "tests/site/manage.py", "wagtail_tasks", *arguments]
    ours, theirs = os.pipe()
    os.close(ours)
    with errors.open("w") as sink:
        ended = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=sink,
            timeout=PATIENCE,
            check=False,
        )
    os.close(theirs)
    return ended.returncode


@pytest.mark.parametrize(
    "arguments", [("list",), ("hooks", "--all", "--json")], ids=["short", "long"]
)
def test_pipe__that_nobody_reads(arguments: Any, three: None, tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"
    assert run_unread(errors, *arguments) == endings.NOT_READ
    assert errors.read_text() == ""


def test_pipe__that_nobody_reads_and_an_error(committed_db: None, tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"
    assert run_unread(errors, "show", "7000000") == 1
    assert errors.read_text() == "CommandError: There is no task 7000000.\n"


def test_pipe__of_something_else_is_an_error() -> None:
    with pytest.raises(BrokenPipeError, match="of a server"), endings.without_traceback():
        raise BrokenPipeError("of a server")
