"""Whether background tasks are run as they should be, for load balancers and monitors.

One query of bounded cost, see :mod:`.moment`; one more where very many tasks wait.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from wagtail_async_hooks import conf
from wagtail_async_hooks.monitoring import pauses, statistics
from wagtail_async_hooks.monitoring.moment import TASKS, WORKERS, Moment


@dataclass(frozen=True)
class Health:
    """How things stand.

    :param problems: a sentence for each threshold that is passed.
    :param workers: how many are alive.
    :param waited: for how many seconds the oldest task has waited that could run; ``None`` if none
        waits.
    """

    problems: tuple[str, ...]
    workers: int
    waited: float | None

    def document(self) -> dict[str, Any]:
        """Return it as what a monitor reads."""
        return {
            "problems": list(self.problems),
            "workers": self.workers,
            "oldest_waiting_seconds": self.waited,
        }


def health(max_wait: float | None, min_workers: int) -> Health:
    """Judge how things stand now.

    :param max_wait: seconds for which the oldest task may have waited; ``None`` for any number.
        What is paused does not count.
    :param min_workers: how many workers have to be alive.
    """
    if not conf.current().backend:
        return Health((), 0, None)  # tasks run at once, and nobody waits for a worker
    moment = Moment()
    workers, waited = len(moment.living), _waited(moment)
    problems = []
    if workers < min(min_workers, WORKERS):
        problems.append(f"{workers} of at least {min_workers} workers are alive.")
    if waited is not None and max_wait is not None and waited > max_wait:
        problems.append(f"A task waits for {waited:.0f} s, which is more than {max_wait:g} s.")
    return Health(tuple(problems), workers, waited)


def _waited(moment: Moment) -> float | None:
    named = pauses.by_name(moment.pauses)
    waits = [
        moment.time - task.since
        for task in (*moment.waiting, *moment.overdue)
        if not pauses.of_task(named, queue=task.queue, hook=task.hook, function=task.function)
    ]
    if len(moment.waiting) >= TASKS and not moment.pauses:
        # Behind those that are claimed next, others may have waited for longer.
        waits.append(statistics.latest_oldest(moment.time) or datetime.timedelta())
    return max(wait.total_seconds() for wait in waits) if waits else None
