"""The package's own tasks keep their names, which rows and messages store, wherever they move."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from huey.api import Task

import wagtail_async_hooks
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue.decorators import PACKAGE
from wagtail_async_hooks.queue.row import name_of
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.testing import BackgroundTasks
from wagtail_async_hooks.worker.schedule import run_function

NAMES = {
    "wagtail_async_hooks.catch_up_scheduled_publishing",
    "wagtail_async_hooks.expire_object",
    "wagtail_async_hooks.make_renditions",
    "wagtail_async_hooks.make_renditions_for",
    "wagtail_async_hooks.publish_revision",
    "wagtail_async_hooks.run_bulk_action",
    "wagtail_async_hooks.run_command",
    "wagtail_async_hooks.run_scheduled_function",
    "wagtail_async_hooks.run_task",
    "wagtail_async_hooks.send_email",
    "wagtail_async_hooks.test_background_tasks",
}
"""Never change one: rows of an older release would name a task that no worker knows."""

OF_LOCALIZE = "wagtail_async_hooks.run_localize_job"


def own_tasks() -> list[type[Task]]:
    """Return the tasks of all modules of the package."""
    for found in pkgutil.walk_packages(wagtail_async_hooks.__path__, f"{PACKAGE}."):
        needs_localize = found.name.endswith(".localize") and not find_spec("wagtail_localize")
        if not needs_localize and ".migrations." not in found.name:
            import_module(found.name)
    kinds = background.task_classes()
    return [
        kind for kind in kinds if kind.definition.called.__module__.partition(".")[0] == PACKAGE
    ]


def test_names__are_these() -> None:
    optional = {OF_LOCALIZE} if find_spec("wagtail_localize") else set()

    assert {name_of(kind()) for kind in own_tasks()} == NAMES | optional


def test_names__are_not_their_modules() -> None:
    for kind in own_tasks():
        stored = background._registry.task_to_string(kind)
        module = kind.definition.called.__module__
        assert stored == name_of(kind()) == kind.definition.function
        assert not stored.startswith(f"{module}."), f"{stored} would change with {module}"


@pytest.mark.django_db
def test_own_task__is_stored_and_run_under_its_name(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    background.enqueue(run_function.task_class(("gone",), {}))
    [row] = BackgroundTask.objects.all()

    message = background.serializer.deserialize(bytes(row.message))
    while (task := background.next()) is not None:
        background.execute(task)
    background.settle()

    row.refresh_from_db()
    assert row.name == row.function == message.name == f"{PACKAGE}.run_scheduled_function"
    assert (row.state, row.error) == (
        "failed",
        'WAGTAIL_TASKS["SCHEDULE"] has no function under "gone" any more.',
    )


@pytest.mark.django_db
def test_own_task__is_found_in_tests(background_tasks: BackgroundTasks) -> None:
    background.enqueue(run_function.task_class(("daily",), {}))

    background_tasks.assert_task_enqueued(run_function, entry="daily")
