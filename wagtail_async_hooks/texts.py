"""Texts that go into a row: short enough, and such as every database takes."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 2_000
"""Characters of an error, or of a message to the editor, that are kept: a database that refuses a
row for its size would refuse it each time, and the worker would try for ever."""

MAX_TRACEBACK: Final = 100_000
"""Characters of a traceback that are kept."""


def shortened(text: str, length: int) -> str:
    """Return a text, or its beginning and its end if it is longer than so many characters."""
    if len(text) <= length:
        return text
    half = length // 2
    return f"{text[:half]} … ({len(text) - 2 * half} characters) … {text[-half:]}"


def storable(text: str) -> str:
    """Return a text that every database takes: PostgreSQL refuses NUL, and all lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
