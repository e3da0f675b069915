"""The embedded worker's lock, when a process begins with it, and what is said where it cannot."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
from django.db import OperationalError, connection, connections
from django.test import Client

from tests.processes import wait_until
from tests.work import tasks
from wagtail_async_hooks import ledger
from wagtail_async_hooks.embedded import lifespan
from wagtail_async_hooks.ledger import migrated
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.catching import is_of_exit
from wagtail_async_hooks.worker import identity
from wagtail_async_hooks.worker.embedded import host, limits, lock, process
from wagtail_async_hooks.worker.embedded.lock import HostLock, LockRefused
from wagtail_async_hooks.worker.embedded.thread import HostThread
from wagtail_async_hooks.worker.supervisor import STOP_SIGNALS

# The lock -----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


def is_free(path: Path) -> bool:
    """Return whether somebody else could have the lock."""
    other = HostLock(path)
    found = other.acquire()
    other.release()
    return found


def test_lock__one_has_it(path: Path) -> None:
    held = HostLock(path)
    assert held.acquire()
    assert held.acquire()
    assert not is_free(path)
    assert path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert held.is_kept()
    held.release()
    assert is_free(path)
    assert not held.is_kept()


def test_lock__dies_with_its_holder(path: Path) -> None:
    code = (
        "import sys, pathlib; from wagtail_async_hooks.worker.embedded.lock import HostLock;"
        "lock = HostLock(pathlib.Path(sys.argv[1])); print(lock.acquire(), flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "True\n"
            assert not is_free(path)
        finally:
            other.kill()
    assert is_free(path)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_lock__is_not_that_of_a_child(path: Path) -> None:
    held = HostLock(path)
    held.acquire()
    asked, answers = os.pipe()
    gate, opens = os.pipe()
    child = os.fork()
    if child == 0:
        held.forget()
        os.write(answers, b"1")
        os.close(opens)
        os.read(gate, 1)
        os._exit(0)
    try:
        os.read(asked, 1)
        assert not is_free(path), "the child has let its copy go, and not the lock"
        held.release()
        assert is_free(path), "the child has no copy"
    finally:
        os.write(opens, b"1")
        os.waitpid(child, 0)
        for each in (asked, answers, gate, opens):
            os.close(each)


@pytest.mark.parametrize("replaced", [False, True])
def test_lock__notices_that_its_file_is_gone(path: Path, replaced: bool) -> None:
    held = HostLock(path)
    held.acquire()
    path.unlink()
    if replaced:
        path.touch()
    assert not held.is_kept()
    assert is_free(path)
    held.release()


def test_lock__is_touched_so_that_nobody_tidies_it_up(path: Path) -> None:
    held = HostLock(path)
    held.acquire()
    os.utime(path, (1, 1))
    assert held.is_kept()
    assert path.stat().st_mtime > 1
    held.release()


def _link(path: Path) -> None:
    (path.parent / "target").write_text("precious")
    path.symlink_to(path.parent / "target")


def _link_twice(path: Path) -> None:
    (path.parent / "target").write_text("precious")
    path.hardlink_to(path.parent / "target")


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (_link, "is a symbolic link, which somebody may have put there; delete it."),
        (_link_twice, "has another name besides"),
        (os.mkfifo, "is no regular file; delete it."),
        (Path.mkdir, r"cannot be opened \(Is a directory\); let TMPDIR name a folder"),
    ],
    ids=["symlink", "hard-link", "fifo", "folder"],
)
def test_lock__of_a_file_that_is_no_lock_file(
    path: Path, prepare: Callable[[Path], None], why: str
) -> None:
    prepare(path)
    with pytest.raises(LockRefused, match=why):
        HostLock(path).acquire()
    target = path.parent / "target"
    assert not target.exists() or target.read_text() == "precious"


def test_lock__of_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    with pytest.raises(LockRefused, match=r"belongs to the user .*, but this process is one"):
        HostLock(path).acquire()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_lock__that_another_user_may_not_even_open(path: Path) -> None:
    path.touch(mode=0o600)
    for folder in path.parents:
        if folder.stat().st_uid == os.geteuid() and len(folder.parts) > 2:
            folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(LockRefused, match="belongs to the user root, but this process is one"):
            HostLock(path).acquire()
        with pytest.raises(LockRefused, match=r"cannot be opened \(Permission denied\)"):
            HostLock(path.with_name("b.lock")).acquire()
    finally:
        os.seteuid(0)


def test_lock__in_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(LockRefused, match=r"cannot be opened .*let TMPDIR name a folder"):
        HostLock(tmp_path / "nowhere" / "a.lock").acquire()


def test_path__is_that_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def path_with(**given: Any) -> Path:
        monkeypatch.setitem(connections.settings, "default", {**before, **given})
        return lock.path_for("default")

    before = connections.settings["default"]
    paths = [path_with(), path_with(NAME="other"), path_with(HOST="db.example"), path_with(PORT=9)]
    assert len(set(paths)) == 4
    assert path_with() == paths[0]
    assert "other" not in paths[1].name
    if connection.vendor == "sqlite":
        (tmp_path / "link").symlink_to(tmp_path / "site.sqlite3")
        one, two = path_with(NAME=tmp_path / "site.sqlite3"), path_with(NAME=str(tmp_path / "link"))
        assert one == two


# When a process begins ----------------------------------------------------------------------


@pytest.fixture
def made(db: None, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[list[Any]]:
    """Have the settings ask for a worker; return the hosts that are made, which do nothing."""
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "WORKER": {"embedded": True}}
    hosts: list[Any] = []

    def make() -> Any:
        hosts.append(SimpleNamespace(stop=lambda: hosts.append("stopped"), forget=lambda: None))
        return hosts[-1]

    monkeypatch.setattr(process, "_make_host", make)
    monkeypatch.setattr(process, "_is_test", lambda: False)
    monkeypatch.setattr(process._State, "host", None)
    monkeypatch.setattr(process._State, "is_over", False)
    monkeypatch.setattr(process._State, "is_prepared", True)
    process.connect()
    yield hosts
    request_finished.disconnect(dispatch_uid=process.__name__)


@pytest.mark.parametrize("handler", [WSGIHandler, ASGIHandler, type("Own", (WSGIHandler,), {})])
def test_request__the_first_one_begins(made: list[Any], handler: Any) -> None:
    for _ in range(3):
        request_finished.send(sender=handler)
    assert len(made) == 1


def test_request__of_a_test_begins_nothing(
    made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Client().get("/")
    monkeypatch.undo()
    assert process._is_test(), "Django's runner and pytest-django are known"
    request_finished.send(sender=WSGIHandler)  # as a LiveServerTestCase
    assert made == []


def test_request__begins_nothing_once_it_is_over(made: list[Any]) -> None:
    request_finished.send(sender=WSGIHandler)
    process.stop()
    process.stop()
    request_finished.send(sender=WSGIHandler)
    assert made[1:] == ["stopped", "stopped"]


def test_request__hears_nothing_of_errors(
    made: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(process, "_make_host", fail)
    for _ in range(2):
        request_finished.send(sender=WSGIHandler)
    assert caplog.text.count("cannot start.") == 1


def test_request__many_at_once_begin_one(made: list[Any]) -> None:
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        request_finished.send(sender=WSGIHandler)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(made) == 1


def test_start__does_nothing_unless_it_is_asked_for(made: list[Any], settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    process.start()
    assert made == []


def test_start__imports_what_tasks_need_before_requests_come(
    made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def import_tasks() -> None:
        assert made == []
        imported.append(1)
        raise host.CannotRun("The hooks of the site cannot be imported")

    imported: list[int] = []
    monkeypatch.setattr(host, "import_tasks", import_tasks)
    process.start()
    assert (len(imported), len(made)) == (1, 1)  # the thread says why, and tries again


def test_start__before_django_is_set_up() -> None:
    code = "from wagtail_async_hooks import embedded; embedded.start(); embedded.stop()"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.embedded.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "cannot start before Django is set up" in done.stderr


def test_fork__the_child_may_begin_anew(made: list[Any]) -> None:
    process.start()
    process._after_fork()
    request_finished.send(sender=WSGIHandler)
    assert len(made) == 2


def test_lifespan__hands_all_else_to_the_application(made: list[Any]) -> None:
    scopes: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope["type"])

    async def run() -> list[str]:
        sent: list[str] = []
        received = iter(["startup", "shutdown"])

        async def receive() -> Any:
            return {"type": f"lifespan.{next(received)}"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        wrapped = lifespan(application)
        await wrapped({"type": "http"}, receive, send)
        await wrapped({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(run()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert scopes == ["http"]
    assert made[1:] == ["stopped"]


# The host -----------------------------------------------------------------------------------


@pytest.fixture
def hosts(
    committed_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], HostThread]]:
    """Start hosts, whose lock is the test's own; they end with it."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    for name in ("STANDBY_INTERVAL", "CHECK_INTERVAL", "RETRY_INTERVAL"):
        monkeypatch.setattr(host, name, 0.02)
    made: list[HostThread] = []

    def start() -> HostThread:
        made.append(HostThread())
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop()


