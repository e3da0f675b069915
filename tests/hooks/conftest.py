"""Fixtures of tests that look at all functions of a hook."""

from __future__ import annotations

from typing import Any

import pytest
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import wagtail_hooks as ours


@pytest.fixture(autouse=True)
def without_receipts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the package itself has registered for the hooks that sites use."""
    wagtail_hooks.search_for_hooks()

    def others(entries: list[Any]) -> list[Any]:
        return [entry for entry in entries if entry[0] is not ours.tell_after]

    known = {name: others(entries) for name, entries in wagtail_hooks._hooks.items()}
    monkeypatch.setattr(wagtail_hooks, "_hooks", known)
