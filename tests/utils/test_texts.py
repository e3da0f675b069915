"""Tests of texts that go into a row."""

from __future__ import annotations

from wagtail_async_hooks.utils.text import shortened, storable


def test_shortened__keeps_what_fits() -> None:
    assert shortened("x" * 10, 10) == "x" * 10


def test_shortened__says_how_much_is_left_out() -> None:
    assert shortened("a" * 50 + "b" * 50, 10) == "aaaaa … (90 characters) … bbbbb"


def test_storable__what_databases_refuse_is_written_out() -> None:
    assert storable("a\0b\ud800c") == "a\\x00b\\ud800c"
