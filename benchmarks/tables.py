"""Tables in Markdown of what was measured."""

from __future__ import annotations

from typing import Any

from benchmarks.cases import Case
from benchmarks.results import Figure, Results

SIZES = ("tasks", "times")
"""The options that say how often something is done."""

DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "": "–"}


def table(results: Results, measure: str, module: Any) -> str:
    """Return the table of a measure: a row for each case, compared with its baseline.

    :param module: the measure's.
    """
    titles = [metric.title for metric in module.METRICS.values()]
    first = next(iter(module.METRICS))
    lines = [
        f"| Database | Contender | {' | '.join(titles)} | compared |",
        f"| --- | --- |{' ---: |' * len(titles)} ---: |",
    ]
    for case in results.cases(measure):
        cells = [
            told(results.figure(case, name), metric.digits)
            for name, metric in module.METRICS.items()
        ]
        database = DATABASES[case.database]
        compared = _compared(results, case, first, module.BASELINE)
        lines.append(f"| {database} | {case.title} | {' | '.join(cells)} | {compared} |")
    return "\n".join(lines)


def told(figure: Figure, digits: int) -> str:
    """Return a median with the spread of the rounds."""
    median, low, high = (f"{v:,.{digits}f}" for v in (figure.median, figure.low, figure.high))
    return median if low == high == median else f"{median} ({low}–{high})"


def _what(case: Case) -> dict[str, Any]:
    """Return what a case does, but for how often."""
    return {name: value for name, value in case.options.items() if name not in SIZES}


def _compared(results: Results, case: Case, metric: str, baseline: str) -> str:
    """Return the ratio to the baseline on the same database, which does the same."""
    for other in results.cases(case.measure):
        same = (other.database, _what(other)) == (case.database, _what(case))
        if same and other.contender == baseline and not other.redis and other != case:
            ratio = results.figure(case, metric).median / results.figure(other, metric).median
            return f"{ratio:.2f}"
    return "–"
