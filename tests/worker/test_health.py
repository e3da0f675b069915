"""What a worker answers probes and tells systemd, by real sockets, alone and with processes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests import limits
from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.worker import health_server, systemd
from wagtail_async_hooks.worker.health import STUCK_AFTER, Health, judge
from wagtail_async_hooks.worker.health_server import MAX_REQUEST, Address, HealthServer
from wagtail_async_hooks.worker.monitor import Monitor, watching
from wagtail_async_hooks.worker.reporting import Phase, Report
from wagtail_async_hooks.worker.systemd import Systemd
from wagtail_async_hooks.worker.worker import Worker as WorkerOfThreads

Start = Callable[..., Process]
Answer = tuple[int, dict[str, Any]]

PATIENT = {"TEST_WORKER": '{"shutdown_timeout": 3600}'}


def get(address: Address, path: str, method: str = "GET") -> Answer:
    """Return the status and the document with which a probe is answered."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=limits.PATIENCE)
    with closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        assert response.getheader("Content-Type", "").startswith(("application/json", "text/html"))
        return response.status, json.loads(body) if body.startswith(b"{") else {}


def address_of(worker: Process) -> Address:
    """Return where a worker answers."""
    return Address(worker.wait_for(r"Health: http://(\S+)/live and /ready\.")[1])


# Real workers -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_worker__is_live_and_ready_and_says_when_it_stops(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path, processes: int
) -> None:
    gate = tmp_path / "gate"
    worker = start("wagtail_worker", "--health=0", f"--processes={processes}", **PATIENT)
    address = address_of(worker)
    assert address.host == "127.0.0.1"
    wait_until(lambda: get(address, "/ready")[0] == 200, "it is ready")
    wait_until(lambda: get(address, "/ready")[1]["problems"] == [], "all are")
    status, said = get(address, "/live")
    assert (status, said["status"], said["problems"]) == (200, "ok", [])
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: trace_file.read_text(), "the task has begun")
    worker.send(signal.SIGTERM)
    wait_until(lambda: get(address, "/ready")[0] == 503, "it is not ready any more")
    assert get(address, "/live")[0] == 200  # a restart would only break the task off
    wait_until(lambda: "is stopping" in str(get(address, "/ready")[1]), "it says why")
    gate.touch()
    assert worker.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        get(address, "/live")


