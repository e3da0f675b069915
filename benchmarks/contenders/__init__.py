"""Who is measured: each module is one library, as its documentation says to use it.

It has ``set_up()``, called once in the process that enqueues; ``enqueue(seconds, sent)``, which
enqueues a task that does :func:`benchmarks.work.do`; ``enqueue_many(number, seconds)``, which does
so many times by the quickest way that there is; and ``workers(number)``, the commands that start
so many workers: threads, processes or whatever the library has by default. Those that can wait for
many servers at once have ``enqueue_calls(number, port)`` and ``callers(number)`` for that.
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
    :param needs: the distribution that has to be installed; blank for what we need anyway.
    """

    title: str
    module: str
    database: str = ""
    redis: bool = False
    needs: str = ""


ALL: Final = (
    Contender("wagtail_async_hooks", "ours", "sqlite"),
    Contender("SqliteHuey", "huey_itself", "sqlite"),
    Contender("django-tasks-db", "django_tasks_db", "sqlite", needs="django_tasks_db"),
    Contender("wagtail_async_hooks", "ours", "postgres"),
    Contender("PostgresHuey", "huey_itself", "postgres"),
    Contender("django-tasks-db", "django_tasks_db", "postgres", needs="django_tasks_db"),
    Contender("procrastinate", "procrastinate_itself", "postgres", needs="procrastinate"),
    Contender("wagtail_async_hooks", "ours", "mysql", needs="pymysql"),
    Contender("SqlHuey", "huey_itself", "mysql", needs="pymysql"),
    Contender("django-tasks-db", "django_tasks_db", "mysql", needs="django_tasks_db"),
    Contender("wagtail_async_hooks, Redis and SQLite", "ours", "sqlite", redis=True),
    Contender("wagtail_async_hooks, Redis and PostgreSQL", "ours", "postgres", redis=True),
    Contender("PriorityRedisHuey", "huey_itself", redis=True),
    Contender("Celery", "celery_itself", redis=True, needs="celery"),
)


def cases(measure: str, options: Mapping[str, Any]) -> list[Case]:
    """Return a case of a measure for each contender that is installed."""
    from importlib.util import find_spec

    return [
        Case(measure, who.module, who.title, who.database, who.redis, options)
        for who in ALL
        if not who.needs or find_spec(who.needs)
    ]


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
