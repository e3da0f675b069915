"""Real web servers whose processes run a worker: one on the host, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
import requests
from django.db import connection

from tests.faults.servers import free_port
from tests.limits import PATIENCE
from tests.processes import Process, wait_until
from tests.project.test_docs import blocks_of, page_named
from tests.work import leaving_tasks, tasks
from wagtail_async_hooks.ledger.workers import HEARTBEAT_TIMEOUT
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.slow

GUNICORN = ("-m", "gunicorn", "tests.embedded.wsgi:application", "--no-control-socket", "--bind")
UVICORN = ("-m", "uvicorn", "--lifespan", "auto", "--host", "127.0.0.1", "--port")


class Server:
    """A web server, and the folder of its lock."""

    def __init__(self, folder: Path, number: int, *command: str, **environment: str) -> None:
        self.port = free_port()
        address = [f"127.0.0.1:{self.port}" if each == "ADDRESS" else each for each in command]
        address = [str(self.port) if each == "PORT" else each for each in address]
        given = {
            "DJANGO_SETTINGS_MODULE": "tests.embedded.settings",
            "SITE_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "SITE_DEBUG": "0",
            "TEST_WORKER": '{"embedded": true, "threads": 2}',
            "TMPDIR": str(folder),
            **environment,
        }
        self.process = Process([sys.executable, *address], folder / f"{number}.txt", **given)

    def get(self, path: str = "") -> str:
        """Return what a page says."""
        answer = requests.get(f"http://127.0.0.1:{self.port}/{path}", timeout=PATIENCE)
        answer.raise_for_status()
        return answer.text

    def wait(self) -> None:
        """Return once it has answered a request."""

        def answers() -> bool:
            assert self.process.is_running(), self.process.said()
            with suppress(requests.ConnectionError):
                return bool(self.get())
            return False

        wait_until(answers, "the site answers")

    def pids(self, number: int) -> set[int]:
        """Return the web processes, once so many have answered."""
        found: set[int] = set()

        def all_of_them() -> bool:
            with suppress(requests.ConnectionError):  # of one that was killed
                found.add(int(self.get()))
            return len(found) >= number

        wait_until(all_of_them, f"{number} processes answer")
        return found


Serve = Callable[..., Server]


@pytest.fixture
def serve(committed_db: None, tmp_path: Path) -> Iterator[Serve]:
    """Start web servers, which end with the test."""
    servers: list[Server] = []
    numbers = count(1)

    def start(*command: str, **environment: str) -> Server:
        servers.append(Server(tmp_path, next(numbers), *command, **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.process.stop()


def gunicorn(serve: Serve, *options: str, **environment: str) -> Server:
    """Start gunicorn, and wait for an answer."""
    server = serve(*GUNICORN, "ADDRESS", *options, **environment)
    server.wait()
    return server


def working() -> list[int]:
    """Return the processes of the workers that have not stopped."""
    return list(Worker.objects.filter(stopped_at=None).values_list("pid", flat=True))


def the_worker(*, but: int = 0) -> int:
    """Return the process that runs the only worker, once there is one."""

    def one() -> int | None:
        found = [pid for pid in working() if pid != but]
        assert len(found) < 2
        return found[0] if found else None

    return int(wait_until(one, "a worker works"))


def began(trace_file: Path) -> list[list[str]]:
    """Return the words of each task's first trace."""
    lines = trace_file.read_text().splitlines() if trace_file.exists() else []
    return [line.split() for line in lines if line.startswith("began")]


