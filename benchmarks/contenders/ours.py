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


def workers(number: int) -> list[list[str]]:
    """Return the command of a worker with so many threads."""
    return [[*MANAGE, "wagtail_worker", "--threads", str(number)]]
