"""Suggestions for names that are not known: which known one was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

CUTOFF: Final = 0.6
"""Similarity, from 0 to 1, below which nothing is suggested: the default of :mod:`difflib`."""


def nearest(name: str, known: Iterable[str], *, cutoff: float = CUTOFF) -> str:
    """Return the known name that is most similar to a name; blank if none is similar."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found else ""
