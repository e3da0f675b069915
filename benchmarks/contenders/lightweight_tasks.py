"""The task of django-lightweight-queue, whose module reads Django's settings."""

from __future__ import annotations

from django_lightweight_queue import task

from benchmarks import work


@task()  # type: ignore[untyped-decorator]
def do(seconds: float, sent: float) -> None:
    """Do the work."""
    work.do(seconds, sent)
