"""What every fault needs: tasks that leave traces, workers to be killed, and the count at the end.

A fault is a function of a :class:`Harness`. It submits tasks, does the damage, and returns a
:class:`Result`; what it promises besides, it asserts. How big it is says the harness's
:class:`Size`, so that tests and the soak run the same function.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connection, connections
from django.test import override_settings

from tests.faults.servers import DatabaseServer, Redis
from tests.limits import PATIENCE
from tests.processes import Process, wait_until

THREADS: Final = 4
"""Threads of every worker here, unless a fault says otherwise."""

WORK_SECONDS: Final = 0.1
"""How long most of the tasks take."""

ENQUEUE_LIMIT: Final = 2.5
"""Seconds that enqueueing may take when a server is out of order, as the soak measures it."""

UNFINISHED: Final = ("scheduled", "waiting", "running")

RESCUE_LIMIT: Final = 30.0
"""Seconds after the last death within which everything has run, as the soak measures it."""


@dataclass(frozen=True)
class Result:
    """What became of the tasks of a fault.

    :param submitted: tasks whose transaction was committed.
    :param run: those of them that ran to their end.
    :param run_twice: those that were begun more than once.
    :param lost: those that did not run to their end.
    """

    submitted: int
    run: int
    run_twice: int
    lost: int

    def __str__(self) -> str:
        return f"{self.submitted} / {self.run} / {self.run_twice} / {self.lost}"


@dataclass(frozen=True)
class Size:
    """How big the faults are.

    :param patient: workers have the heartbeats of the package, not shorter ones.
    :param outage: seconds for which a server is away.
    :param publishing: seconds for which editors publish.
    """

    tasks: int
    kills: int
    editors: int
    publishers: int
    publishing: float
    outage: float
    patient: bool


SMALL: Final = Size(
    tasks=40, kills=2, editors=1, publishers=3, publishing=4.0, outage=2.0, patient=False
)
BIG: Final = Size(
    tasks=200, kills=10, editors=5, publishers=8, publishing=60.0, outage=20.0, patient=True
)


class Traces:
    """The file in which tasks leave their traces, one line each: what, which task, which process.

    :param path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def __str__(self) -> str:
        return str(self.path)

    def lines(self) -> list[list[str]]:
        """Return the words of every trace, in their order."""
        return [line.split() for line in self.path.read_text().splitlines()]

    def begun(self) -> Counter[int]:
        """Return how often each task was begun."""
        return self._count("began")

    def ended(self) -> Counter[int]:
        """Return how often each task came to its end."""
        return self._count("ended")

    def _count(self, what: str) -> Counter[int]:
        return Counter(int(number) for word, number, _ in self.lines() if word == what)


