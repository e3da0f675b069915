"""Whether worker processes are alive and ready, judged by what they report of themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from wagtail_async_hooks.worker.reporting import Phase, Report

STUCK_AFTER: Final = 60.0
"""Seconds after which a process that has reported nothing is considered stuck. It reports every
second, however busy its threads are; one that starts or stops may wait for the database."""

_REPORTING: Final = (Phase.WORKING, Phase.RETIRING)


class Health(NamedTuple):
    """How worker processes are.

    :param is_live: whether none of them is stuck, so that a restart would help nobody.
    :param is_ready: whether at least one of them runs tasks.
    :param is_ending: whether all of them are about to end.
    :param problems: a sentence for each process that is not ready.
    :param processes: how many there are.
    :param ready: how many of them run tasks.
    """

    is_live: bool
    is_ready: bool
    is_ending: bool
    problems: tuple[str, ...]
    processes: int
    ready: int

    @property
    def summary(self) -> str:
        """How many processes run tasks, in a sentence."""
        if not self.ready:
            return "No process runs tasks."
        if self.processes == 1:
            return "1 process runs tasks."
        return f"{self.ready} of {self.processes} processes run tasks."

    def document(self, *, is_well: bool) -> dict[str, Any]:
        """Return what a probe is answered.

        :param is_well: what it has asked for.
        """
        return {
            "status": "ok" if is_well else "failing",
            "summary": self.summary,
            "problems": list(self.problems),
        }


def judge(reports: Mapping[int, Report], *, is_ending: bool = False) -> Health:
    """Judge processes by their last reports.

    :param reports: by the id of the process; none at all where all have died.
    :param is_ending: whether they were asked to end.
    """
    now = time.monotonic()
    stuck = {pid for pid, report in reports.items() if _is_stuck(report, now)}
    problems = {pid: _problem(report, is_stuck=pid in stuck) for pid, report in reports.items()}
    ready = sum(not problem for problem in problems.values())
    phases = {report.phase for report in reports.values()}
    is_ending = is_ending or phases == {Phase.STOPPING}
    return Health(
        is_live=not stuck,
        is_ready=bool(ready) and not is_ending,
        is_ending=is_ending,
        problems=tuple(f"Process {pid}: {words}" for pid, words in problems.items() if words),
        processes=len(reports),
        ready=ready,
    )


def _is_stuck(report: Report, now: float) -> bool:
    return report.phase in _REPORTING and now - report.at > STUCK_AFTER


def _problem(report: Report, *, is_stuck: bool) -> str:
    """Return why a process runs no tasks, or no further ones; blank if it does."""
    if is_stuck:
        return "it is stuck."
    if report.phase is Phase.STARTING:
        return "it is starting, or waits for the database."
    if report.phase is Phase.RETIRING:
        return "another one has taken its place, and it ends after what it runs."
    if report.phase is Phase.STOPPING:
        return "it is stopping."
    return report.problem
