"""What is taken for a secret: by its name, so that it is not stored, or in an address.

Django's ``SafeExceptionReporterFilter`` has a pattern for names, too, which suits a debug page: it
hides ``author``, ``cache_key`` and ``primary_key``, and shows ``pwd`` and ``sessionid``.
"""

from __future__ import annotations

import re
from typing import Final

WORDS: Final = (
    *("passw", "passphrase", "passcode", "pwd", "secret", "token", "credential"),
    *("authorization", "sessionid", "session_id"),
)
"""What names of secrets have in them."""

KEYS: Final = ("api", "access", "private", "session", "signing", "encryption")
"""What stands before ``key`` in names of secrets: there are other keys, too."""

_SECRET: Final = re.compile(
    # A secretary is none.
    rf"(?!secretar)(?:{'|'.join(WORDS)}|(?:{'|'.join(KEYS)})[-_ ]?key)",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Return whether a value of this name is treated as a secret, such as ``reset_token``."""
    return _SECRET.search(name) is not None


_IN_QUERY: Final = re.compile(r"([?&;])([\w.%-]+)=([^&;\s'\"<>)]+)")


def without_secrets(text: str) -> str:
    """Return a text in which no address has a password, or a secret in its query, any more."""
    if "=" not in text and "@" not in text:
        return text
    return _IN_QUERY.sub(_hidden, without_password(text))


def _hidden(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}=…" if is_secret(match[2]) else match[0]


def without_password(address: str) -> str:
    """Return a text in which no address has a user name and a password any more."""
    return re.sub(r"(?<=://)[^/\s]*@", "…@", address)
