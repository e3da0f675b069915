"""Results that were kept as files, read as if they were those of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.results import Results


class NotComparable(Exception):
    """Results that must not stand on one page; says what differs."""


def read(paths: Sequence[Path]) -> Results:
    """Return what was measured in one run or in several, one after the other.

    :raises NotComparable: if they are from different machines or versions, or only some are quick.
    """
    first, *others = [Results.load_from(path) for path in paths]
    for path, other in zip(paths[1:], others, strict=True):
        _must_fit(first, other, f"{paths[0].name} and {path.name}")
        _add(first, other)
    return first


def _must_fit(first: Results, other: Results, names: str) -> None:
    if first.quick != other.quick:
        raise NotComparable(f"{names} cannot be put together: one of them was a quick run.")
    for ours, theirs in ((first.machine, other.machine), (first.versions, other.versions)):
        for what in ours.keys() & theirs.keys():  # a run without PostgreSQL has no version of it
            if ours[what] != theirs[what]:
                raise NotComparable(
                    f"{names} cannot be put together: "
                    f"{what} was {ours[what]} for one and {theirs[what]} for the other."
                )


def _add(first: Results, other: Results) -> None:
    """Append results; a case that both have was run in more rounds."""
    before = Counter[str]()
    for run in first.runs:
        which = run.case.to_json()
        before[which] = max(before[which], run.round + 1)
    first.runs += [replace(run, round=run.round + before[run.case.to_json()]) for run in other.runs]
    first.versions |= other.versions
    first.load += other.load
    for what, seconds in other.seconds.items():
        first.seconds[what] = first.seconds.get(what, 0.0) + seconds
    if other.begun_at not in first.begun_at:
        first.begun_at += f", {other.begun_at}"
