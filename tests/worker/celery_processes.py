"""Real Celery workers for tests: processes of their own, each with a queue that nobody else has."""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from celery.concurrency.thread import TaskPool
from django.db import connection

from tests.processes import REPOSITORY, Process


class Broker(NamedTuple):
    """A broker, and a queue of the test's own in it.

    :param name: of the app in :mod:`tests.work.celery_app`.
    """

    name: str
    queue: str

    @classmethod
    def of(cls, name: str) -> Broker:
        """Return a new queue of a broker."""
        return cls(name, f"wah_celery_{uuid.uuid4().hex}")

    @classmethod
    def answering(cls, name: str) -> Broker:
        """Return a new queue; the test is skipped without the broker, or fails in CI."""
        broker = cls.of(name)
        try:
            broker.size()
        except Exception:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"{name} does not answer")
        return broker

    @property
    def path(self) -> str:
        """The app as ``celery -A`` names it."""
        return f"tests.work.celery_app:{self.name}"

    @property
    def setting(self) -> dict[str, Any]:
        """``WAGTAIL_TASKS`` of a site with this broker."""
        return {"BACKEND": "celery", "BACKEND_OPTIONS": {"app": self.path, "queue": self.queue}}

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process with this broker."""
        options = self.setting["BACKEND_OPTIONS"]
        return {"SITE_BACKEND": "celery", "SITE_BACKEND_OPTIONS": json.dumps(options)}

    def worker(self, output: Path, *options: str, **environment: str) -> Process:
        """Start a Celery worker on the tests' database."""
        # Not by the interpreter's name, else it would be a copy that has loaded Django already.
        command = [
            str(Path(sys.executable).with_name("celery")),
            "-A",
            self.path,
            "worker",
            "-Q",
            self.queue,
        ]
        command += ["--hostname", f"{uuid.uuid4().hex}@%h"]  # no two may have the same
        command += ["--loglevel", "INFO", "--without-gossip", "--without-mingle", *options]
        variables = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": str(REPOSITORY),  # Celery imports pools before it looks there
            "SITE_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            **self.environment,
            **environment,
        }
        return Process(command, output, **variables)

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """Yield a channel to the broker."""
        from tests.work import celery_app

        with getattr(celery_app, self.name).connection_for_write() as found:
            yield found.default_channel

    def size(self) -> int:
        """Return how many messages wait in the queue."""
        with self.connected() as channel:
            declared = channel.queue_declare(
                self.queue, durable=True, auto_delete=False, exclusive=False
            )
            return int(declared.message_count)

    def purge(self) -> None:
        """Empty the queue."""
        with self.connected() as channel:
            channel.queue_purge(self.queue)

    def delete(self) -> None:
        """Delete the queue."""
        with self.connected() as channel:
            channel.queue_delete(self.queue)


class GreenPool(TaskPool):  # type: ignore[misc]  # Celery has no types
    """A pool that says of itself what those of gevent and eventlet do."""

    is_green = True

    def spawn_n(self, function: Callable[..., object], *args: object) -> None:
        """Call a function beside what runs, as Celery's main loop asks of such pools."""
        threading.Thread(target=function, args=args, daemon=True).start()
