"""Tests of what can be a primary key of a model."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session

from tests.oddities.models import Ticket
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.utils.models import to_key


@pytest.mark.parametrize(
    ("text", "key"),
    [("12", 12), ("", None), ("twelve", None), ("1.5", None), ("9" * 30, None), ("1\x00", None)],
)
def test_to_key__of_numbers(text: str, key: int | None) -> None:
    assert to_key(get_user_model(), text) == key
    assert to_key(BackgroundTask, text) == key


@pytest.mark.parametrize(("text", "key"), [("abc", "abc"), ("a\x00c", None), ("a" * 41, None)])
def test_to_key__of_texts(text: str, key: str | None) -> None:
    assert to_key(Session, text) == key


@pytest.mark.parametrize("text", ["f" * 32, "nothing", "\x00"])
def test_to_key__of_uuids(text: str) -> None:
    expected = uuid.UUID(text) if text == "f" * 32 else None
    assert to_key(Ticket, text) == expected
