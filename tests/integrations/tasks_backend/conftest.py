"""Fixtures: a site whose ``TASKS`` are ours, and the tasks of each of the two APIs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from wagtail_async_hooks.integrations.tasks_backend.apis import APIS, Api

BACKEND = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"
MODULES = {
    "django_tasks": "tests.work.tasks_of_package",
    "django.tasks": "tests.work.tasks_of_django",
}


@pytest.fixture
def ours(settings: Any) -> Any:
    """``TASKS`` names our backend; the ledger is on."""
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    settings.TASKS = {
        "default": {"BACKEND": BACKEND},
        "second": {"BACKEND": BACKEND, "QUEUES": ["slow"]},
    }
    return settings


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest, ours: Any) -> Api:
    """Each of the APIs that there are: one before Django 6.0, two from then on."""
    return APIS[request.param]


@pytest.fixture
def tasks(api: Api) -> ModuleType:
    """The tasks that are made with it."""
    return import_module(MODULES[api.name])
