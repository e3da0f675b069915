"""Functions that are told of what is wrong."""

from __future__ import annotations

from typing import Final

from wagtail_async_hooks import background
from wagtail_async_hooks.types import Alert

PATH: Final = f"{__name__}.tell"
BROKEN: Final = f"{__name__}.break_down"

received: Final[list[Alert]] = []


def tell(alert: Alert) -> None:
    """Keep an alert."""
    received.append(alert)


def break_down(alert: Alert) -> None:
    """Raise an error."""
    raise RuntimeError("no luck at https://me:geheim@example.com/")


def stop(alert: Alert) -> None:
    """Be as bad as can be."""
    raise SystemExit(3)


async def tell_later(alert: Alert) -> None:
    """Await nothing."""


NO_FUNCTION: Final = 3


@background.task()
def tell_in_background(alert: Alert) -> None:
    """Be run by a worker, if there is one."""
