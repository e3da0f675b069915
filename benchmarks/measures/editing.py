"""What the package adds to the pages of Wagtail's admin that editors open most."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks.cases import Case
from benchmarks.measures import Metric

TITLE: Final = "Opening the editor"
EXPLAINED: Final = (
    "The edit view of a page, a list of pages, and the home page of the admin, for a superuser, "
    "with and without the package. No task waits, runs or has failed."
)
METRICS: Final = {
    "edit": Metric("edit view, ms"),
    "edit_queries": Metric("its queries", digits=0),
    "listing": Metric("list of pages, ms"),
    "listing_queries": Metric("its queries", digits=0),
    "home": Metric("home page, ms"),
    "home_queries": Metric("its queries", digits=0),
}
BASELINE: Final = "bare"
SMALL: Final = {"times": 1}

_CONTENDERS: Final = {"ours_without_hooks": "wagtail_async_hooks", "bare": "Wagtail alone"}


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured."""
    return [
        Case("editing", contender, title, database, options={"times": 5 if quick else 60})
        for database in ("sqlite", "postgres")
        for contender, title in _CONTENDERS.items()
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1 if quick else 2


def run(case: Case) -> dict[str, list[float]]:
    """Return the milliseconds of each page, each time that it is asked for, and its queries."""
    import django

    django.setup()
    from django.db import connection
    from django.test.utils import CaptureQueriesContext, setup_test_environment

    setup_test_environment(debug=False)
    pages = _pages()
    found: dict[str, list[float]] = {name: [] for name in pages}
    for name, load in pages.items():
        load()
        with CaptureQueriesContext(connection) as queries:
            load()
        found[f"{name}_queries"] = [float(len(queries))]
    for _ in range(case.options["times"]):
        for name, load in pages.items():
            begun = time.perf_counter()
            load()
            found[name].append(1000 * (time.perf_counter() - begun))
    return found


def _pages() -> Mapping[str, Callable[[], None]]:
    """Return what asks for each page."""
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.urls import reverse

    from tests.site.blog.models import BlogPage

    browser = Client()
    browser.force_login(get_user_model().objects.get(username="admin"))
    page = BlogPage.objects.live().order_by("pk")[0]

    def asking_for(address: str) -> Callable[[], None]:
        def load() -> None:
            response: Any = browser.get(address)
            assert response.status_code == 200, f"{address}: {response.status_code}"

        return load

    return {
        "edit": asking_for(reverse("wagtailadmin_pages:edit", args=[page.pk])),
        "listing": asking_for(reverse("wagtailadmin_explore", args=[page.get_parent().pk])),
        "home": asking_for(reverse("wagtailadmin_home")),
    }
