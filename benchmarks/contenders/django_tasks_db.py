"""django-tasks-db: a process for each worker, since its workers have one thread."""

from __future__ import annotations

from benchmarks.contenders import MANAGE


def set_up() -> None:
    """Load the site."""
    import django

    django.setup()


def enqueue(seconds: float, sent: float) -> None:
    """Enqueue a task."""
    from benchmarks import tasks

    tasks.of_the_api.enqueue(seconds, sent)


def enqueue_many(number: int, seconds: float) -> None:
    """Enqueue so many tasks; it has no way to do it at once."""
    for _ in range(number):
        enqueue(seconds, 0.0)


def workers(number: int, *, logs: bool = False) -> list[list[str]]:
    """Return the commands of so many workers."""
    verbosity = ["--verbosity", "1" if logs else "0"]
    return [[*MANAGE, "db_worker", *verbosity, "--no-reload", "--no-startup-delay"]] * number
