"""Tests of ``wagtail_tasks errors``."""

from __future__ import annotations

import pytest

from tests.failed import FUNCTION, fail
from tests.management.conftest import Ask
from wagtail_async_hooks import ledger
from wagtail_async_hooks.monitoring import overview


def test_errors__for_people(ask: Ask) -> None:
    assert ask("errors") == ["There are no such errors."]
    fail(ago=2)
    pk = fail()
    [headings, line] = ask("errors")
    assert headings.split()[:6] == ["All", "1", "h", "24", "h", "7"]
    assert line.split()[:4] == ["2", "1", "2", "2"]
    assert f" {pk}  PaymentError in Add  shop.pay" in line


def test_errors__no_more_than_asked_for(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ABC":
        fail(name)
    assert ask("errors", "--limit", 1)[2:] == ["There are 2 more: --limit shows more."]
    monkeypatch.setattr(overview, "RECENT", 2)
    assert ask("errors")[3:] == ["Only the newest 2 failed tasks are counted."]


def test_errors__as_json(ask_json: Ask) -> None:
    pk = fail()
    [told] = ask_json("errors")
    assert (told["newest"], told["number"], told["error"], told["muted_at"]) == (
        pk,
        1,
        "no money",
        None,
    )
    assert told["key"] == ledger.error_key("shop.PaymentError", FUNCTION, "shop.pay")
    assert told["first_seen"] == told["last_seen"]


def test_errors__muted_ones(ask: Ask, ask_json: Ask) -> None:
    fail()
    ledger.mute("shop.PaymentError", FUNCTION, "shop.pay")
    assert ask("errors") == ["There are no such errors."]
    [told] = ask_json("errors", "--muted")
    assert told["muted_at"]
