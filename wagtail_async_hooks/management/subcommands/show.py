"""``wagtail_tasks show``: all that is known of one background task."""

from __future__ import annotations

import datetime
import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from wagtail_async_hooks import ledger
from wagtail_async_hooks.exceptions import MessageRefused
from wagtail_async_hooks.management import formatting
from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.filters import by_ids
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import display
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.time import local_text


class Subcommand(BaseSubcommand):
    """Show one background task."""

    help = "Shows all that is known of one background task."

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("id", type=int, metavar="ID", help="number of the task")

    def handle(self, options: dict[str, Any]) -> None:
        row = by_ids([options["id"]]).select_related("subject_type").get()
        data = details(row)
        self.answer(data, lines(row, data))


def details(row: BackgroundTask) -> dict[str, Any]:
    """Return a task's data for JSON, with its long columns."""
    attempts = ledger.attempts(row.pk)
    return {
        **formatting.task_data(row),
        "arguments": display.arguments(row),
        "result": _result(row),
        "messages": row.messages or [],
        "traceback": row.traceback,
        "attempts": [formatting.attempt_data(made) for made in attempts],
    }


def lines(row: BackgroundTask, data: dict[str, Any]) -> Iterator[str]:
    """Yield lines about a task, for people."""
    yield f"Task {row.pk}: {formatting.description(row)}"
    yield f"  {'State':14}{row.state}{', to be cancelled' if row.cancel_requested else ''}"
    for name, value in _facts(row, data).items():
        if value not in (None, "", [], {}):
            yield f"  {name:14}{value}"
    for made in data["attempts"]:
        yield f"  {'Attempt ' + str(made['number']):14}{made['ended_at']}: {made['error']}"
    if row.error:
        yield f"  {'Error':14}{row.error}"
    if row.explanation:
        yield f"  {'Explanation':14}{row.explanation}"
    if isinstance(data["result"], str):
        yield from ("", *data["result"].splitlines())
    if row.traceback:
        yield from ("", *row.traceback.splitlines())


def _facts(row: BackgroundTask, data: dict[str, Any]) -> dict[str, Any]:
    result = data["result"]
    return {
        "Name": row.name,
        "Hook": row.hook,
        "Function": row.function,
        "About": data["subject"],
        "Queue": row.queue,
        "Priority": row.priority,
        "User": data["user"],
        "Recorded": local_text(row.enqueued_at),
        "To run at": _local_text(row.run_at),
        "Begun": _local_text(row.started_at),
        "Ended": _local_text(row.finished_at),
        "Tries": row.attempt,
        "Worker": row.worker_id,
        "Deaths": row.deaths or None,
        "Put off": row.snoozes or None,
        "Side effect": row.side_effect,
        "Progress": formatting.progress_text(row),
        "Merged into": row.merged_into_id,
        "Coalesce key": row.coalesce_key,
        "Exclusive key": row.exclusive_key,
        "Arguments": json.dumps(data["arguments"], ensure_ascii=False),
        "Messages": [message["text"] for message in data["messages"]],
        "Result": None if isinstance(result, str) else result,
    }


def _local_text(value: datetime.datetime | None) -> str:
    return "" if value is None else local_text(value)


def _result(row: BackgroundTask) -> Any:
    """Return the return value of a task that has succeeded, in JSON's types."""
    if row.result is None or row.state != State.SUCCEEDED:
        return None
    try:
        result = background.serializer.deserialize(bytes(row.result))
    except MessageRefused:
        return None
    return result if isinstance(result, str) else display.value(result)
