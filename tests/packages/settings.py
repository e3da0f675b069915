"""Settings of a site with packages from PyPI that build, ping and purge when a page is published.

Their code is as it was released. One more stands for what packages do that these do not.
"""

import os

from tests.site.settings import *  # noqa: F403
from tests.site.settings import INSTALLED_APPS, SITE_DATA, TEMPLATES, WAGTAIL_TASKS

# After our own app: what they connect and register, they do when ours is ready already.
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "wagtail_asset_publisher",
    "wagtail_herald",
    "wagtail_indexnow",
    "wagtail_machine_readable",
    "tests.neighbour",
]
ROOT_URLCONF = "tests.packages.urls"
TEMPLATES = [{**TEMPLATES[0], "DIRS": [os.path.join(os.path.dirname(__file__), "templates")]}]

# One that workers share with the processes that answer requests.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": str(SITE_DATA / "cache"),
    }
}

MOVED = (
    "wagtail_asset_publisher.signals.on_published",
    "wagtail_herald.signals.handle_page_published",
    "wagtail_machine_readable.signal_handlers.invalidate_page_cache",
    "wagtail_indexnow.wagtail_hooks.notify_indexnow",
    *(f"tests.neighbour.caching.{name}" for name in ("purge", "ping", "fresh", "gone")),
    "tests.neighbour.wagtail_hooks.moved",
)
WAGTAIL_TASKS = {
    **WAGTAIL_TASKS,
    "HOOKS": {
        **{path: {"background": True} for path in MOVED},
        "tests.neighbour.caching.purge": {"background": True, "priority": 9},
    },
    "SCHEDULE": {},
    "SCHEDULED_PUBLISHING": False,
    "RENDITIONS": {},
}
