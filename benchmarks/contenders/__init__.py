"""Who is measured: each module is one library, as its documentation says to use it.

It has ``set_up()``, called once in the process that enqueues; ``enqueue(seconds, sent)``, which
enqueues a task that does :func:`benchmarks.work.do`; ``enqueue_many(number, seconds)``, which does
so many times by the quickest way that there is; and ``workers(number, logs=False)``, the commands
that start so many workers: threads, processes or whatever the library has by default, which log
each task if asked to. Those that can wait for many servers at once have
``enqueue_calls(number, port)`` and ``callers(number)`` for that. Those that hand out again what a
dead worker had, but only after long, have ``kept()``: how many wait for that.

The libraries are those that Wagtail's RFC 1 names, and those that have come since, as far as they
are installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

from benchmarks.cases import Case

PYTHON: Final = sys.executable
MANAGE: Final = (PYTHON, "tests/site/manage.py")


class Contender(NamedTuple):
    """One library with one storage.

    :param module: in this package.
    :param needs: the module that has to be installed; blank for what we need anyway.
    :param lacks: measures that it cannot take part in.
    :param a_second: how many tasks a worker does in a second at most, by design; 0 for no limit.
    """

    title: str
    module: str
    database: str = ""
    redis: bool = False
    needs: str = ""
    lacks: tuple[str, ...] = ()
    a_second: int = 0


CLOSE: Final = ("ours", "huey_itself")
"""Those that are compared in several rounds, as they are close to each other."""

SLOW: Final = (
    "django_tasks_db",
    "procrastinate_itself",
    "celery_itself",
    "rq_itself",
    "django_q2_itself",
    "apscheduler_itself",
)
"""Those that would take minutes with as many tasks as the others."""

_NO_LOG: Final = ("logged",)
"""What those cannot take part in that log no task unless a site sets up Python's logging, or do one
job a second, in which whatever a log takes is lost."""

_NOT_NOTICED: Final = ("pickup", "rested", "footprint", *_NO_LOG)
"""What APScheduler cannot take part in: it does not notice jobs that another process adds."""


ALL: Final = (
    Contender("wagtail_async_hooks", "ours", "sqlite"),
    Contender("SqliteHuey", "huey_itself", "sqlite"),
    Contender("django-tasks-db", "django_tasks_db", "sqlite", needs="django_tasks_db"),
    Contender("django-q2", "django_q2_itself", "sqlite", needs="django_q"),
    Contender(
        "django-db-queue",
        "django_db_queue_itself",
        "sqlite",
        needs="django_dbq",
        lacks=_NO_LOG,
        a_second=1,
    ),
    Contender(
        "APScheduler", "apscheduler_itself", "sqlite", needs="apscheduler", lacks=_NOT_NOTICED
    ),
    Contender("wagtail_async_hooks", "ours", "postgres"),
    Contender("PostgresHuey", "huey_itself", "postgres"),
    Contender("django-tasks-db", "django_tasks_db", "postgres", needs="django_tasks_db"),
    Contender("procrastinate", "procrastinate_itself", "postgres", needs="procrastinate"),
    Contender("django-q2", "django_q2_itself", "postgres", needs="django_q"),
    Contender(
        "django-db-queue",
        "django_db_queue_itself",
        "postgres",
        needs="django_dbq",
        lacks=_NO_LOG,
        a_second=1,
    ),
    Contender(
        "APScheduler", "apscheduler_itself", "postgres", needs="apscheduler", lacks=_NOT_NOTICED
    ),
    Contender("wagtail_async_hooks", "ours", "mysql", needs="pymysql"),
    Contender("SqlHuey", "huey_itself", "mysql", needs="pymysql"),
    Contender("django-tasks-db", "django_tasks_db", "mysql", needs="django_tasks_db"),
    Contender("wagtail_async_hooks, Redis and SQLite", "ours", "sqlite", redis=True),
    Contender("wagtail_async_hooks, Redis and PostgreSQL", "ours", "postgres", redis=True),
    Contender("PriorityRedisHuey", "huey_itself", redis=True),
    Contender("Celery", "celery_itself", redis=True, needs="celery"),
    Contender("RQ", "rq_itself", redis=True, needs="rq"),
    Contender("django-q2, Redis and SQLite", "django_q2_itself", "sqlite", True, "django_q"),
    Contender(
        "django-lightweight-queue",
        "lightweight_itself",
        redis=True,
        needs="django_lightweight_queue",
        lacks=_NO_LOG,
    ),
    Contender(
        "django-lightweight-queue, reliable",
        "lightweight_reliable_itself",
        redis=True,
        needs="django_lightweight_queue",
        lacks=_NO_LOG,
    ),
)


def cases(measure: str, options: Mapping[str, Any]) -> list[Case]:
    """Return a case of a measure for each contender that is installed, and can take part in it."""
    from importlib.util import find_spec

    return [
        Case(measure, who.module, who.title, who.database, who.redis, options)
        for who in ALL
        if (not who.needs or find_spec(who.needs)) and measure not in who.lacks
    ]


def at_most(case: Case, tasks: int, seconds: float = 20.0) -> int:
    """Return so many tasks, or fewer if two workers of a contender would not do them in time."""
    limit = max((who.a_second for who in ALL if who.module == case.contender), default=0)
    return min(tasks, int(2 * limit * seconds)) if limit else tasks


def some(cases: Iterable[Case]) -> list[Case]:
    """Return the first case of each library, for a quick run."""
    found: dict[str, Case] = {}
    for case in cases:
        found.setdefault(case.contender, case)
    return list(found.values())


def module_of(case: Case) -> Any:
    """Return the module of a case's contender."""
    return import_module(f"benchmarks.contenders.{case.contender}")


def load_site_if_asked() -> None:
    """Load the site in a worker that needs no Django itself, if ``BENCH_SITE`` is set.

    So its memory is that of a worker which does a site's tasks.
    """
    if os.environ.get("BENCH_SITE"):
        import django

        django.setup()
