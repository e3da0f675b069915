"""Settings of the tests: the demo site, with an app of tasks that the tests need."""

from tests.site.settings import *  # noqa: F403
from tests.site.settings import INSTALLED_APPS, WAGTAIL_TASKS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.work"]

# Tests that ask for the order of tasks set it themselves.
WAGTAIL_TASKS = {**WAGTAIL_TASKS, "HOOKS": {}}
