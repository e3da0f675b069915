"""A site with two sections, the editors of each, and background tasks about both."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, reverse
from django.utils import timezone
from wagtail.log_actions import log
from wagtail.models import GroupPagePermission, Page, PageViewRestriction

from tests.integrations.bulk_actions.conftest import make_pages
from tests.site.blog.models import HomePage
from tests.work import tasks
from wagtail_async_hooks.admin import urls
from wagtail_async_hooks.integrations import test_task
from wagtail_async_hooks.ledger import muting
from wagtail_async_hooks.models import (
    BackgroundTask,
    MutedError,
    Pause,
    QueueSample,
    Schedule,
    TaskAttempt,
    TaskStatistic,
    Worker,
)
from wagtail_async_hooks.types import State

SECRET: Final = "Zebrafinch"
"""A word in all that is about the private section, and nowhere else."""

ENTRY: Final = "hourly"
"""Name of an entry of the schedule, see :func:`opt_in`."""

STATES: Final = (State.FAILED, State.RUNNING, State.WAITING, State.SCHEDULED, State.SUCCEEDED)

ROLES: Final = ("anonymous", "stranger", "editor", "viewer", "changer", "superuser")
"""Nobody; editors without the page and of the page; who may view and change all tasks; and all."""


def opt_in(settings: Any) -> None:
    """Have the site run tasks in the background; two pages are many, and something recurs."""
    settings.WAGTAIL_TASKS = {
        **settings.WAGTAIL_TASKS,
        "BACKEND": "database",
        "BULK_ACTIONS": {**settings.WAGTAIL_TASKS["BULK_ACTIONS"], "threshold": 2},
        "SCHEDULE": {ENTRY: {"command": "publish_scheduled", "crontab": "0 * * * *"}},
    }


class Section:
    """A page with pages below, the tasks about it, and a bulk action.

    :param home: below which it is.
    :param word: in all that people read of it.
    """

    def __init__(self, home: Page, word: str, chief: Any) -> None:
        self.word = word
        self.cause = uuid.uuid4()
        self.page = home.add_child(instance=HomePage(title=f"Section {word}", slug=word.lower()))
        log(self.page, "wagtail.publish", user=chief, uuid=self.cause)
        self.tasks = {state: self._make(state) for state in STATES}
        self.action = self._act(chief)
        self.test = test_task.send()

    def _make(self, state: State) -> BackgroundTask:
        result = tasks.show(self.page)
        row = BackgroundTask.objects.get(task_id=result.id)
        now = timezone.now()
        row.state, row.title, row.queue = state, f"Show {self.word}", f"{self.word}-queue"
        row.cause = self.cause
        if state not in (State.WAITING, State.SCHEDULED):
            row.attempt, row.started_at = 2, now
            row.progress_note = f"at {self.word}"
            worker = Worker.objects.get_or_create(
                host="worker.example",
                pid=1,
                defaults={"threads": 1, "started_at": now, "heartbeat_at": now},
            )[0]
            row.worker = worker
        if state == State.SCHEDULED:
            row.run_at = now + datetime.timedelta(days=1)
        if state.is_final:
            row.finished_at = now
        if state == State.FAILED:
            row.error = f"ValueError: {self.word} is broken"
            row.error_type, row.error_place = "ValueError", f"shop.{self.word}.read"
            row.traceback = f"Traceback of {self.word}"
            TaskAttempt.objects.create(
                task=row, number=1, worker=row.worker, ended_at=now, error=f"{self.word} again"
            )
        row.function = f"shop.{self.word}.show" if self.word == SECRET else row.function
        row.save()
        return row

    def _act(self, chief: Any) -> BackgroundTask:
        keys = make_pages(self.page, 3)
        Page.objects.filter(pk__in=keys).update(title=f"Part of {self.word}")
        address = reverse("wagtail_bulk_action", args=["wagtailcore", "page", "publish"])
        browser = Client()
        browser.force_login(chief)
        browser.post(f"{address}?{'&'.join(f'id={key}' for key in keys)}", {})
        return BackgroundTask.objects.latest("pk")


class Site:
    """Two sections: one that the editor edits, and the stranger's, which is private."""

    def __init__(self) -> None:
        users = get_user_model().objects
        self.users = {name: users.create(username=name) for name in ROLES[1:]}
        self.users["superuser"].is_superuser = True
        self.users["superuser"].save()
        root = Page.get_first_root_node()
        assert root is not None
        home = root.add_child(instance=HomePage(title="Two sections", slug="two-sections"))
        self.open = Section(home, "Harbour", self.users["superuser"])
        self.secret = Section(home, SECRET, self.users["superuser"])
        PageViewRestriction.objects.create(page=self.secret.page, restriction_type="login")
        self._let("editor", "access_admin", page=self.open.page)
        self._let("stranger", "access_admin", page=self.secret.page)
        self._let("viewer", "access_admin", "view_backgroundtask")
        self._let("changer", "access_admin", "change_backgroundtask")
        self._fill_other_tables()

    def _let(self, name: str, *permissions: str, page: Page | None = None) -> None:
        """Give somebody permissions; of pages, as editors have them."""
        group = Group.objects.create(name=name)
        group.permissions.set(Permission.objects.filter(codename__in=permissions))
        self.users[name].groups.add(group)
        if page is not None:
            for codename in ("add_page", "change_page", "publish_page"):
                permission = Permission.objects.get(codename=codename)
                GroupPagePermission.objects.create(group=group, page=page, permission=permission)

    def _fill_other_tables(self) -> None:
        now = timezone.now()
        row, worker = self.secret.tasks[State.FAILED], Worker.objects.first()
        Pause.objects.create(kind="queue", name=row.queue, paused_at=now, reason=SECRET)
        Schedule.objects.create(name=SECRET, crontab="* * * * *", time_zone="UTC", last_task=row)
        TaskStatistic.objects.create(
            worker=worker, start=now, queue=row.queue, function=row.function, failed=1
        )
        QueueSample.objects.create(start=now, queue=row.queue, waiting=1)
        MutedError.objects.create(key="0" * 64, function=row.function, muted_at=now)

    def browser(self, role: str) -> Client:
        """Return the browser of somebody."""
        client = Client()
        if role in self.users:
            client.force_login(get_user_model().objects.get(username=role))
        return client


