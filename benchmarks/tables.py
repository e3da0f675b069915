"""Tables in Markdown of what was measured.

tabulate pads all cells of a column alike, so that each figure that gets longer changes all lines.
"""

from __future__ import annotations

from typing import Any

from benchmarks.baselines import baseline_of
from benchmarks.cases import Case
from benchmarks.results import Figure, Results

DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mysql": "MariaDB", "": "–"}


def table(results: Results, measure: str, module: Any) -> str:
    """Return the table of a measure: a row for each case, compared with its baseline.

    :param module: the measure's.
    """
    if hasattr(module, "table"):
        return str(module.table(results))
    titles = [metric.title for metric in module.METRICS.values()]
    first = next(iter(module.METRICS))
    lines = [
        f"| Database | Contender | {' | '.join(titles)} | compared |",
        f"| --- | --- |{' ---: |' * len(titles)} ---: |",
    ]
    for case in results.cases(measure):
        cells = [
            told(results.figure(case, name), metric.digits) if results.has(case, name) else "–"
            for name, metric in module.METRICS.items()
        ]
        database = DATABASES[case.database]
        compared = _compared(results, case, first, module)
        lines.append(f"| {database} | {case.title} | {' | '.join(cells)} | {compared} |")
    return "\n".join(lines)


def told(figure: Figure, digits: int) -> str:
    """Return a median with the spread of the rounds."""
    median, low, high = (f"{v:,.{digits}f}" for v in (figure.median, figure.low, figure.high))
    return median if low == high == median else f"{median} ({low}–{high})"


def _compared(results: Results, case: Case, metric: str, module: Any) -> str:
    """Return the ratio to the baseline."""
    other = baseline_of(case, results.cases(case.measure), module)
    if other is None or not (results.has(case, metric) and results.has(other, metric)):
        return "–"
    return f"{results.figure(case, metric).median / results.figure(other, metric).median:.2f}"
