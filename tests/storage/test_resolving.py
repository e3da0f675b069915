"""Tests of the way from ``WAGTAIL_TASKS["BACKEND"]`` to a storage."""

import sys
from pathlib import Path
from typing import Any

import pytest
from huey import MemoryHuey, SqliteHuey
from huey.storage import FileStorage, MemoryStorage, PriorityRedisStorage, SqliteStorage
from redis import Redis
from redis.exceptions import RedisError

from tests.processes import wait_until
from wagtail_async_hooks.conf import Settings, parse
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.storage.database import DatabaseStorage
from wagtail_async_hooks.storage.factory import find_class, make_notifier, resolve
from wagtail_async_hooks.storage.notifier import NotifierStorage

NOBODY = "redis://127.0.0.1:1/0"
"""A port on which nothing listens."""


def given(backend: str, **options: Any) -> Settings:
    """Return the settings with a backend."""
    settings = parse({"BACKEND": backend, "BACKEND_OPTIONS": options})
    assert settings.problems == ()
    return settings


# resolve ------------------------------------------------------------------------------------


def test_resolve__the_database() -> None:
    storage = resolve(given("database"), "tested")

    assert type(storage) is DatabaseStorage
    assert storage.name == "tested"


@pytest.mark.parametrize("backend", ["redis", "huey.MemoryHuey", "huey.storage.MemoryStorage"])
def test_resolve__anything_else_rings_beside_the_database(backend: str) -> None:
    storage = resolve(given(backend), "tested")

    assert type(storage) is NotifierStorage
    assert storage.name == "tested"
    assert not storage.__dict__.keys() & {"notifier", "listener"}


def test_resolve__makes_the_other_storage_when_it_is_first_used() -> None:
    storage = resolve(given("no.such.Storage"), "tested")

    assert isinstance(storage, NotifierStorage)
    with pytest.raises(ConfigurationError):
        storage.notifier  # noqa: B018  (asking for it is the test)


def test_resolve__gives_the_other_storage_its_name_and_options(tmp_path: Path) -> None:
    storage = resolve(given("huey.storage.FileStorage", path=str(tmp_path)), "tested")

    assert isinstance(storage, NotifierStorage)
    for made in (storage.notifier, storage.listener):
        assert type(made) is FileStorage
        assert (made.name, made.path) == ("tested", str(tmp_path))
    assert storage.listener is not storage.notifier


def test_resolve__redis_is_waited_for_longer_than_it_is_rung() -> None:
    storage = resolve(given("redis", url=NOBODY), "tested")

    assert isinstance(storage, NotifierStorage)
    timeouts = [
        s.pool.connection_kwargs["socket_timeout"] for s in (storage.notifier, storage.listener)
    ]
    assert timeouts == [1.0, 5.0]


# find_class ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("huey.MemoryHuey", MemoryHuey),
        ("huey.SqliteHuey", SqliteHuey),
        ("huey.storage.MemoryStorage", MemoryStorage),
        ("huey.storage.PriorityRedisStorage", PriorityRedisStorage),
        ("wagtail_async_hooks.storage.database.DatabaseStorage", DatabaseStorage),
    ],
)
def test_find_class__of_a_huey_or_a_storage(path: str, expected: type) -> None:
    assert find_class(path) is expected


