"""``wagtail_tasks status``: how many tasks there are, and whether anybody works."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from wagtail_async_hooks import ledger
from wagtail_async_hooks.management import formatting
from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.base_pause import in_words
from wagtail_async_hooks.models import Pause
from wagtail_async_hooks.monitoring import overview
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.time import elapsed_text


class Subcommand(BaseSubcommand):
    """Show the numbers of tasks, the workers, and the pauses."""

    help = (
        "Tells how many tasks there are by state and queue, which workers live, what waits longest."
    )

    def handle(self, options: dict[str, Any]) -> None:
        counts = overview.exact_counts()
        workers = overview.workers_alive()
        oldest = overview.oldest_waiting()
        pauses = pausing.paused()
        now = ledger.clock()
        data = {
            "states": {state: overview.total(counts, state=state) for state in State.values},
            "queues": counts,
            "workers": [formatting.worker_data(row) for row in workers],
            "paused": [formatting.pause_data(row) for row in pauses],
            "oldest_waiting": None if oldest is None else formatting.task_data(oldest),
        }
        lines = self._lines(counts, workers, oldest, now)
        self.answer(data, [*lines, *(_pause_line(pause, now) for pause in pauses)])

    def _lines(
        self, counts: overview.Counts, workers: Any, oldest: Any, now: datetime.datetime
    ) -> Iterator[str]:
        queues = sorted(counts)
        rows: list[tuple[Any, ...]] = [
            (state, *(counts[queue].get(state, 0) for queue in queues))
            for state in State.values
            if overview.total(counts, state=state)
        ]
        if rows:
            yield from formatting.table(("Tasks", *queues), rows)
        else:
            yield "There are no tasks."
        yield ""
        for row in workers:
            yield (
                f"Worker {row.pk}: process {row.pid} on {row.host}, threads: {row.threads}, "
                f"release {row.release}, for {elapsed_text(row.started_at, now)}"
            )
            if abs(row.clock_ahead) > clock.TOLERANCE:
                yield f"  The clock of {row.host} is {clock.described(row.clock_ahead)}."
        if not workers:
            yield 'No worker is alive; start one with "manage.py wagtail_worker".'
        if oldest is not None:
            since = elapsed_text(overview.waits_since(oldest), now)
            yield f"Task {oldest.pk} waits longest, for {since}: {formatting.description(oldest)}"


def _pause_line(pause: Pause, now: datetime.datetime) -> str:
    since = elapsed_text(pause.paused_at, now)
    line = f"{in_words(pause.kind, pause.name)} is paused, for {since}"
    return f"{line}: {pause.reason}" if pause.reason else f"{line}."
