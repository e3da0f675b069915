"""Settings with ten mistakes, for the test that each of them is told."""

from tests.settings import *  # noqa: F403
from tests.site.settings import sqlite

DATABASES = {"default": {**sqlite(), "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"}}}
DATABASE_ROUTERS = []

WAGTAIL_TASKS = {
    "BACKEND": "databse",
    "HOKS": {},
    "HOOKS": {
        "after_publish_pge": {"priority": 5},
        "after_publish_page": {"priority": "high", "retry_dely": 10},
        "after_unpublish_page": {"retry_delay": 10},
    },
    "SCHEDULE": {"publish": {"command": "publish_schedule", "crontab": "*/5 * * * *"}},
}
WAGTAIL_TASKS_SYNC_HOOK = ["after_delete_page"]
TASKS = {
    "default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend", "QUEUE": ["a"]}
}
