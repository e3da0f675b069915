"""Settings of the site that is measured: the demo, with the tasks of one contender.

``BENCH_CONTENDER`` says whose. Blank is for making the site's content. With ``bare``, and with a
contender that needs no Django, it is the site without the package.
"""

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from urllib.parse import urlsplit

from tests.site.settings import *  # noqa: F403
from tests.site.settings import INSTALLED_APPS, MIDDLEWARE, SITE_DATA, WAGTAIL_TASKS

CONTENDER = os.environ.get("BENCH_CONTENDER", "")
REDIS = os.environ.get("BENCH_REDIS", "")
HOOKS = "tests.site.blog.wagtail_hooks"

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks"]

# What recurs would run in the middle of a measure.
WAGTAIL_TASKS = {
    **WAGTAIL_TASKS,
    "SCHEDULE": {},
    "SCHEDULED_PUBLISHING": False,
    "RENDITIONS": {},
    "BACKEND": "",
}
IMMEDIATE = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}

if find_spec("django_tasks_db"):
    INSTALLED_APPS.append("django_tasks_db")

# Tables are made with the site's content; beyond that, other contenders have nothing of these.
for _contender, _app in (
    ("django_q2_itself", "django_q"),
    ("django_db_queue_itself", "django_dbq"),
):
    if _contender == CONTENDER or (not CONTENDER and find_spec(_app)):
        INSTALLED_APPS.append(_app)
if CONTENDER.startswith("lightweight"):
    INSTALLED_APPS.append("django_lightweight_queue")

if CONTENDER.startswith("ours"):
    WAGTAIL_TASKS["BACKEND"] = "database"
    if REDIS:
        WAGTAIL_TASKS |= {"BACKEND": "redis", "BACKEND_OPTIONS": {"url": REDIS}}
    if CONTENDER == "ours_measured":
        WAGTAIL_TASKS["MEASURE_HOOKS"] = True
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
elif CONTENDER == "dropped":
    TASKS = {"default": {"BACKEND": "benchmarks.dropping.DroppingBackend"}}
elif CONTENDER in ("wagtail_without_hooks", "bare") or CONTENDER.endswith("_itself"):
    TASKS = IMMEDIATE

if CONTENDER == "bare" or CONTENDER.endswith("_itself"):
    INSTALLED_APPS.remove("wagtail_async_hooks")
    MIDDLEWARE = [name for name in MIDDLEWARE if not name.startswith("wagtail_async_hooks.")]

if CONTENDER == "huey_stats_itself":
    INSTALLED_APPS += ["huey.contrib.djhuey", "huey.contrib.djhuey.stats"]
    HUEY = {"huey_class": "huey.MemoryHuey", "name": "bench", "immediate": False}
    HUEY_STATS = {
        "filename": str(SITE_DATA / "stats.sqlite3"),
        "max_events": 10_000_000,
        "retention_hours": 10_000,
    }
elif CONTENDER == "django_q2_itself":
    Q_CLUSTER = {
        "name": "bench",
        "workers": 2,
        "log_level": os.environ.get("BENCH_LOG_LEVEL", "INFO"),
        **({"redis": REDIS} if REDIS else {"orm": "default"}),
    }
elif CONTENDER == "django_db_queue_itself":
    JOBS = {"do": {"tasks": ["benchmarks.contenders.django_db_queue_itself.do"]}}
elif CONTENDER.startswith("lightweight"):
    _backend = "reliable_redis.Reliable" if "reliable" in CONTENDER else "redis."
    _address = urlsplit(REDIS)
    LIGHTWEIGHT_QUEUE_BACKEND = f"django_lightweight_queue.backends.{_backend}RedisBackend"
    # Its default has a module that it does not come with.
    LIGHTWEIGHT_QUEUE_MIDDLEWARE = ["django_lightweight_queue.middleware.logging.LoggingMiddleware"]
    LIGHTWEIGHT_QUEUE_WORKERS = {"default": 2}
    LIGHTWEIGHT_QUEUE_REDIS_HOST = _address.hostname
    LIGHTWEIGHT_QUEUE_REDIS_PORT = _address.port
    LIGHTWEIGHT_QUEUE_REDIS_DATABASE = int(_address.path.lstrip("/"))
    LIGHTWEIGHT_QUEUE_IGNORE_APPS = ["benchmarks", "tests.site.blog"]  # they need the package

WITHOUT_HOOKS = (
    "ours_without_hooks",
    "ours_five_hooks",
    "wagtail_without_hooks",
    "dropped",
    "bare",
)
if CONTENDER in WITHOUT_HOOKS or CONTENDER.endswith("_itself"):
    # Wagtail imports this module to have the hooks registered.
    sys.modules[HOOKS] = module_from_spec(ModuleSpec(HOOKS, loader=None))
