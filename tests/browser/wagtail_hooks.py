"""A hook whose function fails, or waits, while a file says so; it has no ``explain=``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from django.http import HttpRequest

from wagtail_async_hooks import background, hooks


@hooks.register("after_publish_page", background=True)
def purge_cache(request: HttpRequest, page: Any) -> None:
    """Purge nothing; fail while there is a file ``down``, and wait while there is one ``slow``."""
    while _is("slow"):
        time.sleep(0.02)
    _fail_while_down()


@background.task()
def fragile(number: int) -> int:
    """Return a number; fail while there is a file ``down``."""
    _fail_while_down()
    return number


def _fail_while_down() -> None:
    if _is("down"):
        raise ConnectionError("the CDN answered 503")


def _is(what: str) -> bool:
    return (Path(os.environ["BROWSER_HOOKS"]) / what).exists()
