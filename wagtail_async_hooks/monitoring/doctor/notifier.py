"""What is wrong with Redis, Celery's broker, or what else notifies workers beside the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from wagtail_async_hooks import conf
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity
from wagtail_async_hooks.storage.factory import make_notifier
from wagtail_async_hooks.utils.redaction import without_secrets
from wagtail_async_hooks.utils.text import one_line

_OPTIONS: Final = f'{conf.SETTING}["BACKEND_OPTIONS"]'


def examine() -> Iterator[Finding]:
    """Yield what is wrong with the storage that notifies, if there is one beside the database."""
    settings = conf.current()
    if settings.backend == "database":
        return
    try:
        storage = make_notifier(settings, "doctor")
    except ConfigurationError as error:
        decodes = "decode_responses" in str(error)
        yield Finding(
            Severity.CRITICAL,
            Code.DECODING if decodes else Code.NOTIFIER,
            f"{without_secrets(str(error))} Until that is corrected, no worker starts.",
            f"Let the connection_pool of {_OPTIONS} be made without decode_responses, or give "
            'a "url" instead.'
            if decodes
            else f'Correct {conf.SETTING}["BACKEND"], or install what it needs.',
        )
        return
    try:
        yield from _examine(settings.backend, storage)
    finally:
        storage.close()


def _examine(backend: str, storage: Any) -> Iterator[Finding]:
    try:
        storage.queue_size()
    except Exception as error:  # of whichever client it has
        if backend == conf.CELERY:
            yield Finding(
                Severity.CRITICAL,
                Code.NOTIFIER,
                "Celery's broker does not answer, so that what is enqueued waits until it does "
                f"({without_secrets(one_line(error))}).",
                "Start it, or correct the broker_url of the Celery app; meanwhile "
                '"manage.py wagtail_worker --drain" runs what waits.',
            )
            return
        yield Finding(
            Severity.WARNING,
            Code.NOTIFIER,
            f'{conf.SETTING}["BACKEND"] is {backend!r}, which does not answer: workers find tasks '
            f"in the database, a second later or so ({without_secrets(one_line(error))}).",
            f"Start it, or correct {_OPTIONS}.",
        )
        return
    client = getattr(storage, "conn", None)
    if hasattr(client, "info") and hasattr(client, "connection_pool"):
        yield from _redis(client)


def _redis(client: Any) -> Iterator[Finding]:
    """Yield what is wrong with a Redis that answers, whichever of Huey's storages it is for."""
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        yield Finding(
            Severity.CRITICAL,
            Code.DECODING,
            "The connection to Redis has decode_responses=True, but what Huey keeps there is no "
            "text.",
            f"Remove decode_responses from {_OPTIONS}.",
        )
        return
    memory = client.info("memory")
    policy, most = str(memory.get("maxmemory_policy", "")), int(memory.get("maxmemory") or 0)
    if most and policy.startswith("allkeys-"):
        yield Finding(
            Severity.WARNING,
            Code.EVICTION,
            f"Redis evicts keys when it is full (maxmemory-policy {policy}): notifications get "
            "lost, and their tasks begin a second later or so; what else of the site is in there "
            "gets lost as well.",
            "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf; caches "
            "belong into a Redis of their own.",
        )
    if most and int(memory.get("used_memory") or 0) >= most and policy == "noeviction":
        yield Finding(
            Severity.WARNING,
            Code.EVICTION,
            "Redis is full (used_memory has reached maxmemory) and takes no notifications: workers "
            "find tasks in the database, a second later or so.",
            "Make room: redis-cli --bigkeys shows what is in there; or raise maxmemory.",
        )
