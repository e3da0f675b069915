"""Workers, tasks and people for tests of the pages by which a site is operated."""

from __future__ import annotations

import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import State

NASTY = "<script>alert(1)</script>"
"""What people may write into a name or a reason."""


def ago(**duration: float) -> datetime.datetime:
    """Return a time some minutes or so ago."""
    return timezone.now() - datetime.timedelta(**duration)


def task(**columns: Any) -> BackgroundTask:
    """Make a task; one that waits, unless its state is given."""
    values = {"task_id": "x", "name": "shop.tidy_up", "function": "shop.tidy_up", "message": b""}
    values |= {"state": State.WAITING, "enqueued_at": ago(minutes=3), **columns}
    made: BackgroundTask = BackgroundTask.objects.create(**values)
    return made


def worker(**columns: Any) -> Worker:
    """Make a worker; one that lives, unless its times are given."""
    values = {"host": "web-1", "pid": 4711, "threads": 4, "release": "1.0"}
    values |= {"started_at": ago(hours=3), "heartbeat_at": ago(seconds=1), **columns}
    made: Worker = Worker.objects.create(**values)
    return made


def browser(*permissions: str, groups: tuple[str, ...] = ()) -> Client:
    """Return the browser of a person who may use Wagtail's admin, and has some permissions."""
    name = f"person-{len(get_user_model().objects.all())}"
    user = get_user_model().objects.create(username=name)
    codenames = ("access_admin", *permissions)
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    user.groups.add(*Group.objects.filter(name__in=groups))
    client = Client()
    client.force_login(user)
    return client


def looker() -> Client:
    """Return the browser of one who may see all tasks, and change none."""
    return browser("view_backgroundtask")


def operator() -> Client:
    """Return the browser of one who may see and change all tasks."""
    return browser("view_backgroundtask", "change_backgroundtask")


def editor() -> Client:
    """Return the browser of one of Wagtail's editors."""
    return browser(groups=("Editors",))
