"""Our pages in Wagtail's admin, and a report of Wagtail's own beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.dashboards import Pages, browse


@contextmanager
def opened(rows: int) -> Iterator[Pages]:
    """Record so many tasks in all states, and return the pages."""
    from tests import crowds
    from wagtail_async_hooks.models import BackgroundTask

    crowds.fill(rows)
    crowds.gather_statistics()
    ended = BackgroundTask.objects.filter(finished_at__isnull=False)
    failed = ended.filter(state="failed").latest("pk")
    ours = {
        "tasks": "",
        "failed": "?state=failed",
        "search": "?q=nothing",
        "task": f"task/{failed.pk}/",
        "overview": "overview/",
        "errors": "errors/",
        "hooks": "hooks/",
        "schedule": "schedule/",
        "workers": "workers/",
        "queues": "queues/",
    }
    addresses = {name: f"/admin/background-tasks/{path}" for name, path in ours.items()}
    yield browse({**addresses, "history": "/admin/reports/site-history/"})
