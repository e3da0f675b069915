"""What is measured, and what came out: plain values that pass between the processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One contender with one set of options.

    :param measure: name of the module in :mod:`benchmarks.measures`.
    :param contender: who is measured; the measure knows what that means.
    :param title: for tables and charts.
    :param database: ``"sqlite"``, ``"postgres"`` or ``"mysql"``, or blank for none.
    :param redis: whether it needs one.
    :param options: what else the measure has to know; values that fit JSON.
    :param once: whether it is run in the first round only, as it takes long and is far behind.
    """

    measure: str
    contender: str
    title: str
    database: str = ""
    redis: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    once: bool = False

    def to_json(self) -> str:
        """Return it as a text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Case:
        """Return the case of a text."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Run:
    """One case in one round.

    :param values: by metric, what was measured.
    """

    case: Case
    round: int
    values: Mapping[str, list[float]]
