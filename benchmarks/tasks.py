"""The task of the contenders that need Django; workers import this module as any app's tasks."""

from __future__ import annotations

import django
from django_tasks import task

from benchmarks import calls, work
from wagtail_async_hooks import background

if django.VERSION >= (6, 0):  # django-tasks-db uses what is newest
    from django.tasks import task


@background.task()
def ours(seconds: float, sent: float) -> None:
    """Do the work, as a task of ours."""
    work.do(seconds, sent)


@background.task()
async def call(port: int) -> None:
    """Call a server."""
    await calls.acall(port)


@task()
def of_the_api(seconds: float, sent: float) -> None:
    """Do the work, as a task of ``TASKS``."""
    work.do(seconds, sent)
