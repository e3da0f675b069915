"""Settings of web processes that run a worker: those of the tests, with views of their own."""

from tests.settings import *  # noqa: F403

ROOT_URLCONF = "tests.embedded.urls"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "[%(process)d %(threadName)s] %(levelname)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"wagtail_async_hooks": {"handlers": ["console"], "level": "INFO"}},
}
