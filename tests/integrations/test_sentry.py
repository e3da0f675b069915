"""Tests of a site with Sentry, whose integration with Huey is on by itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.processes import Process

pytest.importorskip("sentry_sdk")

pytestmark = pytest.mark.slow

ADDRESS = "ada.lovelace@example.com"
WITHOUT_PII: dict[str, Any] = {"send_default_pii": False, "include_local_variables": False}


@pytest.fixture
def work(committed_db: None, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Do the work of :mod:`tests.tracing.sentry`; return what it tells."""

    def work(**options: Any) -> dict[str, Any]:
        process = Process(
            [sys.executable, "-m", "tests.tracing.sentry", json.dumps(options)],
            tmp_path / "output.txt",
            DJANGO_SETTINGS_MODULE="tests.tracing.settings",
            SITE_DATABASE_NAME=str(connection.settings_dict["NAME"]),
            SITE_BACKEND="database",
            ADDRESS=ADDRESS,  # Sentry sends the arguments of the process
        )
        with process:
            assert process.wait() == 0, process.said()
        told: dict[str, Any] = json.loads(process.said().splitlines()[-1])
        return told

    return work


def test_sentry__adds_to_calls_and_nothing_shows_it(work: Callable[..., dict[str, Any]]) -> None:
    told = work()

    assert told["traced"]
    assert told["checked"] == ["wagtail_async_hooks.W045"]  # not without it
    assert told["results"] == [3, 7]
    assert told["made"] == "Tea for Ada"
    assert told["titles"] == ["Make Tea for Ada", "Make Milk for Ada"]
    assert "sentry_headers" not in "".join(told["shown"])
    assert told["states"] == [
        ["add", "succeeded"],
        ["make", "succeeded"],
        ["snooze", "scheduled"],
        ["discard", "cancelled"],
        ["fail", "failed"],
        ["make", "succeeded"],
        ["add", "succeeded"],
    ]


def test_sentry__gets_errors_and_nothing_else(work: Callable[..., dict[str, Any]]) -> None:
    told = work(integrations=[])

    kinds = {value["type"] for event in told["events"] for value in _exceptions(event)}
    assert kinds == {"ValueError"}


def _exceptions(event: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = event.get("exception", {}).get("values", [])
    return found


def test_sentry__gets_no_arguments(work: Callable[..., dict[str, Any]]) -> None:
    told = work(**WITHOUT_PII)

    assert told["events"]
    assert ADDRESS not in json.dumps(told["events"])
