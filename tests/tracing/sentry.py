"""Work on a site with Sentry, and tell what that has sent.

Run by ``tests/integrations/test_sentry.py`` in a process of its own, as Sentry changes Huey's
classes for good. What happened is printed as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import django
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

django.setup()

from django.core.management import call_command  # noqa: E402  (Django is set up above)

from tests.work.tasks_of_package import add  # noqa: E402
from wagtail_async_hooks import Snooze, background  # noqa: E402
from wagtail_async_hooks.checks.integrations import check_sentry  # noqa: E402
from wagtail_async_hooks.models import BackgroundTask  # noqa: E402

sent: list[Any] = []


class Kept(Transport):
    """Keeps what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """See Sentry."""
        sent.extend(item.payload.json for item in envelope.items if item.type == "event")


@contextmanager
def sentry(**options: Any) -> Iterator[None]:
    """Have Sentry at work meanwhile; it is on by itself where Huey can be imported."""
    sentry_sdk.init(dsn="http://key@localhost/1", transport=Kept, **options)
    yield
    sentry_sdk.flush()
    sentry_sdk.init()


@background.task(title="Make {drink} for {guest}")
def make(drink: str, guest: str, password: str = "") -> str:
    """Return what was made."""
    return f"{drink} for {guest}"


@background.task()
def snooze() -> None:
    """Ask to be called later."""
    raise Snooze(60)


@background.task(discard_on=KeyError)
def discard(address: str) -> None:
    """End with an error that counts for nothing."""
    raise KeyError("nothing")


@background.task()
def fail(address: str) -> None:
    """Fail."""
    raise ValueError("no luck")


def run() -> None:
    """Run what waits."""
    while (task := background.next()) is not None:
        background.execute(task)


def shown(row: BackgroundTask) -> str:
    """Return what ``wagtail_tasks show`` says of a task."""
    said = StringIO()
    call_command("wagtail_tasks", "show", str(row.pk), stdout=said)
    return said.getvalue()


def main(options: dict[str, Any], address: str) -> dict[str, Any]:
    """Make tasks of all kinds, and run them."""
    with sentry(**options):
        result = add.enqueue(1, 2)
        made = make("Tea", guest="Ada")
        snooze()
        discard(address)
        fail(address)
        messages = [
            bytes(message) for message in BackgroundTask.objects.values_list("message", flat=True)
        ]
        run()
        make("Milk", guest="Ada")
        later = add.enqueue(3, 4)
        checked = [message.id for message in check_sentry()]
    run()  # by a worker without Sentry
    found = {row.pk: row for row in BackgroundTask.objects.order_by("pk")}
    return {
        "checked": [*checked, *(message.id for message in check_sentry())],
        "traced": all(b"sentry_headers" in message for message in messages),
        "events": sent,
        "results": [add.get_backend().get_result(each.id).return_value for each in (result, later)],
        "made": made.get(preserve=True),
        "states": [[row.function.rpartition(".")[2], row.state] for row in found.values()],
        "titles": [row.title for row in found.values() if row.title],
        "shown": [shown(row) for row in found.values()],
    }


if __name__ == "__main__":
    answer = main(json.loads(sys.argv[1]), os.environ["ADDRESS"])
    print(json.dumps(answer, default=repr))  # noqa: T201  (a script)
