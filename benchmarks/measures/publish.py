"""What publishing a page costs the editor: the demo's own page, by the real edit view."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks.cases import Case
from benchmarks.measures import Metric

TITLE: Final = "Publishing a page"
EXPLAINED: Final = (
    "One POST that publishes the demo's blog page, without a web server. One of its four hooks "
    "draws an image; Wagtail enqueues its search and reference index twice. The budget compares "
    "without the hooks, as each is one more task. Five functions of one hook are one INSERT."
)
METRICS: Final = {
    "time": Metric("time of a publish, ms"),
    "cpu": Metric("of which processor time, ms"),
    "queries": Metric("queries", digits=0),
    "inserts": Metric("of which enqueue tasks", digits=0),
}
BASELINE: Final = "dropped"
SMALL: Final = {"times": 1}

_CONTENDERS: Final = {
    "wagtail": "Wagtail alone, hooks in the request",
    "wagtail_without_hooks": "Wagtail alone, without the hooks",
    "ours": "wagtail_async_hooks",
    "ours_without_hooks": "wagtail_async_hooks, without the hooks",
    "ours_five_hooks": "wagtail_async_hooks, five functions of one hook",
    "dropped": "all tasks and hooks dropped",
}

_TABLE: Final = "wagtail_async_hooks_backgroundtask"

_BUDGETED: Final = ("ours_without_hooks", "ours_five_hooks", "dropped")
"""Those that a quick run measures on servers, too."""


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured."""
    return [
        Case("publish", contender, title, database, options={"times": 5 if quick else 60})
        for database in ("sqlite", "postgres", "mysql")
        for contender, title in _CONTENDERS.items()
        if not quick or database == "sqlite" or contender in _BUDGETED
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1 if quick else 3


def run(case: Case) -> dict[str, list[float]]:
    """Publish a page many times; return the milliseconds of each, and the number of queries."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext, setup_test_environment

    from tests.site.blog.models import BlogPage

    setup_test_environment(debug=False)
    if case.contender == "ours_five_hooks":
        _register_five()
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    page = BlogPage.objects.live().order_by("pk")[0]
    for number in range(3):
        _publish(client, page.pk, f"Warming up {number}")
    times, cpu = [], []
    for number in range(case.options["times"]):
        taken, computed = _publish(client, page.pk, f"Title {number}")
        times.append(1000 * taken)
        cpu.append(1000 * computed)
    with CaptureQueriesContext(connection) as queries:
        _publish(client, page.pk, "The last title", before=queries.__enter__)
    told = [query["sql"] for query in queries.captured_queries]
    inserts = [sql for sql in told if f"INSERT INTO {_TABLE}" in sql]
    return {
        "time": times,
        "cpu": cpu,
        "queries": [float(len(told))],
        "inserts": [float(len(inserts))],
    }


def _register_five() -> None:
    from wagtail_async_hooks import hooks

    for function in (first, second, third, fourth, fifth):
        hooks.register("after_publish_page", function, background=True)


def first(request: Any, page: Any) -> None:
    """Do nothing, as the others: only that they are enqueued is measured."""


def second(request: Any, page: Any) -> None:
    """Do nothing."""


def third(request: Any, page: Any) -> None:
    """Do nothing."""


def fourth(request: Any, page: Any) -> None:
    """Do nothing."""


def fifth(request: Any, page: Any) -> None:
    """Do nothing."""


def _publish(
    client: Any, pk: int, title: str, before: Callable[[], Any] = lambda: None
) -> tuple[float, float]:
    """Publish a page with another title.

    :param before: called right before the request.
    :returns: the seconds from the request to the response, and those in which it computed.
    """
    from django.urls import reverse

    from tests.site.blog.models import BlogPage
    from tests.site.editing import form_data

    url = reverse("wagtailadmin_pages:edit", args=[pk])
    form = form_data(BlogPage.objects.get(pk=pk), publish=True, title=title)
    before()
    begun, computed = time.perf_counter(), time.process_time()
    response = client.post(url, form)
    taken, computed = time.perf_counter() - begun, time.process_time() - computed
    if response.status_code != 302:
        raise AssertionError(f"The page was not published: {response.status_code}.")
    return taken, computed
