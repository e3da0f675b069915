"""The list and the pages of tasks that django-tasks-db has in Django's admin; it has no search."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.dashboards import Pages, browse

AT_ONCE = 5_000


@contextmanager
def opened(rows: int) -> Iterator[Pages]:
    """Record so many tasks, of which one in thirty has failed, and return the pages."""
    from django.utils import timezone
    from django_tasks_db.models import DBTaskResult

    begun = timezone.now() - datetime.timedelta(days=7)

    def row(number: int) -> Any:
        at = begun + datetime.timedelta(milliseconds=500 * number)
        failed = number % 30 == 0
        return DBTaskResult(
            status="FAILED" if failed else "SUCCESSFUL",
            started_at=at,
            finished_at=at,
            args_kwargs={"args": [0.0, 0.0], "kwargs": {}},
            task_path="benchmarks.tasks.of_the_api",
            worker_ids=["worker"],
            queue_name="default",
            backend_name="default",
            run_after=at,
            exception_class_path="builtins.ValueError" if failed else "",
            traceback="ValueError: no" if failed else "",
        )

    for start in range(0, rows, AT_ONCE):
        numbers = range(start, min(rows, start + AT_ONCE))
        DBTaskResult.objects.bulk_create([row(number) for number in numbers])
    _gather_statistics(DBTaskResult._meta.db_table)
    failed = DBTaskResult.objects.filter(status="FAILED")[0]
    listed = "/django-admin/django_tasks_database/dbtaskresult/"
    yield browse(
        {
            "tasks": listed,
            "failed": f"{listed}?status__exact=FAILED",
            "task": f"{listed}{failed.pk}/change/",
        }
    )


def _gather_statistics(table: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")
