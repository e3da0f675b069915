"""From ``WAGTAIL_TASKS["BACKEND"]`` to a storage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from django.utils.module_loading import import_string
from huey import Huey
from huey.exceptions import ConfigurationError as HueyConfigurationError
from huey.storage import BaseStorage, PriorityRedisStorage

from wagtail_async_hooks.conf import CELERY, Settings
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.storage.database import DatabaseStorage
from wagtail_async_hooks.utils.redaction import without_password

REDIS_TIMEOUT: Final = 1.0
"""Seconds that an editor's request waits at most for a Redis that does not answer; the options
``socket_connect_timeout`` and ``socket_timeout`` overrule it."""

_DECODES: Final = "decode_responses"

REDIS_LISTEN_TIMEOUT: Final = 5.0
"""Seconds after which a waiting worker takes Redis for dead; longer than Huey's blocking read."""


class ClosableRedisStorage(PriorityRedisStorage):  # type: ignore[misc]  # Huey has no types
    """Huey's storage in Redis, with a pool of connections that is its own and ends with it.

    Huey closes none, and Python 3.13 warns of those that are still open when it collects them.
    """

    def close(self) -> None:
        """End the connections, also those that a thread waits on."""
        self.pool.disconnect()


def resolve(settings: Settings, name: str) -> DatabaseStorage:
    """Return the storage that the settings name; it connects when it is first used.

    :param name: of the Huey instance.
    """
    if settings.backend == "database":
        return DatabaseStorage(name)
    make = partial(make_notifier, settings, name)
    # Not above: most sites have no other storage.
    if settings.backend == CELERY:
        from wagtail_async_hooks.storage.celery import CeleryStorage

        return CeleryStorage(name, make, make)
    from wagtail_async_hooks.storage.notifier import NotifierStorage

    return NotifierStorage(name, make, partial(make, listens=True))


def make_notifier(settings: Settings, name: str, *, listens: bool = False) -> BaseStorage:
    """Make the storage that notifies.

    :param listens: it is for a worker that waits, rather than for what must be quick.

    :raises ConfigurationError: if it does not exist, or its library is not installed, or it does
        not take the options.
    """
    options = dict(settings.backend_options)
    if settings.backend == CELERY:
        from wagtail_async_hooks.storage.celery import make_celery_notifier

        return make_celery_notifier(options, name)
    try:
        if settings.backend == "redis":
            if "connection_pool" in options:
                if getattr(options["connection_pool"], "connection_kwargs", {}).get(_DECODES):
                    raise ValueError(
                        "its connection_pool has decode_responses=True, but what Huey keeps in "
                        "Redis is no text; give a pool without it"
                    )
                return PriorityRedisStorage(name, **options)
            return ClosableRedisStorage(name, **_redis_options(options, listens))
        return _storage_of(find_class(settings.backend))(name, **options)
    except (TypeError, ValueError, ImportError, HueyConfigurationError) as error:
        raise ConfigurationError(
            f'WAGTAIL_TASKS["BACKEND"] {settings.backend!r} does not work with '
            f'WAGTAIL_TASKS["BACKEND_OPTIONS"]: {error}.'
        ) from error


def find_class(path: str) -> type:
    """Return the Huey or storage class of a dotted path.

    :raises ConfigurationError: if there is none.
    """
    try:
        found = import_string(path)
    except ImportError as error:
        told, why = without_password(path), without_password(str(error))
        raise ConfigurationError(
            f'WAGTAIL_TASKS["BACKEND"] is {told!r}, which cannot be imported ({why}); use '
            '"database", "redis", "celery", the dotted path of a Huey storage or Huey class, or "" '
            "for immediate mode."
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseStorage | Huey)):
        raise ConfigurationError(
            f'WAGTAIL_TASKS["BACKEND"] is {path!r}, which is neither a Huey storage nor a Huey '
            "class."
        )
    return found


def _storage_of(found: type) -> Any:
    """Return what makes a storage: the class itself, or the storage of a Huey class."""
    if issubclass(found, BaseStorage):
        return found
    return lambda name, **options: found(name, **options).storage


def _redis_options(options: Mapping[str, Any], listens: bool) -> dict[str, Any]:
    """Add short timeouts and no retries, so that a dead Redis never holds an editor up.

    redis-py retries with a backoff of seconds by default; the ledger makes that needless.
    """
    try:
        from redis import ConnectionPool
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise ConfigurationError(
            'WAGTAIL_TASKS["BACKEND"] is "redis", but the Python package "redis" is not '
            'installed: run "pip install wagtail-async-hooks[redis]".'
        ) from error
    own = {
        key: options[key] for key in ("blocking", "read_timeout", "clean_name") if key in options
    }
    defaults = {
        "socket_connect_timeout": REDIS_TIMEOUT,
        "socket_timeout": REDIS_LISTEN_TIMEOUT if listens else REDIS_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
    }
    given = {key: value for key, value in options.items() if key not in own}
    url = given.pop("url", None)
    pool = (
        ConnectionPool.from_url(url, **{**defaults, **given})
        if url
        else ConnectionPool(**{**defaults, **given})
    )
    pool.connection_kwargs.pop(_DECODES, None)  # what Huey keeps there is no text
    return {**own, "connection_pool": pool}
