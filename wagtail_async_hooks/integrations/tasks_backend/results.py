"""Results of ``TASKS``, read from the ledger."""

from __future__ import annotations

from typing import Any, Final

from wagtail_async_hooks import ledger
from wagtail_async_hooks.exceptions import BackgroundError, MessageRefused, UnknownTask
from wagtail_async_hooks.integrations.tasks_backend.calls import Call
from wagtail_async_hooks.models import BackgroundTask, TaskAttempt
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.time import as_django

_STATUSES: Final = {
    State.SCHEDULED: "READY",
    State.WAITING: "READY",
    State.RUNNING: "RUNNING",
    State.SUCCEEDED: "SUCCESSFUL",
    State.FAILED: "FAILED",
    State.CANCELLED: "FAILED",
    State.EXPIRED: "FAILED",
}
"""What the states of the ledger are called in the API, which knows no others."""


def worker_id(worker: int | None) -> str:
    """Return the id of a worker: its row's number; blank for a process that has none."""
    return "" if worker is None else str(worker)


def find(task_id: str) -> tuple[BackgroundTask, Call] | None:
    """Return the row and the call of a task of ``TASKS``; ``None`` if there is none of that id.

    Of a task that was merged into another one, that other one's row.
    """
    row = ledger.newest(task_id)
    call = None if row is None else call_of(row)
    if row is None or call is None:
        return None
    return ledger.unmerged(row), call


def call_of(row: BackgroundTask) -> Call | None:
    """Return the call that a row is about; ``None`` if it is about something else."""
    try:
        task = background.deserialize_task(bytes(row.message))
    except (MessageRefused, UnknownTask):
        return None
    return Call.from_payload(task.kwargs) if task.definition.call_class is Call else None


def of_row(row: BackgroundTask, call: Call, task_id: str = "") -> Any:
    """Return the result that a row tells of.

    :param task_id: the result's, if that is not the row's.
    """
    state = State(row.state)
    # Of a task that waits to be tried again, the only attempt is an earlier one.
    is_kept = row.attempt > 1 or (row.attempt and _STATUSES[state] == "READY")
    known = earlier_attempts(row.pk, call) if is_kept else {}
    known.setdefault("worker_ids", [])
    known.setdefault("errors", [])
    if row.attempt > len(known["worker_ids"]):  # the attempt that the row itself tells of
        known["worker_ids"].append(worker_id(row.worker_id))
    if state.is_final and state is not State.SUCCEEDED:
        known["errors"].append(_error(call, row))
    if state is State.SUCCEEDED and row.result is not None:
        known["return_value"] = background.serializer.deserialize(bytes(row.result))
    return call.result(
        task_id or row.task_id,
        _STATUSES[state],
        **{
            "enqueued_at": as_django(row.enqueued_at),
            "started_at": as_django(row.started_at),
            "last_attempted_at": as_django(row.started_at),
            "finished_at": as_django(row.finished_at),
            **known,
        },
    )


def earlier_attempts(pk: int, call: Call) -> dict[str, Any]:
    """Return what is known of a result from the attempts before the last one."""
    attempts = list(ledger.attempts(pk))
    if not attempts:
        return {}
    return {
        "started_at": as_django(attempts[0].started_at),
        "worker_ids": [worker_id(attempt.worker_id) for attempt in attempts],
        "errors": [_error(call, attempt) for attempt in attempts],
    }


def _error(call: Call, failed: BackgroundTask | TaskAttempt) -> Any:
    unnamed = f"{BackgroundError.__module__}.{BackgroundError.__qualname__}"
    return call.package.base.TaskError(
        exception_class_path=failed.error_type or unnamed,
        traceback=failed.traceback or failed.error,
    )