@pytest.mark.slow
def test_worker__is_ready_while_one_process_is_replaced(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = start("wagtail_worker", "--health=0", "--max-tasks=1", "--threads=1", **PATIENT)
    address = address_of(worker)
    tasks.wait_for(str(trace_file), str(gate))
    worker.wait_for("claims nothing more")
    wait_until(lambda: "has taken its place" in str(get(address, "/ready")[1]), "it says so")
    status, said = get(address, "/ready")
    assert (status, said["summary"]) == (200, "1 of 2 processes run tasks.")
    gate.touch()
    wait_until(lambda: get(address, "/ready")[1]["summary"] == "1 process runs tasks.", "it ended")


@pytest.mark.slow
def test_worker__whose_process_has_died_is_not_ready_until_it_is_replaced(
    start: Start, committed_db: None
) -> None:
    worker = start("wagtail_worker", "--health=0", "--max-tasks=1000")
    address = address_of(worker)
    wait_until(lambda: get(address, "/ready")[0] == 200, "it is ready")
    os.kill(Worker.objects.get().pid, signal.SIGKILL)
    wait_until(lambda: get(address, "/ready")[0] == 503, "nobody runs tasks")
    assert get(address, "/live")[0] == 200  # the parent sees to it
    wait_until(lambda: get(address, "/ready")[0] == 200, "it is ready again")


@pytest.mark.slow
def test_worker__whose_port_is_taken_says_so(start: Start, committed_db: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = start("wagtail_worker", f"--health={port}")
        assert worker.wait() == 1
    assert f"--health=127.0.0.1:{port}: nothing can listen there" in worker.said()
    assert "Traceback" not in worker.said()


@pytest.mark.slow
def test_worker__leaves_the_port_when_its_parent_was_killed(
    start: Start, committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    """A service that starts anew finds its port free, though children still end their tasks."""
    gate = tmp_path / "gate"
    worker = start("wagtail_worker", "--health=0", "--processes=2", **PATIENT)
    address = address_of(worker)
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: trace_file.read_text(), "the task has begun")
    worker.send(signal.SIGKILL)
    worker.wait()
    with socket.create_server((address.host, address.port)):
        gate.touch()
        wait_until(lambda: not Worker.objects.filter(stopped_at=None).exists(), "all have ended")


@contextmanager
def systemds_socket(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(limits.PATIENCE)
        yield listener


def heard(listener: socket.socket, wanted: str) -> set[str]:
    """Return the lines that were received, once one of them is as wanted."""
    lines: set[str] = set()
    while wanted not in lines:
        lines.update(listener.recv(4096).decode().splitlines())
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_systemd__hears_of_the_start_of_life_and_of_the_end(
    start: Start, committed_db: None, tmp_path: Path, processes: int
) -> None:
    with systemds_socket(tmp_path) as listener:
        worker = start(
            "wagtail_worker",
            f"--processes={processes}",
            NOTIFY_SOCKET=str(tmp_path / "notify"),
            WATCHDOG_USEC="100000",
        )
        assert "STOPPING=1" not in heard(listener, "READY=1")
        for _ in range(3):
            heard(listener, "WATCHDOG=1")
        worker.send(signal.SIGTERM)
        assert "READY=1" not in heard(listener, "STOPPING=1")
        assert worker.wait() == 0


@pytest.mark.slow
def test_systemd__hears_nothing_of_a_worker_whose_main_thread_hangs(
    start: Start, committed_db: None, tmp_path: Path
) -> None:
    with systemds_socket(tmp_path) as listener:
        worker = start(
            "wagtail_worker", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="100000"
        )
        heard(listener, "WATCHDOG=1")
        worker.send(signal.SIGSTOP)
        wait_until(worker.is_stopped, "it stands still")
        listener.setblocking(False)
        with suppress(BlockingIOError):
            while listener.recv(4096):  # what it has said before
                pass
        time.sleep(0.5)  # several times as long as it may be silent
        with pytest.raises(BlockingIOError):
            listener.recv(4096)
        worker.send(signal.SIGCONT)


# Options ------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "65536", "1.5", ":8001", "::1:8001", "[::1]", "localhost:", "[::1:8001", "²"],
)
def test_health__of_no_use(text: str) -> None:
    with pytest.raises(CommandError, match=r"--health: should be a port such as 8001"):
        call_command("wagtail_worker", f"--health={text}")


def test_address() -> None:
    told = ("8001", "localhost:0", "0.0.0.0:65535", "[::1]:8001", "[::]:8001")
    assert [str(Address(text)) for text in told] == [
        *("127.0.0.1:8001", "localhost:0", "0.0.0.0:65535", "[::1]:8001", "[::]:8001")
    ]


# How things are -----------------------------------------------------------------------------


def now(phase: Phase, problem: str = "") -> Report:
    """Return a report of this moment."""
    return Report(phase, problem, at=time.monotonic())


def test_judge__one_that_works() -> None:
    health = judge({7: now(Phase.WORKING)})
    assert (health.is_live, health.is_ready, health.is_ending) == (True, True, False)
    assert health.document(is_well=True) == {
        "status": "ok",
        "summary": "1 process runs tasks.",
        "problems": [],
    }


@pytest.mark.parametrize(
    ("phase", "problem", "words"),
    [
        (Phase.STARTING, "", "Process 7: it is starting, or waits for the database."),
        (Phase.STOPPING, "", "Process 7: it is stopping."),
        (Phase.WORKING, "it is unwell.", "Process 7: it is unwell."),
    ],
)
def test_judge__one_that_is_not_ready(phase: Phase, problem: str, words: str) -> None:
    report = now(phase, problem)
    health = judge({7: report})
    assert (health.is_live, health.is_ready, health.problems) == (True, False, (words,))
    assert health.summary == "No process runs tasks."
    assert judge({7: report, 8: now(Phase.WORKING)}).is_ready


@pytest.mark.parametrize("phase", [Phase.WORKING, Phase.RETIRING])
def test_judge__one_that_is_stuck(phase: Phase) -> None:
    late = Report(phase, at=time.monotonic() - STUCK_AFTER - 1)
    health = judge({7: late, 8: now(Phase.WORKING)})
    assert (health.is_live, health.is_ready) == (False, True)
    assert health.problems == ("Process 7: it is stuck.",)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.STOPPING])