def alive() -> int:
    """Return how many workers there are."""
    return Worker.objects.filter(stopped_at=None).count()


@pytest.mark.slow
def test_host__of_two_one_works_and_the_process_stays_as_it_is(
    hosts: Callable[[], HostThread], trace_file: Path
) -> None:
    def shared() -> object:
        handlers = [signal.getsignal(number) for number in STOP_SIGNALS]
        return handlers, connections.settings[ledger.database()].get("CONN_MAX_AGE")

    before = shared()
    first, second = hosts(), hosts()
    wait_until(lambda: alive() == 1, "one works")
    ran = tasks.trace(str(trace_file), "x")
    assert ran.get(blocking=True, timeout=60) == os.getpid()
    assert shared() == before
    for each in (first, second):
        each.stop()
        assert alive() <= 1
    assert alive() == 0
    assert shared() == before
    assert not forks._Process.is_worker


@pytest.mark.slow
def test_host__whose_file_is_deleted_finds_out_who_works(
    hosts: Callable[[], HostThread],
    trace_file: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_SHUTDOWN_TIMEOUT", 0.0)
    hosts()
    wait_until(lambda: alive() == 1, "it works")
    former = Worker.objects.get()
    gate = tmp_path / "gate"
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: trace_file.exists() and trace_file.read_text(), "the task has begun")
    lock.path_for(ledger.database()).unlink()
    wait_until(lambda: "is gone, or another one" in caplog.text, "it is noticed")
    gate.touch()
    wait_until(lambda: Worker.objects.exclude(pk=former.pk).exists(), "another worker is made")
    former.refresh_from_db()
    assert former.stopped_at is not None
    task = BackgroundTask.objects.get()
    assert (task.state, task.attempt) == (State.SUCCEEDED, 1)


