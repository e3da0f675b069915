"""Which case another one is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.cases import Case

SIZES = ("tasks", "times")
"""The options that say how often something is done."""


def baseline_of(case: Case, cases: Sequence[Case], module: Any) -> Case | None:
    """Return what a case is compared with; ``None`` if there is nothing of the kind, or itself.

    :param cases: all of the measure.
    :param module: the measure's. It says so by a function ``baseline(case, cases)``, or by
        ``BASELINE``, the contender that does the same on the same database.
    """
    if hasattr(module, "baseline"):
        found = module.baseline(case, cases)
    else:
        found = _same_by(module.BASELINE, case, cases)
    return None if found == case else found


def _same_by(contender: str, case: Case, cases: Sequence[Case]) -> Case | None:
    for other in cases:
        same = (other.database, _what(other)) == (case.database, _what(case))
        if same and other.contender == contender and not other.redis:
            return other
    return None


def _what(case: Case) -> dict[str, Any]:
    """Return what a case does, but for how often."""
    return {name: value for name, value in case.options.items() if name not in SIZES}
