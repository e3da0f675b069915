"""Settings of the tests: the demo site, with apps that the tests need."""

import json
import os
import sys

from tests.site.settings import *  # noqa: F403
from tests.site.settings import DATABASES, INSTALLED_APPS, WAGTAIL_TASKS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.work", "tests.fidelity", "tests.pictures"]

# Tests that ask for the order of tasks set it themselves; those that start a worker may say how.
WAGTAIL_TASKS = {
    **WAGTAIL_TASKS,
    "HOOKS": {},
    "WORKER": json.loads(os.environ.get("TEST_WORKER", '{"threads": 2}')),
    "QUEUES": json.loads(os.environ.get("TEST_QUEUES", "{}")),
    "EMAIL": {**WAGTAIL_TASKS["EMAIL"], **json.loads(os.environ.get("TEST_EMAIL", "{}"))},
    "RENDITIONS": json.loads(os.environ.get("TEST_RENDITIONS", "{}")),
    "ALERTS": json.loads(os.environ.get("TEST_ALERTS", "{}")),
    "SCHEDULED_PUBLISHING": False,
    "SCHEDULE": json.loads(os.environ.get("TEST_SCHEDULE", "{}")),
}

# Each test says whose tasks are run how; a worker process learns it from here.
TASKS = json.loads(os.environ.get("TEST_TASKS", "null")) or {
    "default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}
}

# Models that the demo lacks, and a second database that has their tables alone.
INSTALLED_APPS += ["tests.oddities"]
DATABASES = {
    **DATABASES,
    "other": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "TEST": {"MIGRATE": False},  # its tables are made at once, without the history of all apps
    },
}
if getattr(sys.modules.get("MySQLdb"), "__name__", "") == "pymysql":
    # PyMySQL prepares TLS for each connection, which takes longer than most tests.
    DATABASES["default"]["OPTIONS"]["ssl_disabled"] = True
DATABASE_ROUTERS = ["tests.oddities.routers.OtherDatabase"]
