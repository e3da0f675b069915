"""An editor who publishes one page again and again.

Run as `python -m tests.faults.publisher SECONDS`. The page stays, because workers still need it.
"""

from __future__ import annotations

import sys
import time

import django


def main(seconds: float) -> None:
    """Publish until the time is up; any error ends the process."""
    django.setup()
    from wagtail.hooks import search_for_hooks

    from tests.faults.publishing import PublishedPage

    search_for_hooks()
    page = PublishedPage()
    deadline = time.monotonic() + seconds
    times = hooks = 0
    while time.monotonic() < deadline:
        hooks += page.publish_once()
        times += 1
    print(f"published {times} times, {hooks} hooks", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(float(sys.argv[1]))
