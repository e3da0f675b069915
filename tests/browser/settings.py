"""Settings of the site that the browser tests look at: the demo, without our middleware.

``BROWSER_HOOKS`` names the folder in which :mod:`tests.browser.wagtail_hooks` looks for what is to
fail or to wait.
"""

import json
import os

from tests.site.settings import *  # noqa: F403
from tests.site.settings import INSTALLED_APPS, MIDDLEWARE, WAGTAIL_TASKS

INSTALLED_APPS = ["tests.browser", *INSTALLED_APPS]

MIDDLEWARE = [name for name in MIDDLEWARE if not name.startswith("wagtail_async_hooks.")]

WAGTAIL_TASKS = {
    **WAGTAIL_TASKS,
    "SCHEDULE": {},
    "SCHEDULED_PUBLISHING": False,
    "RENDITIONS": {},
    # Retries are tested elsewhere; here, what fails has failed.
    "HOOKS": {"after_publish_page": {"retries": 0}},
    **json.loads(os.environ.get("BROWSER_TASKS", "{}")),
}

LANGUAGES = [("en", "English"), ("ar", "العربية")]
WAGTAILADMIN_PERMITTED_LANGUAGES = LANGUAGES
