"""Tests of a Redis client that decodes what it reads."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from wagtail_async_hooks.conf import Settings
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.storage.factory import make_notifier, resolve


@pytest.mark.parametrize("given", ["url", "option"])
def test_notifier__of_a_client_that_decodes(
    redis_options: dict[str, Any], given: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    url = redis_options["url"]
    options: dict[str, Any] = {
        "url": {"url": f"{url}?decode_responses=True"},
        "option": {"url": url, "decode_responses": True},
    }[given]
    storage: Any = resolve(Settings(backend="redis", backend_options=options), "decoding")
    try:
        storage.notify(7, 1)
        assert storage._hear() == b"7"
        assert caplog.messages == []
    finally:
        storage.notifier.pool.disconnect()
        storage.listener.pool.disconnect()


def test_notifier__of_a_pool_that_decodes_is_refused(redis_options: dict[str, Any]) -> None:
    from redis import ConnectionPool

    pool = ConnectionPool.from_url(redis_options["url"], decode_responses=True)
    settings = Settings(backend="redis", backend_options={"connection_pool": pool})
    with pytest.raises(ConfigurationError, match=r"decode_responses=True"):
        make_notifier(settings, "decoding")
