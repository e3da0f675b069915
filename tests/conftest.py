"""Fixtures: a database with real commits, real worker processes, and what hooks are about."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.http import HttpRequest
from django.test import RequestFactory
from django.test.utils import setup_databases, teardown_databases
from django.urls import get_resolver
from django.utils.module_loading import autodiscover_modules

from tests import limits, selection, side_by_side
from tests.processes import Process, end_all

pytest_plugins = ["wagtail_async_hooks.pytest_plugin"]

# An example may take as long as the machine needs; what hangs runs into the limit of its test.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark the tests before others choose by markers; let the slow ones begin, after all others.

    So nothing waits for a slow one in the end. pytest-django has an order of its own.
    """
    selection.mark(items)
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(limits.TEST))
        assert is_alone(item) or item.path in selection.TOGETHER, f"Add {item.path} to TOGETHER."
    yield
    items.sort(key=lambda item: "slow" not in item.keywords)


def pytest_sessionfinish() -> None:
    """End what a test has started and not ended, however that happened."""
    end_all()


def pytest_collection_finish() -> None:
    """Spare the collector all that was imported: some tests collect, and look for what is left."""
    gc.collect()
    gc.freeze()


def is_alone(item: pytest.Item) -> bool:
    """Return whether a test shares no fixture with others of its module."""
    found = item._fixtureinfo.name2fixturedefs.values()
    return all(each.scope != "module" for definitions in found for each in definitions)


REDIS_DATABASE = int(os.environ.get("SITE_REDIS_DATABASE", "8"))
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
    if side_by_side.WORKER:
        with ExitStack() as stack:
            with django_db_blocker.unblock():
                stack.enter_context(side_by_side.own_database(keep))
            yield
            with django_db_blocker.unblock():
                stack.close()
        return
    with django_db_blocker.unblock():
        config = setup_databases(
            verbosity=0, interactive=False, keepdb=keep, serialized_aliases=set()
        )
    yield
    if not django_db_keepdb:
        with django_db_blocker.unblock():
            teardown_databases(config, verbosity=0)


@pytest.fixture(scope="session", autouse=True)
def asked_once(django_test_environment: None) -> None:
    """Have Wagtail ask its hooks for what it asks once in a process.

    Otherwise it would do so while some test has other settings, or other hooks, than the site.
    """
    from wagtail.admin.views.bulk_action.registry import bulk_action_registry

    assert get_resolver().url_patterns
    assert bulk_action_registry.get_bulk_actions_for_model("wagtailcore", "page")


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database whose transactions are real; afterwards, what the package wrote is deleted.

    Unlike pytest-django's ``transaction=True`` it keeps what migrations have put into the tables.
    """
    with real_commits(django_db_blocker):
        yield


@contextmanager
def real_commits(django_db_blocker: Any) -> Iterator[None]:
    """Do what :func:`committed_db` does, for fixtures that live longer than a test."""
    from wagtail_async_hooks.models import (
        AlertRecord,
        AlertTarget,
        BackgroundTask,
        Counter,
        MutedError,
        Pause,
        QueueSample,
        Schedule,
        StoredValue,
        TaskStatistic,
        Worker,
    )

    def clean() -> None:
        # With the tasks go their attempts, objects and notices.
        models = (BackgroundTask, Worker, StoredValue, Counter, Schedule, Pause)
        models += (MutedError, TaskStatistic, QueueSample, AlertRecord, AlertTarget)
        for model in models:
            model.objects.all().delete()

    with django_db_blocker.unblock():
        clean()
        yield
        clean()
        connections.close_all()


@pytest.fixture
def no_table(committed_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the ledger's table away, as on a site that has not migrated yet."""
    from tests.site.blog.models import Advert
    from wagtail_async_hooks.models import BackgroundTask

    table = BackgroundTask._meta.db_table

    def rename(old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table}{old} RENAME TO {table}{new}")

    rename("", "_away")
    yield
    rename("_away", "")
    Advert.objects.all().delete()


@pytest.fixture
def elsewhere(committed_db: None, settings: Any) -> Iterator[None]:
    """Put the ledger into another database: another connection to the same one will do."""
    connections.settings["elsewhere"] = connections["default"].settings_dict.copy()
    settings.DATABASE_ROUTERS = ["tests.oddities.routers.LedgerElsewhere"]
    yield
    settings.DATABASE_ROUTERS = []
    connections["elsewhere"].close()
    del connections["elsewhere"]
    del connections.settings["elsewhere"]


@pytest.fixture
def redis_options() -> dict[str, Any]:
    """Options of a Redis that is empty; without a Redis, the test is skipped, or fails in CI."""
    return empty_redis()


def empty_redis() -> dict[str, Any]:
    """Do what :func:`redis_options` does, for fixtures that live longer than a test."""
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
def retried_at_once() -> Iterator[None]:
    """Leave the minimum delay of retries out."""
    from wagtail_async_hooks.queue import retries

    with retries.without_least_delay():
        yield


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
def registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget afterwards what a test registers: here, in Wagtail and in Huey."""
    from wagtail import hooks as wagtail_hooks

    from wagtail_async_hooks import background
    from wagtail_async_hooks.hooks import dispatch, registry

    wagtail_hooks.search_for_hooks()
    autodiscover_modules("tasks")  # else a test imports some, and they are forgotten
    copied = {name: list(found) for name, found in wagtail_hooks._hooks.items()}
    monkeypatch.setattr(wagtail_hooks, "_hooks", copied)
    known = (registry.entries, background._registry._registry)
    before = [dict(each) for each in known]
    monkeypatch.setattr(
        background._registry, "_periodic_tasks", list(background._registry._periodic_tasks)
    )
    kept, refused = list(registry.kept_synchronous), set(dispatch._refused)
    yield
    for each, contents in zip(known, before, strict=True):
        each.clear()
        each.update(contents)
    registry.kept_synchronous[:] = kept
    dispatch._refused.clear()
    dispatch._refused.update(refused)


@pytest.fixture
def on() -> Iterator[Callable[..., None]]:
    """Register functions to run in the background, until the test ends."""
    from wagtail_async_hooks import hooks

    with ExitStack() as stack:

        def register(hook: str, function: Any, **options: Any) -> None:
            stack.enter_context(
                hooks.register_temporarily(hook, function, background=True, **options)
            )

        yield register


@pytest.fixture
def task_of() -> Iterator[Any]:
    """Register functions as tasks for the time of a test."""
    from wagtail_async_hooks import background

    wrappers = []

    def register(function: Any, **options: Any) -> Any:
        wrappers.append(background.task(**options)(function))
        return wrappers[-1]

    yield register
    for wrapper in wrappers:
        wrapper.unregister()


@pytest.fixture(scope="session")
def read_source() -> Callable[..., Any]:
    """What the system checks parse a function with, which does so once."""
    from wagtail_async_hooks.hooks.source import Source

    return cache(Source.of)


@pytest.fixture
def sources_read_once(read_source: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system checks parse each function once, rather than in each test."""
    monkeypatch.setattr("wagtail_async_hooks.hooks.source.Source.of", read_source)


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
