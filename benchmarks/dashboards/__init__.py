"""Pages that show tasks, ours and those of other libraries: each module is one of them.

It has ``opened(rows, folder)``, a context manager that records so many tasks and returns its
pages: by name, a function that asks for the page and raises an error unless it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from benchmarks.cases import Case

Pages = Mapping[str, Callable[[], Any]]


class Dashboard(NamedTuple):
    """The pages of one library over one database.

    :param title: for tables.
    :param module: in this package.
    :param needs: the distribution that has to be installed; blank for what we need anyway.
    :param most: tasks that it keeps at most, unless it is told to keep more.
    """

    title: str
    module: str
    database: str = ""
    redis: bool = False
    needs: str = ""
    most: int = 1_000_000


ALL: Final = (
    Dashboard("wagtail_async_hooks", "ours", "sqlite"),
    Dashboard(
        "django-tasks-db in Django's admin", "django_tasks_db", "sqlite", needs="django_tasks_db"
    ),
    Dashboard("Huey's statistics in Django's admin", "huey_stats_itself", "sqlite", needs="peewee"),
    Dashboard("wagtail_async_hooks", "ours", "postgres"),
    Dashboard(
        "django-tasks-db in Django's admin", "django_tasks_db", "postgres", needs="django_tasks_db"
    ),
    Dashboard("Flower", "flower_itself", redis=True, needs="flower", most=100_000),
)


def cases(measure: str, rows: int, times: int) -> list[Case]:
    """Return a case of a measure for each dashboard that is installed.

    :param rows: tasks that there are.
    :param times: how often each page is asked for.
    """
    from importlib.util import find_spec

    found = []
    for each in ALL:
        if not each.needs or find_spec(each.needs):
            options = {"rows": min(rows, each.most), "times": times}
            title = f"{each.title}, {options['rows']:,} tasks"
            found.append(Case(measure, each.module, title, each.database, each.redis, options))
    return found


def browse(addresses: Mapping[str, str]) -> Pages:
    """Return pages of the site that is loaded, as a superuser is shown them."""
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.test import Client

    settings.ALLOWED_HOSTS = ["*"]
    user, _ = get_user_model().objects.get_or_create(
        username="operator", is_superuser=True, is_staff=True
    )
    browser = Client()
    browser.force_login(user)

    def page(address: str) -> Callable[[], None]:
        def load() -> None:
            response = browser.get(address)
            assert response.status_code == 200, f"{address}: {response.status_code}"

        return load

    return {name: page(address) for name, address in addresses.items()}