@pytest.mark.parametrize("path", ["databse", "no.such.Storage", "huey.storage.NoSuchStorage", ""])
def test_find_class__that_cannot_be_imported(path: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        find_class(path)

    said = str(raised.value)
    assert said.startswith(f'WAGTAIL_TASKS["BACKEND"] is {path!r}, which cannot be imported (')
    assert said.endswith(
        'use "database", "redis", "celery", the dotted path of a Huey storage or Huey class, or "" '
        "for immediate mode."
    )
    assert isinstance(raised.value.__cause__, ImportError)


def test_find_class__an_address_is_told_without_its_password() -> None:
    with pytest.raises(ConfigurationError) as raised:
        find_class("redis://ada:s3cret@localhost")

    assert "s3cret" not in str(raised.value)
    assert str(raised.value).count("redis://…@localhost") == 2


@pytest.mark.parametrize("path", ["builtins.dict", "huey.crontab", "huey.storage"])
def test_find_class__that_is_something_else(path: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        find_class(path)

    assert str(raised.value) == (
        f'WAGTAIL_TASKS["BACKEND"] is {path!r}, which is neither a Huey storage nor a Huey class.'
    )


# make_notifier ------------------------------------------------------------------------------


def test_make_notifier__of_a_storage(tmp_path: Path) -> None:
    notifier = make_notifier(
        given("huey.storage.SqliteStorage", filename=str(tmp_path / "x.db")), "tested"
    )

    notifier.enqueue(b"7", 1)
    assert type(notifier) is SqliteStorage
    assert (notifier.name, notifier.dequeue()) == ("tested", b"7")
    notifier.close()


def test_make_notifier__of_a_huey(tmp_path: Path) -> None:
    notifier = make_notifier(given("huey.SqliteHuey", filename=str(tmp_path / "x.db")), "tested")

    notifier.enqueue(b"7", 1)
    assert type(notifier) is SqliteStorage
    assert (notifier.name, notifier.dequeue()) == ("tested", b"7")
    notifier.close()


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("huey.storage.SqliteStorage", {"colour": "red"}),
        ("huey.SqliteHuey", {"colour": "red"}),
        ("huey.storage.FileStorage", {}),
        ("redis", {"url": "http://127.0.0.1"}),
        ("redis", {"url": NOBODY, "connection_pool": object(), "colour": "red"}),
    ],
)
def test_make_notifier__names_options_that_do_not_fit(backend: str, options: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make_notifier(given(backend, **options), "tested")

    assert str(raised.value).startswith(
        f'WAGTAIL_TASKS["BACKEND"] {backend!r} does not work with '
        'WAGTAIL_TASKS["BACKEND_OPTIONS"]: '
    )
    assert raised.value.__cause__ is not None


def test_make_notifier__of_something_that_does_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        make_notifier(given("no.such.Storage"), "tested")


# Redis --------------------------------------------------------------------------------------


def connection_of(**options: Any) -> dict[str, Any]:
    """Return how the storage of Redis with these options connects."""
    notifier = make_notifier(given("redis", **options), "tested")
    assert isinstance(notifier, PriorityRedisStorage)
    kwargs: dict[str, Any] = notifier.pool.connection_kwargs
    return kwargs


def test_make_notifier__redis_gives_up_soon() -> None:
    kwargs = connection_of(host="cache.example", port=6380, db=3)

    assert (kwargs["host"], kwargs["port"], kwargs["db"]) == ("cache.example", 6380, 3)
    assert (kwargs["socket_connect_timeout"], kwargs["socket_timeout"]) == (1.0, 1.0)
    assert kwargs["retry"].get_retries() == 0


def test_make_notifier__redis_that_a_worker_waits_for() -> None:
    notifier = make_notifier(given("redis", url=NOBODY), "tested", listens=True)
    kwargs = notifier.pool.connection_kwargs

    assert (kwargs["socket_connect_timeout"], kwargs["socket_timeout"]) == (1.0, 5.0)
    assert notifier.read_timeout < kwargs["socket_timeout"]


def test_make_notifier__redis_by_its_address() -> None:
    kwargs = connection_of(url="redis://cache.example:6380/3", client_name="site")

    assert (kwargs["host"], kwargs["port"], kwargs["db"]) == ("cache.example", 6380, 3)
    assert kwargs["socket_connect_timeout"] == 1.0
    assert kwargs["retry"].get_retries() == 0
    assert kwargs["client_name"] == "site"


@pytest.mark.parametrize("address", [{"url": "redis://cache.example"}, {"host": "cache.example"}])
def test_make_notifier__redis_with_a_timeout_of_the_sites_own(address: Any) -> None:
    kwargs = connection_of(**address, socket_connect_timeout=9, socket_timeout=8)

    assert (kwargs["socket_connect_timeout"], kwargs["socket_timeout"]) == (9, 8)


def test_make_notifier__redis_options_of_hueys_own() -> None:
    notifier = make_notifier(given("redis", url=NOBODY, blocking=False, read_timeout=7), "tested")

    assert (notifier.blocking, notifier.read_timeout) == (False, 7)


def test_make_notifier__redis_with_a_pool_of_the_sites_own() -> None:
    pool = Redis.from_url(NOBODY).connection_pool

    assert make_notifier(given("redis", connection_pool=pool), "tested").pool is pool


def test_make_notifier__redis_is_closed(redis_options: dict[str, Any]) -> None:
    notifier = make_notifier(given("redis", **redis_options, client_name="closable"), "tested")
    notifier.enqueue(b"7", 1)

    with Redis.from_url(redis_options["url"]) as redis:
        assert clients_named("closable", redis) == 1
        notifier.close()
        wait_until(
            lambda: clients_named("closable", redis) == 0, "that Redis has no connection left"
        )
        notifier.enqueue(b"8", 1)
        assert clients_named("closable", redis) == 1
    notifier.close()


def test_make_notifier__redis_with_a_pool_of_the_sites_own_is_not_closed(
    redis_options: dict[str, Any],
) -> None:
    with Redis.from_url(redis_options["url"], client_name="sites-own") as own:
        own.ping()
        make_notifier(given("redis", connection_pool=own.connection_pool), "tested").close()

        assert clients_named("sites-own", own) == 1


def clients_named(name: str, redis: Redis) -> int:
    """Return how many connections with a name Redis has."""
    return sum(client["name"] == name for client in redis.client_list())


def test_make_notifier__redis_is_not_asked_before_it_is_used() -> None:
    notifier = make_notifier(given("redis", url=NOBODY), "tested")

    with pytest.raises(RedisError):
        notifier.enqueue(b"7", 1)


def test_make_notifier__redis_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(ConfigurationError) as raised:
        make_notifier(given("redis"), "tested")

    assert str(raised.value) == (
        'WAGTAIL_TASKS["BACKEND"] is "redis", but the Python package "redis" is not installed: '
        'run "pip install wagtail-async-hooks[redis]".'
    )


def test_make_notifier__redis_that_answers(redis_options: dict[str, Any]) -> None:
    notifier = make_notifier(given("redis", **redis_options, blocking=False), "tested")

    notifier.enqueue(b"low", 1)
    notifier.enqueue(b"high", 2)

    assert [notifier.dequeue(), notifier.dequeue(), notifier.dequeue()] == [b"high", b"low", None]
