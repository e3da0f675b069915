"""Public names and the dotted paths that settings name, wherever the code behind them lives."""

from __future__ import annotations

import sys
import types
from importlib import import_module

import pytest
from django.utils.module_loading import import_string

import wagtail_async_hooks

MODULES = {
    *("arguments", "catalogue", "commands", "control", "hooks", "pausing", "schedule", "signals"),
}
OBJECTS = {
    *("Snooze", "aprogress", "background", "background_task", "progress", "receiver", "track"),
    *("__version__", "went_live"),
}
IN_SETTINGS = [
    "apps.WagtailAsyncHooksConfig",
    "bulk_actions.BackgroundBulkActionMixin",
    "localize.BackgroundJobBackend",
    "mail.BackgroundEmailBackend",
    "middleware.TaskMessagesMiddleware",
    "tasks_backend.WagtailTasksBackend",
]
IMPORTED = {
    "embedded": ["lifespan", "start", "stop"],
    "exceptions": ["BackgroundError", "NotCarried", "Snooze", "TimedOut"],
    "health": ["background_health"],
    "hooks": ["get_hooks", "register", "register_temporarily", "search_for_hooks", "suppress"],
    "models": ["BackgroundTask", "Worker"],
    "prometheus": ["LedgerCollector", "metrics"],
    "pytest_plugin": ["background_tasks"],
    "signals": ["enqueued", "failed", "retrying", "snoozed", "started", "succeeded"],
    "testing": ["run_background_tasks"],
}


def test_public_names__are_these() -> None:
    assert set(wagtail_async_hooks.__all__) == MODULES | OBJECTS


@pytest.mark.parametrize("name", sorted(MODULES))
def test_public_modules(name: str) -> None:
    assert isinstance(getattr(wagtail_async_hooks, name), types.ModuleType)


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_public_objects(name: str) -> None:
    assert not isinstance(getattr(wagtail_async_hooks, name), types.ModuleType)


def test_unknown_name__is_said() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'unknown'"):
        wagtail_async_hooks.unknown  # noqa: B018


@pytest.mark.parametrize("path", IN_SETTINGS)
def test_paths_in_settings(path: str) -> None:
    if path.startswith("localize."):
        pytest.importorskip("wagtail_localize")
    found = import_string(f"wagtail_async_hooks.{path}")
    assert isinstance(found, type)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in IMPORTED.items() for name in names]
)
def test_paths_that_are_imported(module: str, name: str) -> None:
    assert hasattr(import_module(f"wagtail_async_hooks.{module}"), name)


def test_the_version__is_read_without_the_package() -> None:
    assert sys.modules["wagtail_async_hooks._version"].__version__ == "0.1.0"
