"""Processes that tasks fork: what comes back ends, and what does not is a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections

from tests.processes import Process, wait_until
from tests.work import leaving_tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils import forks

Start = Callable[..., Process]

pytestmark = [
    pytest.mark.slow,
    # Python 3.12 warns of a fork in a process that has threads: the task's affair.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def traced(trace_file: Path, word: str) -> list[int]:
    """Return the processes that have left a word."""
    lines = [line.split() for line in trace_file.read_text().splitlines()]
    return [int(pid) for first, pid, *_ in lines if first == word]


def is_running(pid: int) -> bool:
    """Return whether a process exists, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def groups(committed_db: None) -> Iterator[None]:
    """No groups that tasks have made, before the test and after it."""
    Group.objects.filter(name__startswith="of ").delete()
    yield
    Group.objects.filter(name__startswith="of ").delete()


no_sqlite = pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="SQLite's library cannot be used in a child that was forked beside other threads",
)


@pytest.mark.parametrize(
    "how", ["returns", pytest.param("queries", marks=no_sqlite), "raises", "own", "exits"]
)
def test_fork__the_child_ends_where_it_comes_back(
    start: Start, groups: None, trace_file: Path, how: str
) -> None:
    results = [leaving_tasks.fork(str(trace_file), how), leaving_tasks.ask("SELECT 1")]
    drain = start("wagtail_worker", "--drain", "--threads", "2")

    assert drain.wait() == 0
    [child], [parent] = traced(trace_file, "child"), traced(trace_file, "parent")
    assert [result.get() for result in results] == [parent, "1"]
    assert parent == drain.pid
    assert not is_running(child)
    assert set(BackgroundTask.objects.values_list("state", "attempt")) == {(State.SUCCEEDED, 1)}
    assert Worker.objects.count() == 1
    told = f"The process {child}, which"
    assert (told in drain.said()) is (how != "exits")
    assert Group.objects.filter(name="of a child").exists() is (how == "queries")
    assert "does not answer" not in drain.said()


def test_fork__in_a_coroutine(start: Start, groups: None, trace_file: Path) -> None:
    result = leaving_tasks.fork_in_coroutine(str(trace_file))
    drain = start("wagtail_worker", "--drain")

    assert drain.wait() == 0
    [child] = traced(trace_file, "child")
    assert result.get() == drain.pid
    assert not is_running(child)


def test_fork__amid_a_transaction(start: Start, groups: None, trace_file: Path) -> None:
    result = leaving_tasks.fork_in_transaction(str(trace_file))
    drain = start("wagtail_worker", "--drain")

    assert drain.wait() == 0
    assert result.get() == drain.pid
    assert Group.objects.filter(name="of the parent").exists()


@no_sqlite
def test_fork__beside_other_threads_whose_connections_live(
    start: Start, groups: None, trace_file: Path
) -> None:
    for _ in range(10):
        leaving_tasks.fork(str(trace_file), "queries")
        leaving_tasks.ask("SELECT 1")
    drain = start("wagtail_worker", "--drain", "--threads", "4")

    assert drain.wait() == 0
    assert set(BackgroundTask.objects.values_list("state", "attempt")) == {(State.SUCCEEDED, 1)}
    assert "does not answer" not in drain.said()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing__terminate_ends_a_child(
    start: Start, groups: None, trace_file: Path, method: str
) -> None:
    result = leaving_tasks.terminate(str(trace_file), method)
    drain = start("wagtail_worker", "--drain")

    assert drain.wait() == 0
    assert result.get() == -signal.SIGTERM
    [child] = traced(trace_file, "child")
    assert not is_running(child)


def test_multiprocessing__with_several_worker_processes(
    start: Start, groups: None, trace_file: Path
) -> None:
    result = leaving_tasks.terminate(str(trace_file), "fork")
    worker = start("wagtail_worker", "--processes", "2")
    wait_until(lambda: BackgroundTask.objects.get().state == State.SUCCEEDED, "it has run")
    worker.send(signal.SIGTERM)

    assert worker.wait() == 0  # our own children have their own handlers
    assert result.get() == -signal.SIGTERM


@no_sqlite
def test_pool__of_processes(start: Start, groups: None) -> None:
    Group.objects.create(name="of the site")
    result = leaving_tasks.use_pool()
    drain = start("wagtail_worker", "--drain")

    assert drain.wait() == 0
    assert result.get() == [Group.objects.count()] * 4


@pytest.mark.usefixtures("immediate")
def test_fork__in_the_request(groups: None, trace_file: Path) -> None:
    leaving_tasks.fork(str(trace_file), "returns")

    [child] = traced(trace_file, "child")
    assert child != os.getpid()
    assert not is_running(child)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (SystemExit(), 0),
        (SystemExit(3), 3),
        (SystemExit("goodbye"), 1),
        (ValueError(), 1),
        (KeyboardInterrupt(), 1),
    ],
    ids=repr,
)
def test_end__exit_code(error: BaseException | None, code: int) -> None:
    since = forks.generation()
    child = os.fork()
    if not child:
        forks.end_if_forked(since, lambda: "a test", error)
        os._exit(99)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == code


def test_worker__a_child_has_default_handlers_and_no_connections(groups: None) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    connection.ensure_connection()
    ours = connections["default"]
    forks.begin_worker()
    reader, writer = os.pipe()
    try:
        signal.signal(signal.SIGTERM, lambda *args: None)
        child = os.fork()
        if not child:
            is_default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            has_none = ours.connection is None
            again = Group.objects.filter(name="of nobody").count()
            os.write(writer, repr((is_default, has_none, again)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 100) == b"(True, True, 0)"
        assert ours.connection is not None
        assert Group.objects.filter(name="of nobody").count() == 0
    finally:
        forks.end_worker()
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def test_pools__of_connections_are_not_shared() -> None:
    """Django keeps them where its pages do not say."""
    from django.db.backends.postgresql.base import DatabaseWrapper

    assert isinstance(DatabaseWrapper._connection_pools, dict)
    assert sys.modules["wagtail_async_hooks.utils.forks"] is forks
    assert background is not None
