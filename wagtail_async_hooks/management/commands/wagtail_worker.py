"""``wagtail_worker``: run background tasks, until stopped or until none is left."""

from __future__ import annotations

import logging
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from wagtail_async_hooks import conf
from wagtail_async_hooks.exceptions import ConfigurationError, OutageLasts
from wagtail_async_hooks.hooks import discovery, registry, takeover
from wagtail_async_hooks.ledger import migrated
from wagtail_async_hooks.management import worker_options
from wagtail_async_hooks.management.endings import without_traceback
from wagtail_async_hooks.management.preconditions import require_tables
from wagtail_async_hooks.management.worker_log import log_to_stderr
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils.database import pools
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.worker import reloading, systemd
from wagtail_async_hooks.worker.health import Health
from wagtail_async_hooks.worker.health_server import Address
from wagtail_async_hooks.worker.monitor import Monitor, of_one, watching
from wagtail_async_hooks.worker.recycling import Limits
from wagtail_async_hooks.worker.reporting import Channel, Own
from wagtail_async_hooks.worker.supervisor import GAVE_UP, Supervisor
from wagtail_async_hooks.worker.systemd import Systemd

logger = logging.getLogger("wagtail_async_hooks.worker")


class Command(BaseCommand):
    """Run background tasks."""

    help = (
        "Runs background tasks until it is stopped by SIGTERM or SIGINT (Ctrl-C). "
        "With --drain it runs what is due and ends, for cron."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        with without_traceback():
            super().run_from_argv(argv)

    def add_arguments(self, parser: ArgumentParser) -> None:
        worker_options.add(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """See ``BaseCommand``; the checks are for the process that works."""
        if _is_to_reload(options) and not reloading.is_child():
            options["skip_checks"] = True
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        reloads = _is_to_reload(options)
        if reloads and not reloading.is_child():
            log_to_stderr(options["verbosity"])
            reloading.keep_running()
        if reloads:
            reloading.begin_child()
        settings = self._usable_settings()
        log_to_stderr(options["verbosity"])
        discovery.import_all()
        takeover.take_over()
        takeover.provide_tasks()
        plan = _Plan.of(options, settings, reloads=reloads)
        _require_connections(plan.threads)
        queues, exclude = _queues_of(options, settings)
        metrics = options["metrics"] or settings.worker.metrics
        _require_metrics(metrics, settings, plan.processes)
        coroutines = _coroutines_of(options, settings, plan.threads)
        self._introduce(settings, plan, drain=options["drain"])
        self._warn(reloads=reloads)
        self._introduce_queues(queues, exclude)
        self._introduce_hooks()
        self._introduce_schedule(is_ours=options["schedule"])

        work = partial(
            _work,
            threads=plan.threads,
            coroutines=coroutines,
            drain=options["drain"],
            max_seconds=options["max_seconds"],
            begun=time.monotonic(),
            limits=plan.limits,
            shutdown_timeout=settings.worker.shutdown_timeout,
            schedule=options["schedule"],
            queues=queues,
            exclude_queues=exclude,
            metrics=metrics,
        )
        make_monitor = partial(_make_monitor, options["health"], systemd.from_environment())
        if reloads:
            sys.exit(_work_alone(partial(work, reloads=True, parent=os.getppid()), make_monitor))
        elif plan.is_alone:
            _work_alone(work, make_monitor)
        else:
            work = partial(work, parent=os.getpid())
            _supervise(plan.processes, work, settings.worker.shutdown_timeout, make_monitor)

    def _usable_settings(self) -> conf.Settings:
        """Return the settings, or end with a sentence that says why no worker can run."""
        try:
            settings = conf.require()
            if not settings.backend:
                raise ConfigurationError(
                    'WAGTAIL_TASKS["BACKEND"] is blank, so that hooks run in the request and there '
                    'is nothing for a worker to do; set it to "database", "redis" or "celery".'
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

    def _introduce(self, settings: conf.Settings, plan: _Plan, *, drain: bool) -> None:
        from wagtail_async_hooks import ledger

        connection = connections[ledger.database()]
        logger.info(
            "Worker %d starts %s%s.",
            os.getpid(),
            _counted(plan.threads, "thread")
            if plan.processes == 1
            else f"{plan.processes} processes of {_counted(plan.threads, 'thread')} each",
            ", to drain what is due" if drain else "",
        )
        if plan.limits:
            logger.info("A process is replaced %s.", plan.limits)
        logger.info(
            "Backend: %s. Database: %s, %s.",
            settings.backend,
            connection.display_name,
            connection.settings_dict["NAME"],
        )

    def _warn(self, *, reloads: bool) -> None:
        """Log what there is to say about the code that this worker runs."""
        from wagtail_async_hooks import ledger

        if self._standing.newer:
            logger.warning("%s", migrated.told_of_newer(ledger.database(), self._standing.newer))
        if reloads:
            logger.info("The worker starts anew when code changes, unless --noreload is given.")
        elif django_settings.DEBUG:
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


class _Plan(NamedTuple):
    """How many threads and processes there are to be.

    :param limits: after what a process is replaced.
    """

    threads: int
    processes: int
    limits: Limits

    @property
    def is_alone(self) -> bool:
        """Whether one process will do: to be replaced, it needs somebody who does that."""
        return self.processes == 1 and not self.limits

    @classmethod
    def of(cls, options: dict[str, Any], settings: conf.Settings, *, reloads: bool) -> _Plan:
        """Return what the command says, else the settings; one that reloads is always alone."""
        threads = options["threads"] or settings.worker.threads
        if reloads:
            return cls(threads, 1, Limits())
        limits = Limits(
            options["max_tasks"] or settings.worker.max_tasks,
            options["max_memory"] or settings.worker.max_memory,
        )
        return cls(threads, options["processes"] or settings.worker.processes, limits)


def _is_to_reload(options: dict[str, Any]) -> bool:
    """Return whether the worker is to start anew when code changes.

    :raises CommandError: if that was asked for where it cannot be.
    """
    is_on_command_line = sys.argv[1:2] == ["wagtail_worker"]  # what would be started anew
    others = [name for name in ("drain", "processes", "max_tasks", "max_memory") if options[name]]
    if not options["reload"]:
        by_default = options["reload"] is None and django_settings.DEBUG
        return by_default and is_on_command_line and not others
    if others:
        name = others[0].replace("_", "-")
        raise CommandError(f"Give either --reload or --{name}, not both.")
    if not is_on_command_line:
        raise CommandError("--reload works on the command line only: that is what it runs anew.")
    return True


def _require_connections(threads: int) -> None:
    """End with a sentence where threads would wait in vain for connections of a pool."""
    from wagtail_async_hooks import ledger

    if problem := pools.why_too_small(ledger.database(), threads):
        raise CommandError(f"{problem}.")


def _coroutines_of(options: dict[str, Any], settings: conf.Settings, threads: int) -> int:
    """Return how many coroutine functions to run at once: none where a pool has no room for them.

    They run in the threads then, whose connections are there.
    """
    from wagtail_async_hooks import ledger

    given: int | None = options["coroutines"]
    number = settings.worker.coroutines if given is None else given
    if number and not pools.has_room_for_coroutines(ledger.database(), threads):
        logger.info(
            "Coroutine functions run in the threads: the pool of the database %r has no "
            "connections for more.",
            ledger.database(),
        )
        return 0
    return number


def _require_metrics(shown_at: str, settings: conf.Settings, processes: int) -> None:
    """End with a sentence where metrics cannot be shown, or would not be those of all."""
    if not shown_at:
        return
    if not settings.prometheus:
        raise CommandError(
            f"Metrics are to be shown at {shown_at}, but nothing is counted; set "
            'WAGTAIL_TASKS["PROMETHEUS"] to True.'
        )
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
    if not directory and processes > 1:
        raise CommandError(
            f"The metrics of {processes} processes cannot be shown at one address; set the "
            "environment variable PROMETHEUS_MULTIPROC_DIR to a folder, in which they count "
            "together."
        )
    if directory and not os.path.isdir(directory):
        raise CommandError(
            f"PROMETHEUS_MULTIPROC_DIR is {directory}, which is no folder; create it before the "
            "worker starts."
        )


def _showing(shown_at: str) -> AbstractContextManager[Any]:
    """Return the context in which a worker shows its metrics, if it is to show any."""
    if not shown_at:
        return nullcontext()
    from wagtail_async_hooks.monitoring.prometheus import Server  # needs an extra of the package

    return Server(shown_at)


def _work(metrics: str, *, reloads: bool = False, **options: Any) -> int:
    """Run one worker process; return its exit code.

    :param metrics: address at which it shows its metrics; blank for nowhere.
    :param reloads: whether it ends when code changes.
    """
    # Not above: it needs the app's tables, and errors about them are to be shown first.
    from wagtail_async_hooks.worker.process import WorkerProcess

    worker = WorkerProcess(background, **options)
    code = 0
    with _showing(metrics):
        if reloads:
            code = reloading.run(worker)
        else:
            worker.run()
    logger.info("Worker %d stopped.", os.getpid())
    if worker.is_alive():
        # What these threads run was handed back; nobody wants to wait for them now.
        logging.shutdown()
        os._exit(code)
    return code


def _make_monitor(
    address: Address | None, service: Systemd | None, ask: Callable[[], Health]
) -> Monitor:
    """Return what tells of the worker's health, or end with a sentence where it cannot listen."""
    try:
        made = Monitor(ask, address, service)
    except OSError as error:
        raise CommandError(
            f"--health={address}: nothing can listen there ({error.strerror or error}); choose "
            "another port, or an address of this host."
        ) from error
    if made.address is not None:
        logger.info("Health: http://%s/live and /ready.", made.address)
    return made


def _work_alone(work: Callable[..., int], make_monitor: Callable[..., Monitor]) -> int:
    """Run one worker, in this process; return the exit code."""
    own = Own()
    with watching(make_monitor(of_one(own, os.getpid()))):
        try:
            return work(reporter=own)
        except OutageLasts as error:
            raise CommandError(f"The worker gives up: {error}") from error


def _supervise(
    processes: int,
    work: Callable[..., int],
    shutdown_timeout: float,
    make_monitor: Callable[..., Monitor],
) -> None:
    """Run worker processes under this one."""

    def work_or_give_up(channel: Channel) -> int:
        try:
            return work(reporter=channel)
        except OutageLasts as error:
            logger.error("Worker %d gives up: %s", os.getpid(), error)
            return GAVE_UP

    # Processes do not share connections.
    connections.close_all()
    pools.close_all()
    background.storage.close()
    if not Supervisor(processes, work_or_give_up, shutdown_timeout, make_monitor).run():
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