@pytest.mark.parametrize(
    "options",
    [(), ("--preload",), ("--worker-class=gthread", "--threads=2", "--preload")],
    ids=["sync", "sync-preload", "gthread-preload"],
)
def test_gunicorn__one_process_works_and_another_takes_over(
    serve: Serve, trace_file: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    server = gunicorn(serve, "--workers=2", *options)
    pids = server.pids(2)
    holder = the_worker()
    assert holder in pids
    ran = tasks.trace(str(trace_file), "x")
    assert ran.get(blocking=True, timeout=PATIENCE) == holder
    server.get(f"enqueue/?trace={trace_file}")
    wait_until(lambda: trace_file.read_text().count(f"x {holder}") == 2, "the request's task ran")

    gate = tmp_path / "gate"
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: began(trace_file), "the task has begun")
    os.kill(holder, signal.SIGKILL)
    died_at = time.monotonic()
    wait_until(lambda: len(began(trace_file)) == 2, "it has begun once more")
    assert time.monotonic() - died_at < HEARTBEAT_TIMEOUT, "at once, not by the heartbeat"

    successor = the_worker()
    assert successor != holder
    assert int(began(trace_file)[1][1]) == successor
    gate.touch()
    task = BackgroundTask.objects.filter(function="tests.work.tasks.wait_for")
    wait_until(lambda: task.get().state == State.SUCCEEDED, "it has ended")
    assert (task.get().attempt, task.get().deaths) == (2, 1)

    server.process.send(signal.SIGTERM)
    assert server.process.wait() == 0
    assert working() == []
    assert "Traceback" not in server.process.said()


def test_gunicorn__processes_that_are_replaced(serve: Serve, trace_file: Path) -> None:
    server = gunicorn(serve, "--max-requests=4")
    asked = [int(server.get())]

    def works() -> bool:
        if not Path(f"/proc/{asked[-1]}").exists():
            asked.append(int(server.get()))  # a new process begins after its first request
        return bool(working())

    def all_ran() -> bool:
        works()
        found = Counter(line.split()[0] for line in trace_file.read_text().splitlines())
        assert set(found.values()) <= {1}
        return len(found) == enqueued

    enqueued = 0
    while Worker.objects.count() < 3:
        wait_until(works, "a process works")
        for _ in range(3):
            asked.append(int(server.get(f"enqueue/?trace={trace_file}&word={enqueued}")))
            enqueued += 1
    wait_until(all_ran, "all have run")
    rows = BackgroundTask.objects.values_list("state", "deaths")
    wait_until(lambda: set(rows.all()) == {(State.SUCCEEDED, 0)}, "all have succeeded")
    server.process.send(signal.SIGTERM)
    assert server.process.wait() == 0
    assert working() == []


def test_gunicorn__what_runs_may_finish(serve: Serve, trace_file: Path, tmp_path: Path) -> None:
    server = gunicorn(serve)
    gate = tmp_path / "gate"
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: began(trace_file), "the task has begun")
    server.process.send(signal.SIGTERM)
    server.process.wait_for("waits for what runs, 10 s at most")
    gate.touch()
    assert server.process.wait() == 0
    task = BackgroundTask.objects.get()
    assert (task.state, task.attempt, task.deaths) == (State.SUCCEEDED, 1, 0)


def test_gunicorn__what_does_not_finish_is_handed_back(
    serve: Serve, trace_file: Path, tmp_path: Path
) -> None:
    server = gunicorn(serve, TEST_WORKER='{"embedded": true, "shutdown_timeout": 0.1}')
    tasks.wait_for(str(trace_file), str(tmp_path / "gate"))
    wait_until(lambda: began(trace_file), "the task has begun")
    server.process.send(signal.SIGTERM)
    assert server.process.wait() == 0
    task = BackgroundTask.objects.get()
    assert (task.state, task.worker_id, task.deaths) == (State.WAITING, None, 0)
    assert "1 unfinished task was handed back" in server.process.said()


def test_gunicorn__ctrl_c_in_a_terminal_hands_back_at_once(
    serve: Serve, trace_file: Path, tmp_path: Path
) -> None:
    server = gunicorn(serve)
    gate = tmp_path / "gate"
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: began(trace_file), "the task has begun")
    os.killpg(server.process.pid, signal.SIGINT)  # all of them get it
    server.process.wait_for("waits for what runs")
    with suppress(ProcessLookupError):
        os.killpg(server.process.pid, signal.SIGINT)
    server.process.wait()
    task = BackgroundTask.objects.get()
    assert (task.state, task.deaths) == (State.WAITING, 0)
    assert working() == []
    gate.touch()


