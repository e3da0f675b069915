"""Runs what waits in the process of a test, as a worker's thread would."""

from __future__ import annotations

from wagtail_async_hooks import background


def run_all() -> None:
    """Run what waits, and what comes to wait meanwhile, and record how it ends."""
    while (task := background.next()) is not None:
        background.execute(task)
    background.settle()
