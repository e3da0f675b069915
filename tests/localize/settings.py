"""Settings of a site in two languages, with wagtail-localize and its work in the background."""

from tests.site.settings import *  # noqa: F403
from tests.site.settings import INSTALLED_APPS, WAGTAIL_TASKS

# Before our own app: it makes the job backend while the models are still being loaded.
INSTALLED_APPS = ["wagtail_localize", "wagtail_localize.locales", *INSTALLED_APPS]

WAGTAIL_I18N_ENABLED = True
LANGUAGES = WAGTAIL_CONTENT_LANGUAGES = [("en", "English"), ("fr", "French"), ("de", "German")]

WAGTAIL_TASKS = {**WAGTAIL_TASKS, "HOOKS": {}, "SCHEDULED_PUBLISHING": False}
WAGTAILLOCALIZE_JOBS = {
    "BACKEND": "wagtail_async_hooks.localize.BackgroundJobBackend",
    "OPTIONS": {"PRIORITY": 5, "DELAY": 1},
}
