"""Settings of the tests, with metrics for Prometheus, and with OpenTelemetry."""

from tests.settings import *  # noqa: F403
from tests.settings import WAGTAIL_TASKS

WAGTAIL_TASKS = {**WAGTAIL_TASKS, "PROMETHEUS": True, "OPENTELEMETRY": True}

ROOT_URLCONF = "tests.tracing.urls"
