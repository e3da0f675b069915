"""Settings of the site that is measured: the demo, with the tasks of one contender.

``BENCH_CONTENDER`` says whose. Blank is for making the site's content.
"""

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec

from tests.site.settings import *  # noqa: F403
from tests.site.settings import INSTALLED_APPS, WAGTAIL_TASKS

CONTENDER = os.environ.get("BENCH_CONTENDER", "")
REDIS = os.environ.get("BENCH_REDIS", "")
HOOKS = "tests.site.blog.wagtail_hooks"

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks"]

# What recurs would run in the middle of a measure.
WAGTAIL_TASKS = {**WAGTAIL_TASKS, "SCHEDULE": {}, "RENDITIONS": {}, "BACKEND": ""}
IMMEDIATE = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}

if find_spec("django_tasks_db"):
    INSTALLED_APPS.append("django_tasks_db")

if CONTENDER.startswith("ours"):
    WAGTAIL_TASKS["BACKEND"] = "database"
    if REDIS:
        WAGTAIL_TASKS |= {"BACKEND": "redis", "BACKEND_OPTIONS": {"url": REDIS}}
elif CONTENDER == "django_tasks_db":
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
elif CONTENDER == "wagtail":
    # Hooks as on a site that does not have the package: within the request.
    TASKS = IMMEDIATE
    WAGTAIL_TASKS_SYNC_HOOKS = [
        f"{HOOKS}.{name}"
        for name in (
            "draw_share_image",
            "write_static_copy",
            "keep_text_digest",
            "announce_page",
        )
    ]
elif CONTENDER == "wagtail_without_hooks":
    TASKS = IMMEDIATE
elif CONTENDER == "dropped":
    TASKS = {"default": {"BACKEND": "benchmarks.dropping.DroppingBackend"}}

if CONTENDER in ("ours_without_hooks", "wagtail_without_hooks", "dropped"):
    # Wagtail imports this module to have the hooks registered.
    sys.modules[HOOKS] = module_from_spec(ModuleSpec(HOOKS, loader=None))
