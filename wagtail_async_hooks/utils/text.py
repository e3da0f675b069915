"""Texts that go into a row: short enough, and such as every database takes.

Django and Python come close, and lose what matters here: ``Truncator`` and ``textwrap.shorten()``
keep the beginning only, where an error often says most at its end; ``truncate_name()`` tells long
keys apart by four hexadecimal digits, by which 2,000 keys make 1,976 names; and the codec
``unicode_escape`` makes umlauts unreadable together with control characters.
"""

from __future__ import annotations

import hashlib
import re
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
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00")


_UNSEEN: Final = re.compile(
    # C0 but for the tab, DEL and C1; what changes the direction of text; separators of lines.
    "[\x00-\x08\n-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]"
)
_UNSEEN_BUT_LINES: Final = re.compile(_UNSEEN.pattern.replace("\n-", "\x0b-"))


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text that does nothing to a terminal or a log: control characters are escaped.

    :param lines: leave line feeds as they are, as in a traceback.
    """
    if text.isascii() and text.isprintable():
        return text
    return (_UNSEEN_BUT_LINES if lines else _UNSEEN).sub(_escaped, storable(text))


def one_line(told: object, length: int = MAX_TEXT) -> str:
    """Return what something says, such as an error, in one line that can be logged and shown.

    The name of its class, if it says nothing, or cannot.
    """
    try:
        text = str(told)
    except Exception:
        text = ""
    return visible(" ".join(shortened(text, length).split())) or type(told).__name__


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def cut(text: str, length: int) -> str:
    """Return the beginning of a text, with dots at its end, if it has more characters than that."""
    return text if len(text) <= length else f"{text[: max(length - 3, 0)]}..."[:length]


def cut_key(key: str, length: int = 255) -> str:
    """Return a key of at most so many characters: keys that differ differ still when they are cut.

    It begins as the whole key does, and ends with a hash of it.
    """
    if len(key) <= length:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{key[: length - 75]} {digest}" if length > 100 else digest[:length]