def test_gunicorn__a_task_that_the_ending_interpreter_refuses_something_waits_again(
    serve: Serve, trace_file: Path, tmp_path: Path
) -> None:
    server = gunicorn(serve)
    gate = tmp_path / "gate"
    tasks.submit_after(str(trace_file), str(gate))
    wait_until(lambda: began(trace_file), "the task has begun")
    server.process.send(signal.SIGTERM)
    server.process.wait_for("waits for what runs")
    gate.touch()
    assert server.process.wait() == 0
    task = BackgroundTask.objects.get()
    assert (task.state, task.deaths) == (State.WAITING, 0), task.traceback
    again = gunicorn(serve)
    wait_until(lambda: BackgroundTask.objects.get().state == State.SUCCEEDED, "it has run")
    assert "submitted" in trace_file.read_text()
    assert again.process.is_running()


def test_gunicorn__by_its_hooks_it_begins_and_ends_with_the_process(
    serve: Serve, trace_file: Path, tmp_path: Path
) -> None:
    blocks = [block.code for block in blocks_of(page_named("embedded-worker"))]
    [hooks] = [code for code in blocks if "post_worker_init" in code]
    (tmp_path / "gunicorn.conf.py").write_text(hooks)
    server = serve(*GUNICORN, "ADDRESS", "--config", str(tmp_path / "gunicorn.conf.py"))
    the_worker()  # no request is needed
    gate = tmp_path / "gate"
    tasks.submit_after(str(trace_file), str(gate))
    wait_until(lambda: began(trace_file), "the task has begun")
    server.process.send(signal.SIGTERM)
    server.process.wait_for("waits for what runs")
    gate.touch()
    assert server.process.wait() == 0
    task = BackgroundTask.objects.get()
    assert (task.state, task.attempt) == (State.SUCCEEDED, 1)  # it could start a thread


def test_gunicorn__what_a_view_forks_does_not_keep_the_lock(
    serve: Serve, trace_file: Path, tmp_path: Path
) -> None:
    server = gunicorn(serve, "--workers=2")
    server.pids(2)
    holder = the_worker()
    gate, said = tmp_path / "gate", tmp_path / "said"
    asked: dict[int, int] = {}

    def forked_by_the_holder() -> bool:
        child = int(server.get(f"fork/?gate={gate}&said={said}-{len(asked)}"))
        parent = int(Path(f"/proc/{child}/status").read_text().split("PPid:")[1].split()[0])
        asked[child] = parent
        return parent == holder

    try:
        wait_until(forked_by_the_holder, "the process that works has forked another")
        child = next(pid for pid, parent in asked.items() if parent == holder)
        os.kill(holder, signal.SIGKILL)
        successor = wait_until(
            lambda: [pid for pid in working() if pid != holder], "another process works"
        )
        os.kill(child, 0)  # it lives on
        ran = tasks.trace(str(trace_file), "x")
        assert [ran.get(blocking=True, timeout=PATIENCE)] == successor
    finally:
        gate.touch()
    assert "does not answer" not in server.process.said()


def test_gunicorn__what_a_task_forks_is_a_process_of_its_own(
    serve: Serve, trace_file: Path
) -> None:
    server = gunicorn(serve)
    results = [leaving_tasks.terminate(str(trace_file), "fork"), tasks.add(1, 2)]
    found = [result.get(blocking=True, timeout=PATIENCE) for result in results]
    # Among gunicorn's own handlers of signals, which the child must not have.
    assert found == [-signal.SIGTERM, 3]
    assert server.get()
    assert "does not answer" not in server.process.said()


