"""Settings of the tests: the demo site, with an app of tasks that the tests need."""

import json
import os

from tests.site.settings import *  # noqa: F403
from tests.site.settings import INSTALLED_APPS, WAGTAIL_TASKS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.work"]

# Tests that ask for the order of tasks set it themselves; those that start a worker may say how.
WAGTAIL_TASKS = {
    **WAGTAIL_TASKS,
    "HOOKS": {},
    "WORKER": json.loads(os.environ.get("TEST_WORKER", '{"threads": 2}')),
}