def test_judge__who_waits_for_the_database_is_not_stuck(phase: Phase) -> None:
    assert judge({7: Report(phase, at=time.monotonic() - STUCK_AFTER * 100)}).is_live


def test_judge__the_end() -> None:
    assert judge({7: now(Phase.STOPPING), 8: now(Phase.STOPPING)}).is_ending
    assert not judge({7: now(Phase.STOPPING), 8: now(Phase.WORKING)}).is_ending
    assert not judge({}).is_ending  # all have died, and are about to be replaced
    ending = judge({7: now(Phase.WORKING)}, is_ending=True)
    assert (ending.is_live, ending.is_ready) == (True, False)


def test_problem__of_a_worker_without_heartbeats(
    committed_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = WorkerOfThreads(background, threads=1)
    worker.prepare()
    worker.start()
    assert worker.problem == ""
    with monkeypatch.context() as patch:
        patch.setattr("wagtail_async_hooks.ledger.workers.HEARTBEAT_TIMEOUT", 0.0)
        assert worker.problem.startswith("its heartbeats are not recorded")
    worker.stop()


# The server ---------------------------------------------------------------------------------

WELL = judge({7: now(Phase.WORKING)})
ILL = Health(False, False, False, ("Process 7: it is stuck.",), 1, 0)


@contextmanager
def served(health: Health = WELL, host: str = "127.0.0.1") -> Iterator[Address]:
    """Answer probes with a state of health."""
    monitor = Monitor(lambda: health, Address(f"{host}:0"))
    with watching(monitor):
        assert monitor.address is not None
        yield monitor.address


def test_server__answers() -> None:
    with served() as address:
        for path in ("/live", "/ready", "/live/", "/ready?verbose=1"):
            assert get(address, path) == (200, WELL.document(is_well=True))
        assert get(address, "/live", "HEAD") == (200, {})
        assert get(address, "/")[0] == get(address, "/metrics")[0] == 404
        assert "/live and /ready" in get(address, "/x")[1]["summary"]
        assert get(address, "/live", "POST")[0] == 501
    with served(ILL) as address:
        for path in ("/live", "/ready"):
            assert get(address, path) == (503, ILL.document(is_well=False))


def test_server__ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this host has no IPv6")
    with served(host="[::1]") as address:
        assert get(address, "/live")[0] == 200


def talk(address: Address, sent: bytes) -> bytes:
    """Return what is answered to some bytes."""
    with socket.create_connection((address.host, address.port), limits.PATIENCE) as client:
        client.sendall(sent)
        received = b""
        try:
            while part := client.recv(4096):
                received += part
        except ConnectionResetError:  # it did not read all
            pass
        return received


@pytest.mark.parametrize(
    "sent",
    [
        *(b"\r\n\r\n", b"GET\r\n\r\n", b"GET /live HTTP/9.9\r\n\r\n", b"\0\xff\r\n\r\n"),
        *(b"GET /live HTTP/1.1\r\nnonsense\r\n\r\n", b"x" * (MAX_REQUEST * 3)),
        b"GET /live HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n",
    ],
)
def test_server__survives_what_is_no_request(sent: bytes) -> None:
    with served() as address:
        talk(address, sent)
        assert get(address, "/live")[0] == 200


def test_server__does_not_wait_for_who_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as address, ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection((address.host, address.port)))
            for _ in range(health_server.MOST_CLIENTS * 2)
        ]
        idle[-1].sendall(b"GET /li")
        assert get(address, "/live")[0] == 200
        idle[0].settimeout(limits.PATIENCE)
        assert idle[0].recv(1) == b""  # the first ones have made room
        monkeypatch.setattr(health_server, "CLIENT_TIMEOUT", 0.0)
        idle[-1].settimeout(limits.PATIENCE)
        assert idle[-1].recv(1) == b""


