"""django-lightweight-queue on Redis: a runner with worker processes."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders import MANAGE


def set_up() -> None:
    """Load the site."""
    import django

    django.setup()


def enqueue(seconds: float, sent: float) -> None:
    """Enqueue a job."""
    _task()(seconds, sent)


def enqueue_many(number: int, seconds: float) -> None:
    """Enqueue so many jobs, by one call of Redis."""
    task = _task()
    with task.bulk_enqueue() as add:
        for _ in range(number):
            add(seconds, 0.0)


def workers(number: int) -> list[list[str]]:
    """Return the command of a runner, whose workers the settings count."""
    from django.conf import settings

    assert settings.LIGHTWEIGHT_QUEUE_WORKERS["default"] == number
    return [[*MANAGE, "queue_runner"]]


def _task() -> Any:
    from benchmarks.contenders.lightweight_tasks import do

    return do