def patterns() -> dict[str, URLPattern]:
    """Return all patterns of the admin's URLs by name."""
    return {str(pattern.name): pattern for pattern in _walk(urls.urlpatterns)}


def _walk(found: Any) -> Iterator[URLPattern]:
    for each in found:
        if isinstance(each, URLPattern):
            yield each
        else:
            yield from _walk(each.url_patterns)


def addresses(section: Section) -> dict[str, str]:
    """Return an address for each pattern, about a section."""
    return {name: address(name, section) for name in patterns()}


def address(name: str, section: Section) -> str:
    """Return the address of a pattern's, with what a section has for each of its arguments."""
    failed = section.tasks[State.FAILED]
    wanted = patterns()[name].pattern.converters
    known = {
        "pk": failed.pk,
        "task_id": section.action.task_id,
        "action": "retry",
        "key": muting.error_key(failed.error_type, failed.function, failed.error_place),
        "cause": section.cause,
    }
    if name.startswith("receipt"):
        known |= {"model": section.page._meta.label_lower, "pk": section.page.pk}
    if name.startswith("test_task"):
        known |= {"pk": section.test}
    url = reverse(f"wagtail_async_hooks:{name}", kwargs={key: known[key] for key in wanted})
    return f"{url}?{urlencode(given(section)[name])}" if name in given(section) else url


def given(section: Section) -> dict[str, dict[str, str]]:
    """Return what some addresses have to be given, in the query or the form."""
    queue = {"kind": "queue", "name": section.tasks[State.FAILED].queue, "reason": "A test"}
    return {"pause": queue, "resume": queue, "schedule_run": {"name": ENTRY}}


def everything() -> dict[str, list[Any]]:
    """Return all rows of all our tables, to compare."""
    models: Iterator[type[Model]] = apps.get_app_config("wagtail_async_hooks").get_models()
    return {model.__name__: list(model._base_manager.order_by("pk").values()) for model in models}


def forms(html: str) -> list[tuple[str, str, dict[str, str]]]:
    """Return the forms of a page: the method, the address, and what they would send."""
    found = []
    for tag, inside in re.findall(r"<form\b([^>]*)>(.*?)</form>", html, re.DOTALL):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        fields = {}
        for field in re.findall(r"<(?:input|button|option|textarea|select)\b([^>]*)>", inside):
            given = dict(re.findall(r'([\w-]+)="([^"]*)"', field))
            if "name" in given:
                fields[given["name"]] = given.get("value", "1")
        found.append(
            (attributes.get("method", "get").lower(), attributes.get("action", ""), fields)
        )
    return found
