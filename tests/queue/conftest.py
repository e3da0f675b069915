"""Fixtures of tests that look at all functions of a hook."""

from tests.hooks.conftest import without_receipts

__all__ = ["without_receipts"]
