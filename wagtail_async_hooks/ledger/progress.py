"""The progress of a running task, and whether it is to go on."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models import QuerySet

from wagtail_async_hooks.ledger.base import database
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import Claim, Progress, State
from wagtail_async_hooks.utils.database.values import fitted


def report(claim: Claim, progress: Progress) -> bool:
    """Write how far a running task has come.

    :returns: whether it is to go on. It is not if somebody has cancelled it, or if it was given
        to another worker.
    """
    running = _running(claim).filter(cancel_requested=False)
    columns = fitted(BackgroundTask, progress_columns(progress), connections[running.db])
    return running.update(**columns) == 1


def is_held(claim: Claim) -> bool:
    """Return whether a running task is still this claim's, and not given to another worker."""
    return _running(claim).exists()


def goes_on(claim: Claim) -> bool:
    """Return whether a running task is this claim's, and nobody has cancelled it."""
    return _running(claim).filter(cancel_requested=False).exists()


def _running(claim: Claim) -> QuerySet[BackgroundTask]:
    return BackgroundTask.objects.using(database()).filter(
        pk=claim.pk, attempt=claim.attempt, task_id=claim.task_id, state=State.RUNNING
    )


def progress_columns(progress: Progress) -> dict[str, Any]:
    """Return the columns that tell how far a task is."""
    return {
        "progress_done": progress.done,
        "progress_total": progress.total,
        "progress_note": progress.note,
    }
