"""``wagtail_tasks show``: all that is known of one background task."""

from __future__ import annotations

import datetime
import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

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
        told = details(row)
        self.answer(told, lines(row, told))


def details(row: BackgroundTask) -> dict[str, Any]:
    """Return what JSON tells of a task, with all that is long."""
    attempts = background.storage.ledger.attempts(row.pk)
    return {
        **formatting.record(row),
        "arguments": display.arguments(row),
        "result": _result(row),
        "messages": row.messages or [],
        "traceback": row.traceback,
        "attempts": [formatting.attempt(made) for made in attempts],
    }


def lines(row: BackgroundTask, told: dict[str, Any]) -> Iterator[str]:
    """Yield what people get to read of a task."""
    yield f"Task {row.pk}: {formatting.what(row)}"
    yield f"  {'State':14}{row.state}{', to be cancelled' if row.cancel_requested else ''}"
    for name, value in _facts(row, told).items():
        if value not in (None, "", [], {}):
            yield f"  {name:14}{value}"
    for made in told["attempts"]:
        yield f"  {'Attempt ' + str(made['number']):14}{made['ended_at']}: {made['error']}"
    if row.error:
        yield f"  {'Error':14}{row.error}"
    if row.explanation:
        yield f"  {'Explanation':14}{row.explanation}"
    if isinstance(told["result"], str):
        yield from ("", *told["result"].splitlines())
    if row.traceback:
        yield from ("", *row.traceback.splitlines())


def _facts(row: BackgroundTask, told: dict[str, Any]) -> dict[str, Any]:
    result = told["result"]
    return {
        "Name": row.name,
        "Hook": row.hook,
        "Function": row.function,
        "About": told["subject"],
        "Queue": row.queue,
        "Priority": row.priority,
        "User": told["user"],
        "Recorded": local_text(row.enqueued_at),
        "To run at": _local_text(row.run_at),
        "Begun": _local_text(row.started_at),
        "Ended": _local_text(row.finished_at),
        "Tries": row.attempt,
        "Worker": row.worker_id,
        "Deaths": row.deaths or None,
        "Put off": row.snoozes or None,
        "Side effect": row.side_effect,
        "Progress": formatting.how_far(row),
        "Merged into": row.merged_into_id,
        "Coalesce key": row.coalesce_key,
        "Exclusive key": row.exclusive_key,
        "Arguments": json.dumps(told["arguments"], ensure_ascii=False),
        "Messages": [message["text"] for message in told["messages"]],
        "Result": None if isinstance(result, str) else result,
    }


def _local_text(value: datetime.datetime | None) -> str:
    return "" if value is None else local_text(value)


def _result(row: BackgroundTask) -> Any:
    """Return what a task that succeeded has returned, in JSON's types."""
    if row.result is None or row.state != State.SUCCEEDED:
        return None
    try:
        result = background.serializer.deserialize(bytes(row.result))
    except MessageRefused:
        return None
    return result if isinstance(result, str) else display.value(result)