def test_uvicorn__with_its_lifespan(serve: Serve, trace_file: Path, tmp_path: Path) -> None:
    server = serve(*UVICORN, "PORT", "tests.embedded.asgi:with_lifespan")
    holder = the_worker()  # no request is needed
    assert holder == server.process.pid
    gate = tmp_path / "gate"
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: began(trace_file), "the task has begun")
    assert int(server.get()) == holder
    server.process.send(signal.SIGTERM)
    server.process.wait_for("waits for what runs")
    gate.touch()
    assert server.process.wait() == -signal.SIGTERM  # as uvicorn ends
    assert working() == []
    task = BackgroundTask.objects.get()
    assert (task.state, task.attempt) == (State.SUCCEEDED, 1)


def test_uvicorn__without_it_the_next_process_rescues(
    serve: Serve, trace_file: Path, tmp_path: Path
) -> None:
    server = serve(*UVICORN, "PORT", "tests.embedded.asgi:application")
    server.wait()
    gate = tmp_path / "gate"
    tasks.wait_for(str(trace_file), str(gate))
    wait_until(lambda: began(trace_file), "the task has begun")
    server.process.send(signal.SIGTERM)
    assert server.process.wait() == -signal.SIGTERM
    again = serve(*UVICORN, "PORT", "tests.embedded.asgi:application")
    again.wait()
    wait_until(lambda: len(began(trace_file)) == 2, "it has begun once more")
    gate.touch()
    wait_until(lambda: BackgroundTask.objects.get().state == State.SUCCEEDED, "it has ended")


def test_runserver__without_reload(serve: Serve, trace_file: Path) -> None:
    server = serve("tests/site/manage.py", "runserver", "--noreload", "ADDRESS")
    server.wait()
    assert the_worker() == server.process.pid
    ran = tasks.trace(str(trace_file), "x")
    assert ran.get(blocking=True, timeout=PATIENCE) == server.process.pid
    server.process.send(signal.SIGINT)
    assert server.process.wait() == 0
    assert working() == []


def test_runserver__with_reload(serve: Serve, trace_file: Path, tmp_path: Path) -> None:
    settings = tmp_path / "changing_settings.py"
    settings.write_text("from tests.embedded.settings import *\n")
    server = serve(
        *("tests/site/manage.py", "runserver", "ADDRESS"),
        DJANGO_SETTINGS_MODULE="changing_settings",
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    )
    server.wait()

    def one() -> int:
        with suppress(requests.ConnectionError):  # it may start anew at once: the file is new
            server.get()
        return working()[0] if len(working()) == 1 else 0

    first = wait_until(one, "a worker works")
    assert first != server.process.pid  # which only starts the others

    def changed() -> bool:
        settings.write_text(f"from tests.embedded.settings import *\nNOW = {time.time()}\n")
        return working() != [first]

    wait_until(changed, "the process is replaced")

    def another() -> bool:
        with suppress(requests.ConnectionError):  # while it starts anew
            server.get()
        return bool(working()) and first not in working()

    wait_until(another, "the next one works")
    ran = tasks.trace(str(trace_file), "x")
    assert ran.get(blocking=True, timeout=PATIENCE) != first
    assert Worker.objects.get(pid=first).stopped_at is not None  # it has not just died


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SITE_BACKEND": ""}, r'WAGTAIL_TASKS\["BACKEND"\] is blank'),
        (
            {"TEST_WORKER": '{"embedded": true, "threads": 0}'},
            r'WAGTAIL_TASKS\["WORKER"\]\["threads"\] should be',
        ),
        ({"SITE_DATABASE_NAME": "nowhere"}, "(lacks .* of the migrations|does not answer)"),
    ],
    ids=["no-backend", "mistake", "no-tables"],
)
def test_gunicorn__where_no_worker_can_run_requests_go_on(
    serve: Serve, tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    if "SITE_DATABASE_NAME" in environment and connection.vendor == "sqlite":
        environment = {"SITE_DATABASE_NAME": str(tmp_path / "nowhere.sqlite3")}
    server = gunicorn(serve, **environment)
    server.process.wait_for(f"No embedded worker runs in process .*{told}")
    server.get()
    assert server.process.said().count("No embedded worker runs") == 1
    assert working() == []
    server.process.send(signal.SIGTERM)
    assert server.process.wait() == 0
