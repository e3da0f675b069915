"""Settings of the tests, with a log of one JSON object a line."""

from tests.settings import *  # noqa: F403

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"task": {"()": "wagtail_async_hooks.worker.log.TaskFields"}},
    "formatters": {"json": {"()": "tests.logs.formatting.JsonLines"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "filters": ["task"], "formatter": "json"}
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
