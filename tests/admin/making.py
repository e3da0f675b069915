"""Rows of the ledger, people and pages for the tests of the admin."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.utils import timezone
from django.utils.text import slugify
from wagtail.models import GroupPagePermission, Page

from tests.site.blog.models import BlogPage, HomePage
from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

_numbers = itertools.count(1)


def make_task(subject: Model | None = None, **columns: Any) -> BackgroundTask:
    """Make the row of a task.

    :param subject: the object that it is about.
    """
    now = timezone.now()
    number = next(_numbers)
    given = {
        "task_id": f"made-{number}",
        "name": "tests.work.tasks.add",
        "function": "tests.work.tasks.add",
        "message": message_of(),
        "enqueued_at": now,
        **columns,
    }
    if State(given.get("state", State.WAITING)).is_final:
        given = {
            "started_at": now - datetime.timedelta(seconds=2),
            "finished_at": now,
            "attempt": 1,
            **given,
        }
    if subject is not None:
        given |= {
            "subject_type": ContentType.objects.get_for_model(subject),
            "subject_id": str(subject.pk),
            "subject_title": given.get("subject_title", str(subject)),
        }
    return BackgroundTask.objects.create(**given)


def message_of(*arguments: Any) -> bytes:
    """Return the message of a task that adds."""
    task = tasks.add.s(*(arguments or (1, 2)))
    return background.messages.pack(task)


def log_in(user: Any) -> Client:
    """Return the browser of somebody."""
    client = Client()
    client.force_login(user)
    return client


def make_user(name: str, *permissions: str, section: Page | None = None) -> Any:
    """Make somebody who may use the admin.

    :param permissions: names of permissions on background tasks, such as ``"view"``.
    :param section: the page below which she may edit pages.
    """
    user = get_user_model().objects.create(username=name, email=f"{name}@example.com")
    group = Group.objects.create(name=f"Group of {name}")
    group.permissions.add(Permission.objects.get(codename="access_admin"))
    for permission in permissions:
        codename = f"{permission}_backgroundtask"
        group.permissions.add(Permission.objects.get(codename=codename))
    if section is not None:
        GroupPagePermission.objects.create(
            group=group,
            page=section,
            permission=Permission.objects.get(codename="change_page"),
        )
    user.groups.add(group)
    return user


def make_section(title: str) -> tuple[HomePage, BlogPage]:
    """Make a section of the site, and a page in it."""
    root = Page.get_first_root_node()
    slug = slugify(title)
    home = root.add_child(instance=HomePage(title=f"{title} home", slug=slug))
    page = home.add_child(instance=BlogPage(title=title, slug=slug, introduction="…"))
    return home, page
