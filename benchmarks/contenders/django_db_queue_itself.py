"""django-db-queue: a process for each worker, which does one job a second at most."""

from __future__ import annotations

from typing import Any

from benchmarks import work
from benchmarks.contenders import MANAGE


def do(job: Any) -> None:
    """Do the work."""
    work.do(job.workspace["seconds"], job.workspace["sent"])


def set_up() -> None:
    """Load the site."""
    import django

    django.setup()


def enqueue(seconds: float, sent: float) -> None:
    """Enqueue a job."""
    from django_dbq.models import Job

    Job.objects.create(name="do", workspace={"seconds": seconds, "sent": sent})


def enqueue_many(number: int, seconds: float) -> None:
    """Enqueue so many jobs; what completes a job runs as it is saved."""
    for _ in range(number):
        enqueue(seconds, 0.0)


def workers(number: int) -> list[list[str]]:
    """Return the commands of so many workers."""
    return [[*MANAGE, "worker"]] * number
