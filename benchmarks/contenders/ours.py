"""wagtail_async_hooks: one worker process with threads."""

from __future__ import annotations

from benchmarks.contenders import MANAGE


def set_up() -> None:
    """Load the site."""
    import django

    django.setup()


def enqueue(seconds: float, sent: float) -> None:
    """Record a task."""
    from benchmarks import tasks

    tasks.ours(seconds, sent)


def enqueue_many(number: int, seconds: float) -> None:
    """Record so many tasks, by few INSERTs."""
    from benchmarks import tasks
    from wagtail_async_hooks import background

    background.enqueue_many(tasks.ours.s(seconds, 0.0) for _ in range(number))


def workers(number: int, processes: int = 1, *, logs: bool = False) -> list[list[str]]:
    """Return the command of a worker with so many threads, in each of so many processes."""
    verbosity = ["--verbosity", "1" if logs else "0"]
    worker = [*MANAGE, "wagtail_worker", *verbosity, "--threads", str(number)]
    return [worker if processes == 1 else [*worker, "--processes", str(processes)]]


def enqueue_calls(number: int, port: int) -> None:
    """Record so many calls to a server, by few INSERTs."""
    from benchmarks import tasks
    from wagtail_async_hooks import background

    background.enqueue_many(tasks.call.s(port) for _ in range(number))


def callers(number: int) -> list[list[str]]:
    """Return the command of a worker that runs so many coroutines at once."""
    return [[*command, "--coroutines", str(number)] for command in workers(2)]
