"""Fixtures: a site that tells of what is wrong, and a clock of what was told before."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from tests.monitoring.alerts import receivers
from tests.smtp import MailServer
from wagtail_async_hooks.models import AlertRecord, Worker
from wagtail_async_hooks.types import Alert
from wagtail_async_hooks.worker import identity

Configure = Callable[..., None]


@pytest.fixture
def configure(settings: Any) -> Configure:
    """Say who is told of what: by default, a function of everything."""

    def configure(**options: Any) -> None:
        given = {"to": [receivers.PATH], **options}
        settings.WAGTAIL_TASKS = {"BACKEND": "database", "ALERTS": given}

    configure()
    return configure


@pytest.fixture
def received() -> Iterator[list[Alert]]:
    """What the function was told."""
    receivers.received.clear()
    yield receivers.received
    receivers.received.clear()


@pytest.fixture
def worker(db: None) -> Worker:
    """A worker that lives."""
    return identity.register(2, "", 0)


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A mail server that runs."""
    server = MailServer()
    server.start()
    yield server
    server.stop()


def ago(**duration: float) -> datetime.datetime:
    """Return a time some minutes or so ago."""
    return timezone.now() - datetime.timedelta(**duration)


def wait_for(**duration: float) -> None:
    """Have all that was told, or was over, be so for longer."""
    by = datetime.timedelta(**duration)
    for record in AlertRecord.objects.all():
        record.told_at = record.told_at and record.told_at - by
        record.ended_at = record.ended_at and record.ended_at - by
        record.save()