def test_server__takes_a_request_in_parts() -> None:
    with (
        served() as address,
        socket.create_connection((address.host, address.port), limits.PATIENCE) as client,
    ):
        for part in (b"GET /live HT", b"TP/1.1\r\nHost: x\r", b"\n\r\n"):
            client.sendall(part)
            time.sleep(0.01)
        assert client.recv(4096).startswith(b"HTTP/1.0 200 OK\r\n")


def test_server__is_not_that_of_a_forked_process() -> None:
    """A task may leave a process behind, which must not keep the port."""
    server = HealthServer(Address("0"), lambda: WELL)
    port = server.address.port
    here, there = socket.socketpair()
    here.settimeout(limits.PATIENCE)
    pid = os.fork()
    if pid == 0:
        here.close()
        there.send(b"is there")
        there.recv(1)  # until the parent has tried
        os._exit(0)
    there.close()
    try:
        here.recv(100)
        server.close()
        with socket.create_server(("127.0.0.1", port)):
            pass
    finally:
        here.close()
        os.waitpid(pid, 0)


# systemd ------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["", "unknown", "vsock:2:1"])
def test_systemd__is_not_there(address: str) -> None:
    assert Systemd.of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"}, 1) is None
    assert Systemd.of({}, 1) is None


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "20000000"}, True),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "7"}, True),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
    ],
)
def test_systemd__hears_of_life_if_it_asks(
    tmp_path: Path, variables: dict[str, str], asked: bool
) -> None:
    with systemds_socket(tmp_path) as listener:
        service = Systemd.of({"NOTIFY_SOCKET": str(tmp_path / "notify"), **variables}, 7)
        assert service is not None
        service.tell(WELL)
        assert ("WATCHDOG=1" in heard(listener, "READY=1")) == asked
        service.tell(WELL)  # nothing is new, and it is too early to say that it lives
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(4096)


def test_systemd__hears_nothing_of_one_that_is_stuck(tmp_path: Path) -> None:
    with systemds_socket(tmp_path) as listener:
        Systemd(str(tmp_path / "notify"), 20.0).tell(ILL)
        assert listener.recv(4096) == b"STATUS=No process runs tasks."


def test_systemd__has_an_abstract_socket() -> None:
    name = f"wagtail_async_hooks-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        Systemd(f"@{name}", None).tell(WELL)
        assert b"READY=1" in listener.recv(4096)


def test_systemd__that_cannot_be_reached_is_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = Systemd(str(tmp_path / "notify"), None)
    service.tell(WELL)
    service.tell(WELL)
    assert len(re.findall("systemd cannot be notified", caplog.text)) == 1
    with systemds_socket(tmp_path) as listener:
        service.tell(WELL)
        assert b"READY=1" in listener.recv(4096)


def test_systemd__is_not_told_by_what_a_task_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd.from_environment() is not None
    assert systemd.from_environment() is None
    assert "WATCHDOG_USEC" not in os.environ


def test_watching__needs_no_thread_where_nobody_asks() -> None:
    before = threading.active_count()
    with watching(Monitor(lambda: WELL)):
        assert threading.active_count() == before
