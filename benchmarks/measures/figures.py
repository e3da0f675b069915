"""How long each figure about a million tasks takes: counts, commands, metrics, a worker's own."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks.cases import Case
from benchmarks.measures import Metric

Figures = Mapping[str, Callable[[], Any]]

TITLE: Final = "Figures about many tasks"
EXPLAINED: Final = (
    "A million tasks (with `QUICK`, 20,000) in 32 queues, three ways: a fifth is still to be done "
    "and a sixth has failed; all wait; all have succeeded. Ours count up to 10,000 and say where "
    "there are more; `--exact` counts all, as the others do: django-tasks-db by a query of its "
    "table, Huey by `pending_count()`. Commands run within a process that has begun. What is "
    "slowest is so without `--exact` and `pending_count()`, which are asked for in no page."
)
METRICS: Final = {
    "slowest": Metric("slowest, ms", digits=0),
    "counts": Metric("counts by state"),
    "status": Metric("`wagtail_tasks status`"),
    "exact": Metric("`status --exact`", digits=0),
    "size": Metric("`pending_count()`"),
    "doctor": Metric("doctor, of tasks"),
    "queues": Metric("queues"),
    "home": Metric("home page's panel"),
    "errors": Metric("errors"),
    "hooks": Metric("hooks"),
    "metrics": Metric("Prometheus"),
    "health": Metric("health"),
    "sample": Metric("a worker's sample"),
    "alerts": Metric("a worker's alerts"),
}
NOT_OF_PAGES: Final = ("exact", "size")
BASELINE: Final = "ours"
SMALL: Final = {"rows": 1000, "times": 1}

_KINDS: Final = {
    "busy": "in all states",
    "waiting": "all wait",
    "succeeded": "all succeeded",
}
_OTHERS: Final = ("django_tasks_db", "huey_itself")


def cases(*, quick: bool) -> list[Case]:
    """Return what is measured: all figures in one run, as filling the table takes longest."""
    from importlib.util import find_spec

    rows, times = 20_000 if quick else 1_000_000, 5
    found = []
    for database in ("sqlite", "postgres", "mysql"):
        for spread, told in _KINDS.items():
            options = {"rows": rows, "times": times, "spread": spread}
            title = f"wagtail_async_hooks, {told}"
            found.append(Case("figures", "ours", title, database, options=options))
        options = {"rows": rows, "times": times, "spread": "waiting"}
        if find_spec("django_tasks_db"):
            title = "django-tasks-db, all wait"
            found.append(Case("figures", "django_tasks_db", title, database, options=options))
    title = "SqliteHuey, all wait"
    found.append(Case("figures", "huey_itself", title, "sqlite", options=options))
    return found


def baseline(case: Case, cases: list[Case]) -> Case | None:
    """Return ours, with tasks that wait, in the same database."""
    return next(
        (
            each
            for each in cases
            if (each.contender, each.database) == ("ours", case.database)
            and each.options["spread"] == "waiting"
        ),
        None,
    )


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Return the milliseconds of each figure, each time that it is asked for but for the first."""
    import django

    django.setup()
    figures = {"ours": _ours, "django_tasks_db": _of_django_tasks_db, "huey_itself": _of_huey}
    found = {
        name: _times(figure, case.options["times"])
        for name, figure in figures[case.contender](case.options).items()
    }
    shown = [times for name, times in found.items() if name not in NOT_OF_PAGES]
    return {**found, "slowest": max(shown, key=statistics.median)}


def _times(figure: Callable[[], Any], number: int) -> list[float]:
    figure()
    times = []
    for _ in range(number):
        begun = time.perf_counter()
        figure()
        times.append(1000 * (time.perf_counter() - begun))
    return times


# Ours ---------------------------------------------------------------------------------------


def _ours(options: Mapping[str, Any]) -> Figures:
    from tests import crowds
    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.models import Worker

    crowds.fill(options["rows"], options["spread"])
    crowds.gather_statistics()
    ledger.register_worker(Worker(host="bench", pid=1, threads=4, release="1"))
    return {name: _while_it_lives(figure) for name, figure in of_ours().items()}