@pytest.mark.slow
@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_host__ctrl_c_hands_back_at_once(
    hosts: Callable[[], HostThread],
    trace_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    raised: type[BaseException],
) -> None:
    begun = hosts()
    gate = tmp_path / "gate"
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: trace_file.exists() and trace_file.read_text(), "the task has begun")
    wait = begun._over.wait
    interrupts = iter([True, True])

    def interrupted(timeout: float | None = None) -> bool:
        if next(interrupts, False):
            raise raised
        return wait(timeout)

    monkeypatch.setattr(begun._over, "wait", interrupted)
    monkeypatch.setattr(limits, "MAX_SHUTDOWN_TIMEOUT", 3600.0)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "WORKER": {"shutdown_timeout": 3600}}
    begun.stop()
    assert BackgroundTask.objects.get().state == State.WAITING
    gate.touch()
    names = {"Worker-1", "Worker-2"}
    wait_until(lambda: not names & {t.name for t in threading.enumerate()}, "its threads end")


@pytest.mark.slow
def test_host__says_once_what_is_wrong_and_goes_on_when_it_is_right(
    hosts: Callable[[], HostThread],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries: list[int] = []

    def fail(connection: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("server closed the connection")
        if len(tries) < 5:
            raise ValueError("nobody has thought of this")
        if len(tries) < 7:
            raise SystemExit("nor of this")
        return examine(connection)

    examine = migrated.examine
    monkeypatch.setattr(migrated, "examine", fail)
    hosts()
    wait_until(lambda: alive() == 1, "it works")
    assert caplog.text.count("does not answer: server closed the connection") == 1
    assert caplog.text.count("broke off; it is tried again") == 2
    assert "ValueError: nobody has thought of this" in caplog.text
    assert "SystemExit: nor of this" in caplog.text


@pytest.mark.parametrize(
    ("name", "patched"),
    [
        ("gevent.monkey", SimpleNamespace(is_module_patched=lambda name: name == "threading")),
        ("eventlet.patcher", SimpleNamespace(is_monkey_patched=lambda name: name == "thread")),
    ],
)
def test_host__among_greenlets(monkeypatch: pytest.MonkeyPatch, name: str, patched: Any) -> None:
    monkeypatch.setitem(sys.modules, name, patched)
    with pytest.raises(host.CannotRun, match="has replaced Python's threads"):
        host._require_settings()


def test_host__without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    with pytest.raises(host.CannotRun, match="this platform has no locks of files"):
        host._require_settings()


def test_host__takes_no_more_than_a_web_process_can_give(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"WORKER": {"threads": 16, "shutdown_timeout": 300}}
    assert (limits.threads(), limits.shutdown_timeout()) == (2, 10)
    settings.WAGTAIL_TASKS = {"WORKER": {"threads": 1, "shutdown_timeout": 5}}
    assert (limits.threads(), limits.shutdown_timeout()) == (1, 5)


# Around it ----------------------------------------------------------------------------------


@pytest.mark.skipif(not identity.process_space(), reason="no /proc here")
def test_neighbours__one_that_has_ended_and_was_not_asked_how_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert identity._is_running(other.pid)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        os.kill(other.pid, 0)  # its number is there still
        assert not identity._is_running(other.pid)
    assert not identity._is_running(other.pid)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forks__of_other_threads_are_left_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    def told() -> None:
        read, write = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_say, args=(write,))
        child.start()
        found.append(read.recv())
        child.join()

    def of_worker() -> None:
        forks.begin_thread()
        told()

    def handler(*_: Any) -> None: ...

    found: list[bool] = []
    before = signal.signal(signal.SIGTERM, handler)
    forks.begin_worker(alone=False)
    try:
        for target in (told, of_worker):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    finally:
        forks.end_worker()
        signal.signal(signal.SIGTERM, before)
    assert found == [False, True]  # whether SIGTERM is the default's again


def _say(connection: Any) -> None:
    connection.send(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)


def test_exit__is_what_it_is_only_then(caplog: pytest.LogCaptureFixture) -> None:
    assert not is_of_exit(RuntimeError("can't create new thread at interpreter shutdown"))
