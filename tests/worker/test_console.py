"""Tests of the worker's lines on standard error: what is written when, and that nothing is lost."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker.console import WRITE_INTERVAL, Console, sole_console

Start = Callable[..., Process]


class Stream(io.StringIO):
    """Counts how often it is written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def console(stream: Stream) -> Console:
    return Console(stream)


@pytest.fixture
def logger(console: Console) -> Iterator[logging.Logger]:
    """Yield a logger that only the console hears."""
    made = logging.getLogger("tests.console")
    made.propagate = False
    made.setLevel(logging.INFO)
    made.addHandler(console)
    yield made
    made.handlers.clear()
    made.filters.clear()


def test_step__is_the_line_of_a_record(
    console: Console, logger: logging.Logger, stream: Stream
) -> None:
    logger.info("Tide [task 7] started")
    console.tell_step("INFO", "Tide [task 7] started")
    logger.info("Tide [task 7] started")

    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert len({line[len("2026-11-24 09:15:02,300") :] for line in lines}) == 1
    assert lines == sorted(lines)
    assert all(
        re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[\d+ MainT", line) for line in lines
    )


def test_step__does_nothing_to_a_terminal(console: Console, stream: Stream) -> None:
    console.tell_step("INFO", "Tide\x1b[2J\n started")
    assert stream.getvalue().splitlines()[0].endswith("INFO Tide\\x1b[2J")


def test_steps__are_written_together(console: Console, stream: Stream) -> None:
    begun = time.monotonic()
    for number in range(2_000):
        console.tell_step("INFO", f"Tide [task {number}] started")
    console.flush()
    seconds = time.monotonic() - begun

    assert stream.writes <= 2 + 2 * seconds / WRITE_INTERVAL
    numbers = [int(found) for found in re.findall(r"task (\d+)", stream.getvalue())]
    assert numbers == list(range(2_000))


def test_steps__are_written_soon_if_nothing_follows(console: Console, stream: Stream) -> None:
    for number in range(3):
        console.tell_step("INFO", f"Tide [task {number}] started")
    wait_until(lambda: stream.getvalue().count("\n") == 3, "all are written")

    console.tell_step("INFO", "Tide [task 4] started")
    console.tell_step("INFO", "Tide [task 4] succeeded")
    wait_until(lambda: stream.getvalue().count("\n") == 5, "they are written each time")


def test_records__are_written_at_once_and_in_order(
    console: Console, logger: logging.Logger, stream: Stream
) -> None:
    console.tell_step("INFO", "one")
    console.tell_step("INFO", "two")
    logger.warning("three")
    assert re.findall(r"(\w+)$", stream.getvalue(), re.MULTILINE) == ["one", "two", "three"]
    logger.info("four")
    assert stream.getvalue().endswith("four\n")


def test_records__of_steps_are_kept_too(logger: logging.Logger, stream: Stream) -> None:
    for _ in range(500):
        logger.info("Tide started", extra={"action": "started"})
    assert stream.writes < 500
    logger.warning("Tide retrying", extra={"action": "retrying"})
    assert stream.getvalue().count("\n") == 501


def test_shutdown__writes_what_is_kept(console: Console, stream: Stream) -> None:
    console.tell_step("INFO", "one")
    console.tell_step("INFO", "two")
    logging.shutdown([weakref.ref(console)])
    assert stream.getvalue().endswith("two\n")


def test_fork__leaves_the_lines_to_the_parent(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("a") as stream:
        console = Console(stream)
        for word in ("one", "two"):
            console.tell_step("INFO", word)
        child = os.fork()
        if child == 0:
            try:
                console.tell_step("INFO", "child")
                console.flush()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        console.flush()
    assert sorted(re.findall(r"(\w+)$", path.read_text(), re.MULTILINE)) == ["child", "one", "two"]


def test_stream__that_fails_stops_nobody(
    console: Console, stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    stream.close()
    console.tell_step("INFO", "one")
    assert "I/O operation on closed file" in capsys.readouterr().err


def test_sole_console__where_nobody_else_looks(console: Console, logger: logging.Logger) -> None:
    logger.handlers[:] = [console]  # pytest has added some
    assert sole_console(logger) is console


@pytest.mark.parametrize("who", ["handler", "filter", "filter_of_handler", "level", "propagation"])
def test_sole_console__where_somebody_else_does(
    who: str, console: Console, logger: logging.Logger
) -> None:
    logger.handlers[:] = [console]
    if who == "handler":
        logger.addHandler(logging.NullHandler())
    elif who == "filter":
        logger.addFilter(lambda record: True)
    elif who == "filter_of_handler":
        console.addFilter(lambda record: True)
    elif who == "level":
        console.setLevel(logging.WARNING)
    else:
        logger.propagate = True  # to what pytest has on the root logger
    assert sole_console(logger) is None


def test_sole_console__where_a_tool_stands_in_for_logging(
    console: Console, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(self: logging.Logger, record: logging.LogRecord) -> None:
        """Keep a record, as Sentry does."""

    logger.handlers[:] = [console]
    monkeypatch.setattr(logging.Logger, "callHandlers", kept)
    assert sole_console(logger) is None
    monkeypatch.undo()
    assert sole_console(logger) is console

    class Own(logging.LogRecord):
        """A site's own."""

    logging.setLogRecordFactory(Own)
    try:
        assert sole_console(logger) is None
    finally:
        logging.setLogRecordFactory(logging.LogRecord)


def test_sole_console__without_one(logger: logging.Logger) -> None:
    logger.handlers.clear()
    assert sole_console(logger) is None


# Workers ------------------------------------------------------------------------------------


def _introduced(worker: Process) -> None:
    """Wait until a worker has said what it does, and has been silent for a while."""
    worker.wait_for(r"Background hooks: ")
    said = ""
    while said != (said := worker.said()):
        time.sleep(2 * WRITE_INTERVAL)


@pytest.mark.slow
def test_worker__shows_what_runs(start: Start, committed_db: None, tmp_path: Path) -> None:
    trace, gate = tmp_path / "trace", tmp_path / "gate"
    worker = start("wagtail_worker", "--threads", "1")
    for number in range(20):
        tasks.add(number, number)
    tasks.wait_for(str(trace), str(gate))
    pk = BackgroundTask.objects.latest("pk").pk
    try:
        worker.wait_for(rf"\[task {pk}\] started")
        assert f"[task {pk}] succeeded" not in worker.said()
    finally:
        gate.touch()
    worker.wait_for(rf"\[task {pk}\] succeeded")


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_worker__that_is_stopped_has_written_all(
    processes: str, start: Start, committed_db: None
) -> None:
    number = 300
    background.enqueue_many(tasks.add.s(1, 2) for _ in range(number))
    worker = start("wagtail_worker", "--processes", processes)
    ended = BackgroundTask.objects.filter(state=State.SUCCEEDED)
    wait_until(lambda: ended.count() >= 50, "some are done")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0

    said = worker.said()
    done = {str(pk) for pk in ended.values_list("pk", flat=True)}
    assert sorted(re.findall(r"\[task (\d+)\] started", said)) == sorted(done)
    assert sorted(re.findall(r"\[task (\d+)\] succeeded", said)) == sorted(done)


@pytest.mark.slow
def test_worker__names_the_task_that_it_dies_of(
    start: Start, committed_db: None, trace_file: Path
) -> None:
    worker = start("wagtail_worker")
    _introduced(worker)
    tasks.die(str(trace_file))
    row = BackgroundTask.objects.get()
    assert worker.wait() == 9
    assert f"[task {row.pk}] started" in worker.said()
