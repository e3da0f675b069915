"""``wagtail_tasks run``: have a command or a function run in the background, or here."""

from __future__ import annotations

import time
from argparse import REMAINDER, SUPPRESS, ArgumentParser
from typing import Any, ClassVar, Final

from django.core.management.base import CommandError, CommandParser

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.management import formatting, runnables
from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.endings import INTERRUPTED
from wagtail_async_hooks.management.preconditions import require_tables
from wagtail_async_hooks.management.runnables import EnqueueOptions, Runnable
from wagtail_async_hooks.management.subcommands import show
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import display
from wagtail_async_hooks.monitoring.details import Details
from wagtail_async_hooks.queue import progress
from wagtail_async_hooks.types import Progress, State
from wagtail_async_hooks.utils.text import visible

POLL_INTERVAL: Final = 0.2
"""Seconds between two checks whether a task has ended."""

_ENDS: Final = {
    State.FAILED: "has failed",
    State.CANCELLED: "was cancelled",
    State.EXPIRED: "has expired",
    State.MERGED: "was merged",  # into one whose row is gone
}


class Subcommand(BaseSubcommand):
    """Run something."""

    help = (
        "Runs a management command, a background task or an entry of the schedule in the "
        "background. What this command does not know itself, and all that follows --, is passed on."
    )
    needs_ledger: ClassVar[bool] = False

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        _add_options(parser)
        parser.add_argument(
            "name",
            metavar="NAME",
            help="a management command, an entry of the schedule, or the dotted path of a task",
        )
        rest = parser.add_argument(
            "rest", nargs=REMAINDER, metavar="…", help="its arguments and options"
        )
        rest.required = False  # so that they are not asked for where the name is missing

    def handle(self, options: dict[str, Any]) -> None:
        arguments, options = _understood(options)
        self.as_json = options["json"]
        runnable = runnables.find_runnable(options["name"], arguments)
        if options["here"]:
            self._here(runnable)
        else:
            given = EnqueueOptions(options["priority"], options["queue"])
            self._enqueue(runnable, given, wait=options["wait"])

    def _here(self, runnable: Runnable) -> None:
        returned = runnable.here(None if self.as_json else self.stdout)
        result = returned if isinstance(returned, str) else display.value(returned)
        self.answer({"result": result}, [] if result is None else [str(result)])

    def _enqueue(self, runnable: Runnable, options: EnqueueOptions, *, wait: bool) -> None:
        if not conf.current().backend:
            raise CommandError(
                'WAGTAIL_TASKS["BACKEND"] is blank, so that nothing runs in the background; set it '
                'to "database", "redis" or "celery", or run it with --here.'
            )
        require_tables()
        task = ledger.newest(runnable.enqueue(options))
        assert task is not None
        try:
            self._tell(task, waits=wait)
            ended = _ended(task) if wait else None
        except KeyboardInterrupt:
            raise CommandError(
                f"Task {task.pk} goes on; nobody waits for it.", returncode=INTERRUPTED
            ) from None
        if ended is not None:
            self._answer_end(ended)

    def _tell(self, task: BackgroundTask, *, waits: bool) -> None:
        """Say that a task is enqueued, and why it does not begin yet."""
        enqueued = f"Task {task.pk} is enqueued."
        if waits:
            self.stderr.write(enqueued)
        else:
            self.answer(formatting.task_data(task), [enqueued])
        if obstacles := Details(task).obstacles:
            self.stderr.write(f"It does not begin yet: {visible(' '.join(obstacles))}")

    def _answer_end(self, task: BackgroundTask) -> None:
        data = show.details(Details(task))
        result = data["result"]
        lines = [] if result is None else str(result).splitlines()
        succeeded = task.state == State.SUCCEEDED
        self.answer(data, [*lines, *([f"Task {task.pk} has succeeded."] if succeeded else [])])
        if not succeeded:
            error = visible(task.error)
            raise CommandError(f"Task {task.pk} {_ENDS[State(task.state)]}: {error}")


def _add_options(parser: ArgumentParser, **default: Any) -> None:
    """Add our own options, which may stand before the name and after it."""
    parser.add_argument(
        "--here", action="store_true", help="run it in this process, without a task", **default
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait until it has ended; the exit code is 1 unless it has succeeded",
        **default,
    )
    parser.add_argument(
        "--priority", type=int, metavar="N", help="of the task; higher runs first", **default
    )
    parser.add_argument("--queue", metavar="NAME", help="queue of the task", **default)


def _understood(options: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the arguments to pass on, and our options with those that stand after the name."""
    rest = list(options["rest"])
    end = rest.index("--") if "--" in rest else len(rest)
    parser = CommandParser(prog="run", add_help=False, allow_abbrev=False)
    _add_options(parser, default=SUPPRESS)
    parser.add_argument("--json", action="store_true", default=SUPPRESS)
    ours, passed = parser.parse_known_args(rest[:end])
    return [*passed, *rest[end + 1 :]], {**options, **vars(ours)}


def _ended(task: BackgroundTask) -> BackgroundTask:
    """Wait for the end of a task, or of the one that it was merged into, and return it.

    :raises CommandError: if somebody discards it meanwhile.
    """
    tasks = BackgroundTask.objects.using(ledger.database()).select_related("subject_type")
    while True:
        found = tasks.filter(pk=task.pk).first()
        if found is None:
            raise CommandError(f"Task {task.pk} was discarded.")
        task = ledger.unmerged(found)
        _show_progress(task)
        if State(task.state).is_final:
            progress.end_line()
            return task
        time.sleep(POLL_INTERVAL)


def _show_progress(task: BackgroundTask) -> None:
    if task.progress_done is not None:
        progress.show(Progress(task.progress_done, task.progress_total, task.progress_note))
