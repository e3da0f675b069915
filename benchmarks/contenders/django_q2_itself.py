"""django-q2: one cluster with worker processes; it keeps the results of 250 tasks, its default."""

from __future__ import annotations

from benchmarks.contenders import MANAGE


def set_up() -> None:
    """Load the site."""
    import django

    django.setup()


def enqueue(seconds: float, sent: float) -> None:
    """Enqueue a task."""
    from django_q.tasks import async_task

    async_task("benchmarks.work.do", seconds, sent)


def enqueue_many(number: int, seconds: float) -> None:
    """Enqueue so many tasks; it has no way to do it at once that runs them side by side."""
    for _ in range(number):
        enqueue(seconds, 0.0)


def workers(number: int, *, logs: bool = False) -> list[list[str]]:
    """Return the command of a cluster, whose workers and log are up to the settings."""
    from django.conf import settings

    assert settings.Q_CLUSTER["workers"] == number
    return [["env", f"BENCH_LOG_LEVEL={'INFO' if logs else 'WARNING'}", *MANAGE, "qcluster"]]
