"""Settings of the tests, with Sentry, whose events go to a file."""

import json
import os
from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from tests.tracing.settings import *  # noqa: F403
from tests.tracing.settings import INSTALLED_APPS
from wagtail_async_hooks.sentry import BackgroundTasksIntegration

INSTALLED_APPS = [*INSTALLED_APPS, "tests.tracing"]


class ToFile(Transport):
    """Appends what would be sent to a file, one item a line."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """See Sentry."""
        with open(os.environ["TEST_SENT"], "a") as file:
            for item in envelope.items:
                file.write(json.dumps([item.type, item.payload.json], default=repr) + "\n")


options: dict[str, Any] = json.loads(os.environ.get("TEST_SENTRY", "{}"))

sentry_sdk.init(
    dsn="http://key@localhost/1",
    transport=ToFile,
    integrations=[BackgroundTasksIntegration()],
    **options,
)