def _while_it_lives(figure: Callable[[], Any]) -> Callable[[], Any]:
    """Return a figure of a site whose worker lives."""
    from wagtail_async_hooks.models import Worker
    from wagtail_async_hooks.utils.database.instants import DatabaseNow

    def read() -> None:
        Worker.objects.update(heartbeat_at=DatabaseNow())
        figure()

    return read


def of_ours() -> Figures:
    """Return what there is to be read of our tasks, each as a user has it read."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from prometheus_client import CollectorRegistry, generate_latest

    from wagtail_async_hooks import background, ledger
    from wagtail_async_hooks.admin.home import ProblemsPanel, TasksPanel
    from wagtail_async_hooks.admin.permissions import Access
    from wagtail_async_hooks.monitoring import errors, hook_statistics, overview, queues
    from wagtail_async_hooks.monitoring.alerts import conditions
    from wagtail_async_hooks.monitoring.doctor import tasks
    from wagtail_async_hooks.monitoring.health import health
    from wagtail_async_hooks.monitoring.moment import Moment
    from wagtail_async_hooks.monitoring.prometheus import LedgerCollector

    user = get_user_model()(username="operator", is_superuser=True, is_active=True)
    registry = CollectorRegistry()
    registry.register(LedgerCollector())

    def command(*arguments: str) -> None:
        call_command("wagtail_tasks", *arguments, stdout=io.StringIO())

    def home() -> None:
        for panel in (ProblemsPanel, TasksPanel):
            panel(Access(user)).render_html()

    return {
        "counts": overview.bounded_counts,
        "status": lambda: command("status", "--json"),
        "exact": lambda: command("status", "--json", "--exact"),
        "size": background.pending_count,
        "doctor": lambda: list(tasks.examine()),
        "queues": lambda: queues.overview(Moment()),
        "home": home,
        "errors": errors.errors,
        "hooks": hook_statistics.runs,
        "metrics": lambda: generate_latest(registry),
        "health": lambda: health(60.0, 1),
        "sample": ledger.sample_queues,
        "alerts": lambda: conditions.of_workers(Moment()),
    }


# Of others ----------------------------------------------------------------------------------


def _of_django_tasks_db(options: Mapping[str, Any]) -> Figures:
    from django.db.models import Count
    from django.utils import timezone
    from django_tasks_db.models import DBTaskResult

    one = {
        "status": "READY",
        "run_after": timezone.now(),
        "args_kwargs": {"args": [0.0, 0.0], "kwargs": {}},
        "task_path": "benchmarks.tasks.of_the_api",
        "worker_ids": [],
        "queue_name": "default",
        "backend_name": "default",
        "exception_class_path": "",
        "traceback": "",
    }
    for start in range(0, options["rows"], 5_000):
        number = min(5_000, options["rows"] - start)
        DBTaskResult.objects.bulk_create([DBTaskResult(**one) for _ in range(number)])
    _gather_statistics(DBTaskResult._meta.db_table)
    grouped = DBTaskResult.objects.order_by().values_list("status").annotate(Count("pk"))
    return {
        "counts": lambda: list(grouped.all()),
        "size": lambda: DBTaskResult.objects.filter(status="READY").count(),
    }


def _gather_statistics(table: str) -> None:
    from django.db import connection

    word = "VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE"
    with connection.cursor() as cursor:
        cursor.execute(f"{word} {table}")


def _of_huey(options: Mapping[str, Any]) -> Figures:
    from benchmarks.contenders.huey_itself import do, queue

    message = queue.serialize_task(do.s(0.0, 0.0))
    statement = "insert into task (queue, data, priority) values (?, ?, ?)"
    with queue.storage.db(commit=True) as cursor:
        cursor.executemany(statement, ((queue.name, message, 0.0) for _ in range(options["rows"])))
    return {"size": queue.pending_count}
