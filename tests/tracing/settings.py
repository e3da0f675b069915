"""Settings of the tests, with ``TASKS`` run by our workers."""

from tests.settings import *  # noqa: F403

TASKS = {"default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}}
