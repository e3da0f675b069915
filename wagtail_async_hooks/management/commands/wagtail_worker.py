"""``wagtail_worker``: run background tasks, until stopped or until none is left."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.validators import queue_name
from wagtail_async_hooks.exceptions import ConfigurationError, OutageLasts
from wagtail_async_hooks.hooks import discovery, registry, takeover
from wagtail_async_hooks.ledger import migrated
from wagtail_async_hooks.management.preconditions import require_tables
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils.database import pools
from wagtail_async_hooks.utils.text import one_line, visible
from wagtail_async_hooks.worker.supervisor import GAVE_UP, Supervisor

logger = logging.getLogger("wagtail_async_hooks.worker")


class Command(BaseCommand):
    """Run background tasks."""

    help = (
        "Runs background tasks until it is stopped by SIGTERM or SIGINT (Ctrl-C). "
        "With --drain it runs what is due and ends, for cron."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--threads",
            type=_at_least_one,
            help='how many tasks to run at once (default: WAGTAIL_TASKS["WORKER"]["threads"], 4)',
        )
        parser.add_argument(
            "--processes",
            type=_at_least_one,
            help="how many processes to run, each with that many threads; those that die are "
            'replaced (default: WAGTAIL_TASKS["WORKER"]["processes"], 1)',
        )
        parser.add_argument(
            "--queue",
            action="append",
            type=_queue,
            dest="queues",
            metavar="NAME",
            help="serve this queue; may be given several times (default: all, or what "
            'WAGTAIL_TASKS["WORKER"] says)',
        )
        parser.add_argument(
            "--exclude-queue",
            action="append",
            type=_queue,
            dest="exclude_queues",
            metavar="NAME",
            help="serve all queues but this one; may be given several times",
        )
        parser.add_argument(
            "--drain", action="store_true", help="run what is due, then end; for cron"
        )
        parser.add_argument(
            "--max-seconds",
            type=_positive,
            metavar="S",
            help="end after S seconds, once the running tasks have finished",
        )
        parser.add_argument(
            "--no-schedule",
            action="store_false",
            dest="schedule",
            help="leave what recurs to other workers",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        settings = self._usable_settings()
        _log_to_stderr(options["verbosity"])
        discovery.import_all()
        takeover.take_over()
        takeover.provide_tasks()
        threads = options["threads"] or settings.worker.threads
        processes = options["processes"] or settings.worker.processes
        _require_connections(threads)
        queues, exclude = _queues_of(options, settings)
        self._introduce(settings, threads, processes, drain=options["drain"])
        self._warn()
        self._introduce_queues(queues, exclude)
        self._introduce_hooks()
        self._introduce_schedule(is_ours=options["schedule"])

        work = partial(
            _work,
            threads=threads,
            drain=options["drain"],
            max_seconds=options["max_seconds"],
            shutdown_timeout=settings.worker.shutdown_timeout,
            schedule=options["schedule"],
            queues=queues,
            exclude_queues=exclude,
            parent=os.getpid() if processes > 1 else None,
        )
        if processes == 1:
            try:
                work()
            except OutageLasts as error:
                raise CommandError(f"The worker gives up: {error}") from error
        else:
            _supervise(processes, work, settings.worker.shutdown_timeout)

    def _usable_settings(self) -> conf.Settings:
        """Return the settings, or end with a sentence that says why no worker can run."""
        try:
            settings = conf.require()
            if not settings.backend:
                raise ConfigurationError(
                    'WAGTAIL_TASKS["BACKEND"] is blank, so that hooks run in the request and there '
                    'is nothing for a worker to do; set it to "database" or "redis".'
                )
            notifier = getattr(background.storage, "notifier", None)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        self._standing = require_tables()
        if notifier is not None:
            self._check_notifier(settings.backend, notifier)
        return settings

    def _check_notifier(self, backend: str, notifier: Any) -> None:
        try:
            notifier.queue_size()
        except Exception as error:
            self.stderr.write(
                f'WAGTAIL_TASKS["BACKEND"] is {backend!r}, which does not answer '
                f"({one_line(error)}); start it, or correct "
                'WAGTAIL_TASKS["BACKEND_OPTIONS"]. Until it answers, this worker '
                "finds tasks in the database."
            )

    def _introduce(
        self, settings: conf.Settings, threads: int, processes: int, *, drain: bool
    ) -> None:
        from wagtail_async_hooks import ledger

        connection = connections[ledger.database()]
        logger.info(
            "Worker %d starts %s%s.",
            os.getpid(),
            _counted(threads, "thread")
            if processes == 1
            else f"{processes} processes of {_counted(threads, 'thread')} each",
            ", to drain what is due" if drain else "",
        )
        logger.info(
            "Backend: %s. Database: %s, %s.",
            settings.backend,
            connection.display_name,
            connection.settings_dict["NAME"],
        )

    def _warn(self) -> None:
        """Log warnings about the code that this worker runs."""
        from wagtail_async_hooks import ledger

        if self._standing.newer:
            logger.warning("%s", migrated.told_of_newer(ledger.database(), self._standing.newer))
        if django_settings.DEBUG:
            logger.info(
                "DEBUG is on: this worker goes on with the code that it has now; restart it after "
                "each change of the code."
            )

    def _introduce_hooks(self) -> None:
        names = sorted({hook for hook, _ in registry.entries})
        logger.info(
            "Background hooks: %s for %s%s",
            _counted(len(registry.entries), "function"),
            _counted(len(names), "hook"),
            f" ({', '.join(names)})." if names else ".",
        )

    def _introduce_queues(self, queues: Sequence[str], exclude: Sequence[str]) -> None:
        from wagtail_async_hooks.worker.bounds import describe_queues

        logger.info("Queues: %s.", describe_queues(queues, exclude) or "all")

    def _introduce_schedule(self, *, is_ours: bool) -> None:
        from wagtail_async_hooks.worker import schedule

        names = sorted(schedule.known())
        if not is_ours:
            logger.info("Schedule: left to other workers.")
        elif names:
            logger.info("Schedule: %s (%s).", _counted(len(names), "entry"), ", ".join(names))


def _require_connections(threads: int) -> None:
    """End with a sentence where threads would wait in vain for connections of a pool."""
    from wagtail_async_hooks import ledger

    if problem := pools.why_too_small(ledger.database(), threads):
        raise CommandError(f"{problem}.")


def _work(**options: Any) -> int:
    """Run one worker process; return its exit code."""
    # Not above: it needs the app's tables, and errors about them are to be shown first.
    from wagtail_async_hooks.worker.process import WorkerProcess

    worker = WorkerProcess(background, **options)
    worker.run()
    logger.info("Worker %d stopped.", os.getpid())
    if worker.is_alive():
        # What these threads run was handed back; nobody wants to wait for them now.
        logging.shutdown()
        os._exit(0)
    return 0


def _supervise(processes: int, work: Callable[[], int], shutdown_timeout: float) -> None:
    """Run several worker processes."""

    def work_or_give_up() -> int:
        try:
            return work()
        except OutageLasts as error:
            logger.error("Worker %d gives up: %s", os.getpid(), error)
            return GAVE_UP

    # Processes do not share connections.
    connections.close_all()
    pools.close_all()
    background.storage.close()
    if not Supervisor(processes, work_or_give_up, shutdown_timeout).run():
        raise CommandError("Worker processes gave up; their log says why.")


def _queues_of(
    options: dict[str, Any], settings: conf.Settings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the queues to serve, and those to leave; what the command says goes first."""
    queues, exclude = options["queues"] or (), options["exclude_queues"] or ()
    if queues and exclude:
        raise CommandError("Give either --queue or --exclude-queue, not both.")
    if queues or exclude:
        return tuple(dict.fromkeys(queues)), tuple(dict.fromkeys(exclude))
    return settings.worker.queues, settings.worker.exclude_queues


def _counted(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


class _HarmlessFormatter(logging.Formatter):
    """Formats lines that do nothing to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        return visible(super().format(record), lines=True)


def _log_to_stderr(verbosity: int) -> None:
    """Show the worker's lines, unless the site's LOGGING already says where they go."""
    ours = logging.getLogger("wagtail_async_hooks")
    if not ours.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_HarmlessFormatter("%(asctime)s %(levelname)s %(message)s"))
        ours.addHandler(handler)
        if not (huey := logging.getLogger("huey")).hasHandlers():
            huey.addHandler(handler)  # else Python would print what it warns of as it is
            huey.setLevel(logging.WARNING if huey.level == logging.NOTSET else huey.level)
    if ours.level == logging.NOTSET:
        ours.setLevel([logging.WARNING, logging.INFO, logging.INFO, logging.DEBUG][verbosity])


def _queue(text: str) -> str:
    if expected := queue_name(text):
        raise ArgumentTypeError(f"should be {expected}, but is {text!r}.")
    return text


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise ValueError
    return number
