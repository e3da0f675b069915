"""``wagtail_tasks show``: all that is known of one background task."""

from __future__ import annotations

import datetime
import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from wagtail.admin.utils import get_user_display_name

from wagtail_async_hooks import ledger
from wagtail_async_hooks.management import formatting
from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.filters import by_ids
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.monitoring import description
from wagtail_async_hooks.monitoring.details import Attempt, Details
from wagtail_async_hooks.utils.time import local_text


class Subcommand(BaseSubcommand):
    """Show one background task."""

    help = "Shows all that is known of one background task."

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("id", type=int, metavar="ID", help="number of the task")

    def handle(self, options: dict[str, Any]) -> None:
        row = by_ids([options["id"]]).select_related("subject_type").get()
        known = Details(row)
        data = details(known)
        self.answer(data, lines(known, data))


def details(known: Details) -> dict[str, Any]:
    """Return a task's data for JSON, with its long columns and the names of what it refers to."""
    row = known.row
    description.name_subjects([row])
    return {
        **formatting.task_data(row),
        "what": known.title,
        "sentence": known.sentence,
        "obstacles": known.obstacles,
        "subject_title": row.subject_title,
        "user_name": _user_name(known),
        "worker_name": _worker_name(known.worker),
        "merged_into_what": known.merged_into and description.title_of(known.merged_into),
        "arguments": known.arguments,
        "result": known.result,
        "messages": row.messages or [],
        "traceback": row.traceback,
        "attempts": [formatting.attempt_data(made) for made in ledger.attempts(row.pk)],
    }


def lines(known: Details, data: dict[str, Any]) -> Iterator[str]:
    """Yield lines about a task, for people."""
    row = known.row
    yield f"Task {row.pk}: {known.title}"
    for sentence in (known.sentence, known.deaths_text, *known.obstacles):
        if sentence:
            yield f"  {sentence}"
    yield f"  {'State':14}{row.state}{', to be cancelled' if row.cancel_requested else ''}"
    for name, value in _facts(known, data).items():
        if value not in (None, "", [], {}):
            yield f"  {name:14}{value}"
    yield from _argument_lines(data)
    for made in known.attempts:
        if not made.is_last:
            yield f"  {f'Attempt {made.number}':14}{_attempt_text(made)}"
    if row.error and row.error not in known.sentence:
        yield f"  {'Error':14}{row.error}"
    if row.explanation:
        yield f"  {'Explanation':14}{row.explanation}"
    if isinstance(data["result"], str):
        yield from ("", *data["result"].splitlines())
    if row.traceback:
        yield from ("", *row.traceback.splitlines())


def _facts(known: Details, data: dict[str, Any]) -> dict[str, Any]:
    row, result = known.row, data["result"]
    return {
        "Name": row.name,
        "Hook": row.hook,
        "Function": row.function,
        "About": _named(row.subject_title, data["subject"]),
        "Queue": row.queue,
        "Priority": row.priority,
        "User": _named(data["user_name"], data["user"] and f"user {data['user']}"),
        "Enqueued": local_text(row.enqueued_at),
        "To run at": _local_text(row.run_at),
        "Begun": _local_text(row.started_at),
        "Ended": _local_text(row.finished_at),
        "Tries": row.attempt,
        "Worker": data["worker_name"] or row.worker_id,
        "Deaths": row.deaths or None,
        "Snoozed": row.snoozes or None,
        "Side effect": row.side_effect,
        "Progress": formatting.progress_text(row),
        "Merged into": _named(data["merged_into_what"], _task(row.merged_into_id)),
        "Coalesce key": row.coalesce_key,
        "Exclusive key": row.exclusive_key,
        "Messages": [message["text"] for message in data["messages"]],
        "Result": None if isinstance(result, str) else result,
    }


def _argument_lines(data: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each argument; the object that the task is about has its title there."""
    subject, heading = data["subject"], "Arguments"
    for name, value in (data["arguments"] or {}).items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if subject is not None and value == f"<{subject}>":
            shown = _named(data["subject_title"], subject)
        yield f"  {heading:14}{name}: {shown}"
        heading = ""


def _attempt_text(made: Attempt) -> str:
    worker = f" on {_worker_name(made.worker)}" if made.worker else ""
    return f"{_local_text(made.ended_at)}{worker}: {made.error}"


def _named(name: str | None, key: str | None) -> str:
    """Return what something is called, with its key."""
    return f"{name} ({key})" if name and key else name or key or ""


def _user_name(known: Details) -> str:
    return "" if known.user is None else str(get_user_display_name(known.user))


def _worker_name(row: Worker | None) -> str:
    return "" if row is None else formatting.worker_name(row)


def _task(pk: int | None) -> str | None:
    return None if pk is None else f"task {pk}"


def _local_text(value: datetime.datetime | None) -> str:
    return "" if value is None else local_text(value)
