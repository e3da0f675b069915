"""How often each page of the admin asks the database, however many tasks there are."""

from __future__ import annotations

import uuid
from typing import Any, Final

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.admin.sections_of_a_site import Site, address, opt_in, patterns
from wagtail_async_hooks.models import BackgroundTask, Worker

pytestmark = pytest.mark.django_db

MOST: Final = {"superuser": 15, "editor": 18}
"""Queries of a page, those of Wagtail's and Django's own among them.

Of an editor, Django asks which permissions she has, for herself and by her groups, and Wagtail
which she has for collections and for sites: four, on any page of Wagtail's.
"""

FEW, MANY = 10, 200


@pytest.fixture(autouse=True)
def opted_in(settings: Any) -> None:
    """A site that has opted in."""
    opt_in(settings)


def add_tasks(site: Site, number: int) -> None:
    """Copy the tasks of both sections so many times, each with a function and an error."""
    rows = [*site.open.tasks.values(), *site.secret.tasks.values()]
    BackgroundTask.objects.bulk_create(
        BackgroundTask(
            **{
                field.attname: getattr(row, field.attname)
                for field in BackgroundTask._meta.concrete_fields
                if not field.primary_key
            }
            | {
                "task_id": str(uuid.uuid4()),
                "function": f"shop.{row.state}.number_{n}",
                "error_type": row.error_type and f"{row.error_type}{n}",
                "queue": f"queue-{n % 30}",
            }
        )
        for n in range(number)
        for row in rows
    )


def pages(site: Site) -> dict[str, str]:
    """Return the addresses of all pages, and of the reports of what there is much of."""
    found = {name: address(name, site.open) for name in patterns()}
    tasks = reverse("wagtail_async_hooks:tasks")
    for query in ("state=failed", "q=Harbour", "q=Harbour&state=failed", "p=2", "export=csv"):
        found[f"tasks?{query}"] = f"{tasks}?{query}"
    keys = BackgroundTask.objects.order_by("-pk").values_list("pk", flat=True)[:20]
    chosen = "&".join(f"id={key}" for key in keys)
    found["selected?"] = f"{reverse('wagtail_async_hooks:selected')}?{chosen}"
    return found


def stay_as_they_are(site: Site) -> None:
    """Let the worker live, and the test task have been sent just now, however long this takes."""
    Worker.objects.update(heartbeat_at=timezone.now())
    BackgroundTask.objects.filter(pk=site.open.test).update(enqueued_at=timezone.now())


def queries_of(site: Site, role: str, *, anew: bool) -> dict[str, int]:
    """Return how many queries each page makes that somebody is shown.

    :param anew: open each once before, for what is asked once in a process.
    """
    browser, found = site.browser(role), {}
    for name, url in pages(site).items():
        if anew and browser.get(url).status_code != 200:
            continue
        stay_as_they_are(site)
        with CaptureQueriesContext(connection) as queries:
            response = browser.get(url)
            b"".join(response.streaming_content if response.streaming else ())
        if response.status_code == 200:
            found[name] = len(queries)
    return found


@pytest.mark.parametrize("role", ["superuser", "editor"])
def test_pages__make_few_queries_however_many_tasks_there_are(db: None, role: str) -> None:
    site = Site()
    add_tasks(site, FEW // 10)
    few = queries_of(site, role, anew=True)
    add_tasks(site, (MANY - FEW) // 10)

    many = queries_of(site, role, anew=False)

    assert {name: number for name, number in many.items() if number > MOST[role]} == {}
    # Fewer are no harm: a page that finds what it looks for may be done sooner.
    more = {name: (few[name], number) for name, number in many.items() if number > few[name]}
    assert more == {}
