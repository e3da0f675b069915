"""Tasks that end in each of the ways that the worker logs; what they are given is a secret."""

from __future__ import annotations

import logging

from wagtail_async_hooks import Snooze, background

logger = logging.getLogger("shop")


@background.task()
def succeed(secret: str) -> str:
    """Log something, and return what it was given."""
    logger.info("The shop is open.")
    return secret


@background.task()
def fail(secret: str) -> None:
    """Fail, and say with what."""
    raise ValueError(f"no luck with {secret}")


@background.task(retries=1, retry_delay=2, retry_jitter=0)
def fail_again(secret: str) -> None:
    """Fail at each attempt."""
    raise ValueError("out of paint")


@background.task(discard_on=ValueError)
def discard(secret: str) -> None:
    """End with an error after which nothing is left to do."""
    raise ValueError(f"nobody is called {secret}")


@background.task()
def expire(secret: str) -> None:
    """Be too late."""


@background.task()
def snooze(secret: str) -> None:
    """Ask to be called in an hour."""
    raise Snooze(3600)
