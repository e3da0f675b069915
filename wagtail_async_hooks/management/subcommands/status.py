"""``wagtail_tasks status``: how many tasks there are, and whether anybody works."""

from __future__ import annotations

import datetime
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.management import formatting
from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.base_pause import in_words
from wagtail_async_hooks.models import Pause
from wagtail_async_hooks.monitoring import description, overview, problems
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.monitoring.starting import start_worker
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.time import elapsed_text


class Subcommand(BaseSubcommand):
    """Show the numbers of tasks, the workers, and the pauses."""

    help = (
        "Tells how many tasks there are by state and queue, which workers live, and what waits "
        f"longest. Of a state, {overview.MANY:,} tasks are counted. The exit code is 1 if nobody "
        "works."
    )

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--exact",
            action="store_true",
            help="count all tasks, which takes the longer the more there are",
        )

    def handle(self, options: dict[str, Any]) -> None:
        found = ledger.oldest_by_queue()
        if options["exact"]:
            counts = overview.CountsByQueue(overview.exact_counts(), frozenset())
        else:
            counts = overview.counts_by_queue(oldest=found)
        workers = overview.workers_alive()
        oldest = overview.oldest_waiting(found)
        pauses = pausing.paused()
        now = ledger.clock()
        nobody_works = not workers and problems.nobody_works(Moment())
        data = {
            "states": {
                state: overview.total(counts.numbers, state=state) for state in State.values
            },
            "queues": counts.numbers,
            "at_least": [state for state in State.values if state in counts.at_least],
            "workers": [formatting.worker_data(row) for row in workers],
            "nobody_works": nobody_works,
            "paused": [formatting.pause_data(row) for row in pauses],
            "oldest_waiting": None if oldest is None else formatting.task_data(oldest),
        }
        lines = self._lines(counts, workers, oldest, now, nobody_works=nobody_works)
        self.answer(data, [*lines, *(_pause_line(pause, now) for pause in pauses)])
        if nobody_works:
            raise CommandError('Nobody works; "manage.py wagtail_tasks doctor" says more.')

    def _lines(
        self,
        counts: overview.CountsByQueue,
        workers: Any,
        oldest: Any,
        now: datetime.datetime,
        *,
        nobody_works: bool,
    ) -> Iterator[str]:
        yield from _table(counts)
        yield ""
        for row in workers:
            yield (
                f"Worker {row.pk}: process {row.pid} on {row.host}, threads: {row.threads}, "
                f"release {row.release}, for {elapsed_text(row.started_at, now)}"
            )
            if abs(row.clock_ahead) > clock.TOLERANCE:
                yield f"  The clock of {row.host} is {clock.described(row.clock_ahead)}."
        if nobody_works:
            page = "open any page of the site, or " if conf.current().worker.embedded else ""
            yield f'No worker is alive; {page}start one with "{start_worker()}".'
        elif not workers:
            yield "No worker is alive; one has stopped lately, as one that cron starts does."
        if oldest is not None:
            since = elapsed_text(overview.waits_since(oldest), now)
            yield f"Task {oldest.pk} waits longest, for {since}: {description.title_of(oldest)}"


def _table(counts: overview.CountsByQueue) -> Iterator[str]:
    numbers = counts.numbers
    queues = sorted(numbers)
    rows: list[tuple[Any, ...]] = []
    for state in State:
        if overview.total(numbers, state=state):
            kind = formatting.AtLeast if state in counts.at_least else int
            rows.append((state.value, *(kind(numbers[queue].get(state, 0)) for queue in queues)))
    if not rows:
        yield "There are no tasks."
        return
    yield from formatting.table(("Tasks", *queues), rows)
    if counts.at_least:
        yield (
            f"+: or more, as only {overview.MANY} tasks of a state were counted; "
            '"--exact" counts all.'
        )


def _pause_line(pause: Pause, now: datetime.datetime) -> str:
    since = elapsed_text(pause.paused_at, now)
    line = f"{in_words(pause.kind, pause.name)} is paused, for {since}"
    return f"{line}: {pause.reason}" if pause.reason else f"{line}."
