"""Fixtures: a database with real commits, real worker processes, and what hooks are about."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.http import HttpRequest
from django.test import RequestFactory
from django.test.utils import setup_databases, teardown_databases

from tests.processes import Process

REDIS_DATABASE = 9
"""Number of the Redis database that belongs to the tests."""


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_blocker: Any,
    django_db_keepdb: bool,
    django_db_createdb: bool,
) -> Iterator[None]:
    """Make the tests' database, whichever tests are run.

    pytest-django's own fixture leaves it out where it sees no test that is marked with
    ``django_db``, and those with :func:`committed_db` are not: they would run on the demo's.
    """
    keep = django_db_keepdb and not django_db_createdb
    with django_db_blocker.unblock():
        config = setup_databases(verbosity=0, interactive=False, keepdb=keep)
    yield
    if not django_db_keepdb:
        with django_db_blocker.unblock():
            teardown_databases(config, verbosity=0)


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database whose transactions are real; afterwards, what the package wrote is deleted.

    Unlike pytest-django's ``transaction=True`` it keeps what migrations have put into the tables.
    """
    from wagtail_async_hooks.models import BackgroundTask, Counter, StoredValue, Worker

    def clean() -> None:
        for model in (BackgroundTask, Worker, StoredValue, Counter):
            model.objects.all().delete()

    with django_db_blocker.unblock():
        clean()
        yield
        clean()
        connections.close_all()


@pytest.fixture
def redis_options() -> dict[str, Any]:
    """Options of a Redis that is empty; without a Redis, the test is skipped, or fails in CI."""
    url = os.environ.get("SITE_REDIS_URL", "redis://127.0.0.1:6379")
    from redis import Redis
    from redis.exceptions import RedisError

    options = {"url": f"{url}/{REDIS_DATABASE}"}
    try:
        with Redis.from_url(options["url"]) as redis:
            redis.flushdb()
    except RedisError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Redis answers at {url}")
    return options


@pytest.fixture(params=["database", "redis"])
def backend(request: pytest.FixtureRequest, settings: Any) -> dict[str, str]:
    """Run a test with each backend; return the environment for its processes."""
    options = request.getfixturevalue("redis_options") if request.param == "redis" else {}
    settings.WAGTAIL_TASKS = {"BACKEND": request.param, "BACKEND_OPTIONS": options}
    return {"SITE_BACKEND": request.param, "SITE_BACKEND_OPTIONS": json.dumps(options)}


@pytest.fixture
def immediate(settings: Any) -> None:
    """A blank ``BACKEND``."""
    settings.WAGTAIL_TASKS = {"BACKEND": ""}


@pytest.fixture
def start(committed_db: None, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start management commands, on the tests' database; they are ended after the test."""
    processes: list[Process] = []
    numbers = count(1)

    def start(*arguments: str, **environment: str) -> Process:
        output = tmp_path / f"output-{next(numbers)}.txt"
        processes.append(Process.manage(*arguments, output=output, **environment))
        return processes[-1]

    yield start
    for process in processes:
        process.stop()


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    """Where the tasks of :mod:`tests.work.tasks` leave their traces."""
    path = tmp_path / "trace.txt"
    path.touch()
    return path


@pytest.fixture
def editor(db: None) -> Any:
    """A user who may edit everything."""
    return get_user_model().objects.create_superuser("an-editor", "editor@example.com", "demo")


@pytest.fixture
def editor_request(rf: RequestFactory, editor: Any) -> HttpRequest:
    """A request of the editor's."""
    request = rf.post("/admin/pages/1/edit/?next=/", {"secret": "of the form"})
    request.user = editor
    return request
