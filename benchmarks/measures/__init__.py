"""The measures: each module is one question.

It has ``TITLE`` and ``EXPLAINED`` for the page, ``METRICS`` (what its runs tell), ``BASELINE`` (the
contender that the others are compared with) or ``baseline(case, cases)`` (the case that one is
compared with), ``cases(quick)``, ``rounds(quick)``, and ``run(case)``, which is called in a
process of its own. ``SMALL`` are options for a run that only shows that it works. A measure whose
cases rest for most of their time has ``apart(cases)``: they run at the same time, and begin so many
seconds one after the other. One with a ``table(results)`` makes its own, and has no chart.
"""

from typing import Final, NamedTuple


class Metric(NamedTuple):
    """One thing that a run tells.

    :param title: with its unit, for tables.
    :param digits: after the decimal point.
    :param less_is_better: whether a smaller number is the better one.
    :param may_be_zero: whether nothing is wrong where it is 0.
    """

    title: str
    digits: int = 1
    less_is_better: bool = True
    may_be_zero: bool = False


ALL: Final = (
    "enqueue",
    "drain",
    "logged",
    "waiting",
    "killed",
    "matrix",
    "short",
    "snapshot",
    "claim",
    "bounds",
    "pruning",
    "growth",
    "statements",
    "pickup",
    "rested",
    "publish",
    "editing",
    "bulk",
    "measuring",
    "footprint",
    "importing",
    "reports",
    "figures",
    "admin",
)
"""Their names, in the order of the page."""