class Harness:
    """One column of the table: a database, perhaps a Redis, and the processes that work on them.

    :param folder: for what the processes print and tasks leave.
    :param database: the server of the database, if it is our own.
    :param redis: the notifier; without one it is the database.
    """

    def __init__(
        self,
        folder: Path,
        size: Size,
        *,
        database: DatabaseServer | None = None,
        redis: Redis | None = None,
        seed: int = 4,
    ) -> None:
        self.folder = folder
        self.size = size
        self.database = database
        self.redis = redis
        self.random = random.Random(seed)
        self.traces = Traces(folder / "traces.txt")
        self.numbers = count()
        self.slowest_enqueue = 0.0
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self.close()

    # Processes ------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a process to this column's servers."""
        where = connection.settings_dict
        names = ("NAME", "HOST", "PORT", "USER")
        return {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            **{f"SITE_DATABASE_{name}": str(where[name]) for name in names if where[name]},
            **self._backend_environment(),
        }

    def _backend_environment(self) -> dict[str, str]:
        from django.conf import settings

        tasks = settings.WAGTAIL_TASKS
        options = json.dumps(tasks.get("BACKEND_OPTIONS", {}))
        return {"SITE_BACKEND": tasks["BACKEND"], "SITE_BACKEND_OPTIONS": options}

    def start(self, module: str, *arguments: str) -> Process:
        """Start a Python module as a process."""
        command = [sys.executable, "-m", module, *arguments]
        output = self.folder / f"output-{len(self._processes) + 1}.txt"
        self._processes.append(Process(command, output, **self.environment()))
        return self._processes[-1]

    def start_worker(self, *options: str, threads: int = THREADS) -> Process:
        """Start a worker, and return at once."""
        arguments = ("--threads", str(threads), *options)
        if self.size.patient:
            return self.start("tests.site.manage", "wagtail_worker", *arguments)
        return self.start("tests.faults.impatient_worker", *arguments)

    def ready_worker(self, *options: str, threads: int = THREADS) -> Process:
        """Start a worker, and return once it is at work."""
        worker = self.start_worker(*options, threads=threads)
        worker.wait_for("Background hooks")
        return worker

    def kill(self, process: Process) -> None:
        """End a process with no chance to tidy up."""
        process.send(signal.SIGKILL)
        process.wait()

    def freeze(self, process: Process) -> None:
        """Stop a process from running, at a moment when it leaves SQLite to others.

        One that is frozen within a transaction would keep the lock of all tables.
        """

        def is_frozen() -> bool:
            process.send(signal.SIGSTOP)
            wait_until(process.is_stopped, "it is stopped")
            if connection.vendor != "sqlite":
                return True
            if answer(lambda: rows().filter(pk=0).update(deaths=0)) is not None:
                return True  # others may write
            process.send(signal.SIGCONT)
            return False

        wait_until(is_frozen, "it is stopped between two transactions")

    def stop_calmly(self, *workers: Process) -> None:
        """Ask workers to stop, and see that they do."""
        for worker in workers:
            worker.send(signal.SIGTERM)
        for worker in workers:
            assert worker.wait() == 0, worker.said()

    def close(self) -> None:
        """End what was started and still runs."""
        for process in self._processes:
            if process.is_running():
                process.send(signal.SIGCONT)  # a frozen process would not hear the other signals
            process.stop()

    # Tasks ----------------------------------------------------------------------------------

    def submit(
        self, tasks: int, seconds: float = WORK_SECONDS, *, queries: bool = False
    ) -> list[int]:
        """Enqueue tasks that leave traces, each in a transaction of its own; return their numbers.

        :param queries: they ask the database something, too.
        :raises AssertionError: if one of them takes longer than an editor may have to wait.
        """
        from tests.work.fault_tasks import query, work

        task = query if queries else work
        numbers = [next(self.numbers) for _ in range(tasks)]
        for number in numbers:
            with self.at_once():
                task(str(self.traces), number, seconds)
        return numbers

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What happens here may not take longer than an editor may have to wait."""
        begun = time.monotonic()
        yield
        took = time.monotonic() - begun
        self.slowest_enqueue = max(self.slowest_enqueue, took)
        assert took < self.limit(ENQUEUE_LIMIT), f"enqueueing took {took:.2f} s"

    def limit(self, promised: float) -> float:
        """Return how long something may take: what is promised, where that is measured."""
        return promised if self.size.patient else PATIENCE

    def wait_for_ends(self, tasks: int) -> None:
        """Return once so many different tasks have come to their end."""
        wait_until(lambda: len(self.traces.ended()) >= tasks, f"{tasks} tasks have ended")

    def wait_until_done(self, patience: float = PATIENCE) -> float:
        """Return once no task waits or runs; say how many seconds that took."""
        begun = time.monotonic()
        try:
            wait_until(lambda: self.unfinished() == 0, "every task has ended", patience)
        except AssertionError as error:
            stuck = rows().filter(state__in=UNFINISHED)
            columns = ("pk", "state", "attempt", "deaths", "worker", "worker__pid")
            error.add_note(f"These have not: {list(stuck.values(*columns)[:10])}")
            error.add_note(f"Processes: {[(p.pid, p.is_running()) for p in self._processes]}")
            raise
        return time.monotonic() - begun

    def unfinished(self) -> int | None:
        """Return how many tasks have not ended; ``None`` while the database does not answer."""
        states = self.states()
        if states is None:
            return None
        return sum(states[state] for state in UNFINISHED)

    def states(self) -> Counter[str] | None:
        """Return how many tasks are in each state; ``None`` while the database does not answer."""
        return answer(lambda: Counter(rows().values_list("state", flat=True)))

    def result(self, numbers: list[int]) -> Result:
        """Count what became of tasks that :meth:`submit` has enqueued, and that have ended."""
        begun, ended = self.traces.begun(), self.traces.ended()
        run = sum(1 for number in numbers if ended[number])
        succeeded = rows().filter(hook="", state="succeeded").count()
        return Result(
            submitted=len(numbers),
            run=run,
            run_twice=sum(1 for number in numbers if begun[number] > 1),
            lost=len(numbers) - min(run, succeeded),
        )


Fault = Callable[[Harness], Result]


def rows() -> Any:
    """Return all rows of the ledger."""
    from wagtail_async_hooks.models import BackgroundTask

    return BackgroundTask.objects.all()


def answer(query: Callable[[], Any]) -> Any:
    """Return what a query returns; ``None`` if the database does not answer."""
    try:
        return query()
    except (DatabaseError, InterfaceError):
        connections.close_all()
        return None


@contextmanager
def backend(redis: Redis | None) -> Iterator[None]:
    """Have this process, and those that it starts, use a Redis; without one, the database."""
    given: dict[str, Any] = {"BACKEND": "database"}
    if redis is not None:
        given = {"BACKEND": "redis", "BACKEND_OPTIONS": redis.backend_options()}
    with override_settings(WAGTAIL_TASKS=given):
        yield


@contextmanager
def at_database(server: DatabaseServer) -> Iterator[None]:
    """Have this process, and those that it starts, use a database server of our own."""
    where = connections.settings["default"]
    before = dict(where)

    def forget() -> None:
        connections.close_all()
        types: Any = apps.get_model("contenttypes", "ContentType")
        types.objects.clear_cache()  # the keys differ

    forget()
    where.update(server.settings())
    try:
        yield
    finally:
        forget()
        where.clear()
        where.update(before)


@contextmanager
def clean_ledger() -> Iterator[None]:
    """Begin with empty tables, and leave them so."""
    from wagtail_async_hooks.models import BackgroundTask, Counter, StoredValue, Worker

    def clean() -> None:
        for model in (BackgroundTask, Worker, StoredValue, Counter):
            model.objects.all().delete()

    clean()
    yield
    clean()
