"""Formatting of the ledger's rows: data for JSON, and lines for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from wagtail_async_hooks.models import BackgroundTask, Pause, TaskAttempt, Worker
from wagtail_async_hooks.utils.time import utc_text

WIDTH = 60
"""Characters of an error or a note that a table shows."""


def task_data(row: BackgroundTask) -> dict[str, Any]:
    """Return a task's data for JSON, without its long columns."""
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
        "progress": progress_data(row),
        "cancel_requested": row.cancel_requested,
        "coalesce_key": row.coalesce_key,
        "exclusive_key": row.exclusive_key,
        "merged_into": row.merged_into_id,
        "error": row.error,
        "error_type": row.error_type,
        "explanation": row.explanation,
        "side_effect": row.side_effect,
    }


def progress_data(row: BackgroundTask) -> dict[str, Any] | None:
    """Return a task's progress for JSON; ``None`` if it has reported none."""
    if row.progress_done is None:
        return None
    note = row.progress_note
    return {"done": row.progress_done, "total": row.progress_total, "note": note}


def subject(row: BackgroundTask) -> str | None:
    """Return model and primary key of the object that a task is about."""
    if row.subject_type is None:
        return None
    return f"{row.subject_type.app_label}.{row.subject_type.model} {row.subject_id}"


def attempt_data(made: TaskAttempt) -> dict[str, Any]:
    """Return an attempt's data for JSON."""
    return {
        "number": made.number,
        "worker": made.worker_id,
        "started_at": utc_text(made.started_at),
        "ended_at": utc_text(made.ended_at),
        "error": made.error,
        "error_type": made.error_type,
        "traceback": made.traceback,
    }


def worker_data(row: Worker) -> dict[str, Any]:
    """Return a worker's data for JSON."""
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


def pause_data(row: Pause) -> dict[str, Any]:
    """Return a pause's data for JSON."""
    return {
        "kind": row.kind,
        "name": row.name,
        "paused_at": utc_text(row.paused_at),
        "user": row.user_id if row.user_id is None else str(row.user_id),
        "reason": row.reason,
    }


def progress_text(row: BackgroundTask) -> str:
    """Return a task's progress for people; blank if it has reported none."""
    if row.progress_done is None:
        return ""
    of = f"/{row.progress_total}" if row.progress_total is not None else ""
    return f"{row.progress_done}{of} {row.progress_note}".rstrip()


def note(row: BackgroundTask) -> str:
    """Return a task's error, or else its progress, in at most :data:`WIDTH` characters."""
    return shorter(row.error or progress_text(row), WIDTH)


def worker_name(row: Worker) -> str:
    """Return for people which worker it is."""
    return f"{row.host}, process {row.pid} (worker {row.pk})"


def shorter(text: str, width: int) -> str:
    """Return a text, or its beginning and a mark if it has more characters than that."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def wrapped(text: str, indent: str, width: int) -> list[str]:
    """Return the lines of a paragraph; only a word that is longer than the width exceeds it.

    :param indent: of the first line; the others begin two characters further right.
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


class AtLeast(int):
    """The number of some things of which there may be more."""

    def __str__(self) -> str:
        return f"{int(self)}+"


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of a table; numbers stand at the right of their column."""
    texts = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = [bool(rows) and isinstance(rows[0][n], int) for n in range(len(headings))]
    for line in texts:
        cells = zip(line, widths, right, strict=True)
        aligned = (cell.rjust(width) if r else cell.ljust(width) for cell, width, r in cells)
        yield "  ".join(aligned).rstrip()


def fitting_table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], *, beside: int, width: int | None
) -> Iterator[str]:
    """Yield the lines of a table, with its last columns below each row where it is too wide.

    :param beside: how many columns stay beside each other then.
    :param width: characters of a line, to which lines are cut; ``None`` for as many as there are.
    """
    wide = list(table(headings, rows))
    if width is None or max(map(len, wide)) <= width:
        yield from wide
        return
    first, *others = table(headings[:beside], [row[:beside] for row in rows])
    yield shorter(first, width)
    indent = "  " + " " * (len(first) - len(first.lstrip()))
    for line, row in zip(others, rows, strict=True):
        yield shorter(line, width)
        if below := "  ".join(str(cell) for cell in row[beside:] if cell):
            yield shorter(f"{indent}{below}", width)
