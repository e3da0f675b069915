"""Single numbers of results, and what is made of two of them; ``None`` is what was not measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cases import Case
from benchmarks.results import Results

Value = Callable[[Results], "float | None"]
"""Tells one number, or ``None`` if it was not measured."""


@dataclass(frozen=True)
class Pick:
    """One metric of the one case of a measure that fits; its median.

    :param contender: the module of who is measured.
    :param database: ``"sqlite"``, ``"postgres"``, ``"mysql"`` or blank.
    :param options: of the case; those that are not named do not matter.
    """

    measure: str
    metric: str
    contender: str = "ours"
    database: str = ""
    redis: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, results: Results) -> float | None:
        """Return the median, or ``None`` if no such case was run.

        :raises LookupError: if several cases fit, as it would depend on their order which is told.
        """
        found = [case for case in results.cases(self.measure) if self._fits(case)]
        if len(found) > 1:
            titles = "; ".join(case.title for case in found)
            raise LookupError(f"Several cases of {self.measure} fit one budget: {titles}.")
        told = [run for run in results.runs if run.case in found and self.metric in run.values]
        return results.figure(found[0], self.metric).median if told else None

    def _fits(self, case: Case) -> bool:
        asked = (self.contender, self.database, self.redis)
        return (case.contender, case.database, case.redis) == asked and all(
            case.options.get(name) == value for name, value in self.options.items()
        )


def ratio(value: Value, to: Value) -> Value:
    """Return what tells the ratio of two numbers."""

    def told(results: Results) -> float | None:
        measured, other = value(results), to(results)
        return None if measured is None or other is None else measured / other

    return told


def difference(value: Value, to: Value) -> Value:
    """Return what tells how much more one number is than another."""

    def told(results: Results) -> float | None:
        measured, other = value(results), to(results)
        return None if measured is None or other is None else measured - other

    return told
