"""The measures: each module is one question.

It has ``TITLE`` and ``EXPLAINED`` for the page, ``METRICS`` (what its runs tell), ``BASELINE`` (the
contender that the others are compared with) or ``baseline(case, cases)`` (the case that one is
compared with), ``cases(quick)``, ``rounds(quick)``, and ``run(case)``, which is called in a
process of its own. ``SMALL`` are options for a run that only shows that it works. A measure whose
cases rest for most of their time has ``apart(cases)``: they run at the same time, and begin so many
seconds one after the other.
"""

from typing import Final, NamedTuple


class Metric(NamedTuple):
    """One thing that a run tells.

    :param title: with its unit, for tables.
    :param digits: after the decimal point.
    :param less_is_better: whether a smaller number is the better one.
    """

    title: str
    digits: int = 1
    less_is_better: bool = True


ALL: Final = (
    "enqueue",
    "drain",
    "waiting",
    "matrix",
    "short",
    "snapshot",
    "claim",
    "pruning",
    "statements",
    "pickup",
    "rested",
    "publish",
    "editing",
    "measuring",
    "footprint",
    "importing",
    "reports",
    "admin",
)
"""Their names, in the order of the page."""
