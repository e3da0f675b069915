"""
Settings of the demo site, which the tests use too.

Environment variables whose names start with `SITE_` change what differs between a demo and a
test; each is read once, here.
"""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import django

REPOSITORY = Path(__file__).resolve().parents[2]


def env(name: str, default: str = "") -> str:
    """Return the environment variable `SITE_<name>`."""
    return os.environ.get(f"SITE_{name}", default)


# Everything the site writes is below this folder.
SITE_DATA = Path(env("DATA", str(REPOSITORY / ".demo"))).resolve()
SITE_DATA.mkdir(parents=True, exist_ok=True)

SITE_URL = env("URL", "http://127.0.0.1:8000")

DEBUG = env("DEBUG", "1") == "1"
SECRET_KEY = "insecure: this key is public, and only good for a demo and for tests"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", "testserver"]

ROOT_URLCONF = "tests.site.urls"
WSGI_APPLICATION = "tests.site.wsgi.application"

INSTALLED_APPS = [
    "tests.site.blog",
    "wagtail_async_hooks",
    "wagtail.contrib.forms",
    "wagtail.contrib.redirects",
    "wagtail.contrib.settings",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django_filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "wagtail.contrib.redirects.middleware.RedirectMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "wagtail.contrib.settings.context_processors.settings",
            ],
        },
    },
]


# The database


def sqlite() -> dict[str, Any]:
    """Return a file that several processes can write to: WAL, and writers that queue up."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": env("DATABASE_NAME", str(SITE_DATA / "site.sqlite3")),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
        # A file rather than memory, so that threads and worker processes share it.
        "TEST": {"NAME": env("TEST_DATABASE_NAME", str(SITE_DATA / "test.sqlite3"))},
    }


def server(engine: str, user: str) -> dict[str, Any]:
    """Return what the database servers have in common."""
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": env("DATABASE_NAME", "wagtail_async_hooks"),
        "HOST": env("DATABASE_HOST", "127.0.0.1"),
        "PORT": env("DATABASE_PORT"),
        "USER": env("DATABASE_USER", user),
        "PASSWORD": env("DATABASE_PASSWORD"),
        "TEST": {"NAME": env("TEST_DATABASE_NAME", "test_wagtail_async_hooks")},
    }


def postgres() -> dict[str, Any]:
    """Return a PostgreSQL database."""
    return server("postgresql", user="postgres")


def mysql() -> dict[str, Any]:
    """Return a MySQL or MariaDB database, spoken to by mysqlclient or, without it, PyMySQL."""
    if importlib.util.find_spec("MySQLdb") is None:
        import pymysql

        pymysql.install_as_MySQLdb()
    return {**server("mysql", user="root"), "OPTIONS": {"charset": "utf8mb4"}}


DATABASES = {
    "default": {"sqlite": sqlite, "postgres": postgres, "mysql": mysql}[env("DATABASE", "sqlite")]()
}
if env("DATABASE") == "mysql":
    SILENCED_SYSTEM_CHECKS = ["models.W036"]  # of a constraint of Wagtail's
if env("DATABASE") == "postgres":
    INSTALLED_APPS.append("django.contrib.postgres")  # for Wagtail's search

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


# Users: the demo's passwords are short on purpose, and tests may ask for a quick hash.

AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = []
if env("FAST_PASSWORDS") == "1":
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


# Language, time, files and e-mail

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = SITE_DATA / "static"
MEDIA_URL = "/media/"
MEDIA_ROOT = SITE_DATA / "media"

# Workers print what they send, unless there is a mail server on this machine.
SMTP_PORT = int(env("SMTP_PORT", "0"))
QUEUE = "wagtail_async_hooks.mail.BackgroundEmailBackend"
SENDER = f"django.core.mail.backends.{'smtp' if SMTP_PORT else 'console'}.EmailBackend"
if django.VERSION >= (6, 1):
    smtp = {"host": "127.0.0.1", "port": SMTP_PORT, "timeout": 10}
    MAILERS = {
        "default": {"BACKEND": QUEUE, "OPTIONS": {"using": "sender"}},
        "sender": {"BACKEND": SENDER, "OPTIONS": smtp if SMTP_PORT else {}},
    }
else:
    EMAIL_BACKEND = QUEUE
    EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = "127.0.0.1", SMTP_PORT, 10


# Wagtail

DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000
WAGTAIL_SITE_NAME = "Saltmarsh Post"
WAGTAILADMIN_BASE_URL = SITE_URL
WAGTAILSEARCH_BACKENDS = {"default": {"BACKEND": "wagtail.search.backends.database"}}


# Background tasks

EMBEDDED = env("EMBEDDED") == "1"
if EMBEDDED:
    # What the worker says, among the lines of the web process.
    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"wagtail_async_hooks": {"handlers": ["console"], "level": "INFO"}},
    }

WAGTAIL_TASKS: dict[str, Any] = {
    # Blank: no worker is needed, and background hooks run within the request.
    "BACKEND": env("BACKEND", "database"),
    "BACKEND_OPTIONS": json.loads(env("BACKEND_OPTIONS", "{}")),
    "HOOKS": {
        # What visitors see comes first, ...
        "after_publish_page": {"priority": 50},
        # ... and the slowest function last, although it belongs to the same hook.
        "tests.site.blog.wagtail_hooks.draw_share_image": {"priority": 10},
    },
    # With a process of its own for the worker, or in the web process.
    "WORKER": {"threads": 2, "embedded": EMBEDDED},
    "EMAIL": {"BACKEND": SENDER},
    # The sizes that the templates show, made when an image is uploaded.
    "RENDITIONS": {"specs": ["fill-480x270", "fill-1520x640", "width-760"], "on": ["upload"]},
    # What is done to more than 25 objects at once, a worker does.
    "BULK_ACTIONS": {
        "actions": [
            *(f"wagtailcore.page.{name}" for name in ("publish", "unpublish", "move", "delete")),
            *(f"wagtailimages.image.{name}" for name in ("add_tags", "delete")),
            "blog.advert.delete",
        ],
    },
}
if WAGTAIL_TASKS["BACKEND"]:
    # What editors have scheduled goes live to the second. The entry finds times that have no task,
    # such as those that were set in immediate mode.
    WAGTAIL_TASKS["SCHEDULED_PUBLISHING"] = True
    WAGTAIL_TASKS["SCHEDULE"] = {
        "publish_scheduled": {"command": "publish_scheduled", "crontab": "*/5 * * * *"},
    }


# Wagtail's own work, such as search indexing, in the same workers.
TASKS = {"default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}}


# What the demo's hooks work with

# Pages as plain files, for a web server to fall back on.
SITE_STATIC_COPIES = SITE_DATA / "static_copies"
# Receives a JSON object for everything published; nothing is sent while it is blank.
SITE_WEBHOOK_URL = env("WEBHOOK_URL")
# Seconds that drawing a share image takes longer, to let one see that the editor does not wait.
SITE_HOOK_DELAY = float(env("HOOK_DELAY", "0"))
