"""Rows of the ledger as the subcommands tell of them: as JSON, and in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wagtail_async_hooks.models import BackgroundTask, Pause, TaskAttempt, Worker
from wagtail_async_hooks.utils.time import utc_text

WIDTH = 60
"""Characters of an error or a note that a table shows."""


def record(row: BackgroundTask) -> dict[str, Any]:
    """Return what JSON tells of a task, but for what is long."""
    return {
        "id": row.pk,
        "task_id": row.task_id,
        "state": row.state,
        "title": row.title,
        "name": row.name,
        "hook": row.hook,
        "function": row.function,
        "queue": row.queue,
        "priority": row.priority,
        "user": row.user_id if row.user_id is None else str(row.user_id),
        "subject": subject(row),
        "attempt": row.attempt,
        "deaths": row.deaths,
        "snoozes": row.snoozes,
        "worker": row.worker_id,
        "enqueued_at": utc_text(row.enqueued_at),
        "run_at": utc_text(row.run_at),
        "started_at": utc_text(row.started_at),
        "finished_at": utc_text(row.finished_at),
        "progress": progress(row),
        "cancel_requested": row.cancel_requested,
        "coalesce_key": row.coalesce_key,
        "exclusive_key": row.exclusive_key,
        "merged_into": row.merged_into_id,
        "error": row.error,
        "error_type": row.error_type,
        "explanation": row.explanation,
        "side_effect": row.side_effect,
    }


def progress(row: BackgroundTask) -> dict[str, Any] | None:
    """Return how far a task is; ``None`` if it has not said."""
    if row.progress_done is None:
        return None
    note = row.progress_note
    return {"done": row.progress_done, "total": row.progress_total, "note": note}


def subject(row: BackgroundTask) -> str | None:
    """Return model and key of the object that a task is about."""
    if row.subject_type is None:
        return None
    return f"{row.subject_type.app_label}.{row.subject_type.model} {row.subject_id}"


def attempt(made: TaskAttempt) -> dict[str, Any]:
    """Return what JSON tells of an attempt."""
    return {
        "number": made.number,
        "worker": made.worker_id,
        "started_at": utc_text(made.started_at),
        "ended_at": utc_text(made.ended_at),
        "error": made.error,
        "error_type": made.error_type,
        "traceback": made.traceback,
    }


def worker(row: Worker) -> dict[str, Any]:
    """Return what JSON tells of a worker."""
    return {
        "id": row.pk,
        "host": row.host,
        "pid": row.pid,
        "threads": row.threads,
        "queues": row.queues,
        "release": row.release,
        "clock_ahead": row.clock_ahead,
        "started_at": utc_text(row.started_at),
        "heartbeat_at": utc_text(row.heartbeat_at),
    }


def pause(row: Pause) -> dict[str, Any]:
    """Return what JSON tells of a pause."""
    return {
        "kind": row.kind,
        "name": row.name,
        "paused_at": utc_text(row.paused_at),
        "user": row.user_id if row.user_id is None else str(row.user_id),
        "reason": row.reason,
    }


def what(row: BackgroundTask) -> str:
    """Return for people what a task does, and about what."""
    if row.title:
        return row.title
    named = row.function or row.name
    about = subject(row)
    told = f"{row.hook}: {named}" if row.hook else named
    return f"{told} ({about})" if about else told


def how_far(row: BackgroundTask) -> str:
    """Return for people how far a task is; blank if it has not said."""
    if row.progress_done is None:
        return ""
    of = f"/{row.progress_total}" if row.progress_total is not None else ""
    return f"{row.progress_done}{of} {row.progress_note}".rstrip()


def note(row: BackgroundTask) -> str:
    """Return the line for people that tells most about a task: its error, or how far it is."""
    told = row.error or how_far(row)
    return told if len(told) <= WIDTH else f"{told[: WIDTH - 1]}…"


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of a table; numbers stand at the right of their column."""
    texts = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = [bool(rows) and isinstance(rows[0][n], int) for n in range(len(headings))]
    for line in texts:
        cells = zip(line, widths, right, strict=True)
        told = (cell.rjust(width) if r else cell.ljust(width) for cell, width, r in cells)
        yield "  ".join(told).rstrip()
