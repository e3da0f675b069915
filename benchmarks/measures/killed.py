"""What becomes of tasks whose workers are ended by ``kill -9`` while they run."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks import contenders, work
from benchmarks.cases import Case
from benchmarks.measures import Metric
from benchmarks.workers import Workers, working

TITLE: Final = "Tasks whose worker is killed"
EXPLAINED: Final = (
    "200 tasks of 50 ms leave a trace when they begin and when they are done. Two workers and all "
    "that they have started are ended by `kill -9` while a task runs, and started again, five "
    "times or until none begins: APScheduler takes all that is due out of its store at once. All "
    "have their default options, but “acks_late”; the brackets say after how long tasks of a dead "
    "worker should come back by themselves. *Lost* is what was not done when nothing more had come "
    "for that long and half a minute. *Later* is what had not come back by then, but would: Celery "
    "keeps what a worker had taken for an hour. *Again* is what began anew, and *twice* what was "
    "done twice. *Back* is from the last kill to the end of the last of the tasks that it had "
    "interrupted."
)
METRICS: Final = {
    "done": Metric("done", digits=0, less_is_better=False),
    "lost": Metric("lost", digits=0, may_be_zero=True),
    "later": Metric("later", digits=0, may_be_zero=True),
    "again": Metric("again", digits=0, may_be_zero=True),
    "twice": Metric("twice", digits=0, may_be_zero=True),
    "back": Metric("back, s"),
}
BASELINE: Final = "ours"
SMALL: Final = {"tasks": 12, "kills": 1, "each": 3}
WORKERS: Final = 2

_SECONDS: Final = 0.05
_QUIET: Final = 30.0
"""Seconds without a task that is done after which nothing more is expected, beside the others."""

_LONGEST: Final = 120.0
"""Seconds; what comes back later than that is not waited for."""

_PATIENCE: Final = 120.0
"""Seconds within which workers have to begin tasks, once they are started."""


@dataclass(frozen=True)
class _Return:
    """When tasks of a dead worker come back by themselves.

    :param told: for people.
    :param seconds: after a worker's death; 0 if they do not, or as soon as another one starts.
    """

    told: str
    seconds: float = 0.0


_NEVER: Final = _Return("never")
_RETURNS: Final = {
    ("ours", False): _Return("20 s after its last heartbeat", 20),
    ("ours", True): _Return("20 s after its last heartbeat", 20),
    ("procrastinate_itself", False): _Return("if a job asks for stalled ones"),
    ("celery_itself", True): _Return("`visibility_timeout` 1 h, of what had not begun", 3600),
    ("celery_late_itself", True): _Return("`visibility_timeout` 60 s", 60),
    ("rq_itself", True): _Return("never: fails within 12 minutes"),
    ("django_q2_itself", False): _Return("`retry` 60 s", 60),
    ("lightweight_reliable_itself", True): _Return("when it starts again"),
}
"""By contender, and whether it uses Redis."""


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured."""
    options: dict[str, Any] = {"tasks": 200, "kills": 5, "each": 20}
    if quick:
        options = {"tasks": 60, "kills": 1, "each": 10}
    found = contenders.cases("killed", options)
    for celery in [case for case in found if case.contender == "celery_itself"]:
        late = replace(celery, contender="celery_late_itself", title="Celery, acks_late")
        found.insert(found.index(celery) + 1, late)
    some = contenders.some(found) if quick else found
    return [replace(case, title=f"{case.title} ({_return(case).told})") for case in some]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def apart(cases: Sequence[Case]) -> float:
    """Return the seconds from the start of one case to that of the next: all wait for the most."""
    return 7.0


def _return(case: Case) -> _Return:
    return _RETURNS.get((case.contender, case.redis), _NEVER)


def run(case: Case) -> dict[str, list[float]]:
    """Return how many tasks were done, lost, and so on."""
    module, options = contenders.module_of(case), case.options
    module.set_up()
    os.environ[work.TELLS_BEGINS] = "1"
    numbers = [float(number) for number in range(1, options["tasks"] + 1)]
    for number in numbers:
        module.enqueue(_SECONDS, number)
    forgets = _return(case) is _NEVER
    killed = _kill_several_times(module, options["kills"], options["each"], forgets=forgets)
    interrupted = set(work.begins()) - {trace.sent for trace in work.traces()}
    with working(module.workers(WORKERS)):
        _wait_until_quiet(len(numbers), _expected(case))
        later = module.kept() if hasattr(module, "kept") else 0
    return {**_told(numbers, later), "back": _back(interrupted, killed)}


def _expected(case: Case) -> float:
    """Return after how many seconds without anything new no more is expected."""
    seconds = _return(case).seconds
    return _QUIET + (seconds if seconds <= _LONGEST else 0.0)


def _kill_several_times(module: Any, times: int, tasks: int, *, forgets: bool) -> float:
    """Start workers and kill them, again and again; return the moment of the last kill.

    :param tasks: that begin before each kill.
    :param forgets: whether tasks of a dead worker do not come back: who takes all of them out of
        the store to run them has none left then, and is killed no more.
    :raises RuntimeError: if so many do not begin otherwise, or a worker has ended by itself; says
        what they printed.
    """
    killed = math.nan
    for number in range(times):
        workers = Workers(module.workers(WORKERS))
        try:
            if not _are_at_work(workers, tasks):
                if forgets and number and not workers.have_ended:
                    break
                raise RuntimeError(f"Not so many as {tasks} tasks have begun:\n{workers.said()}")
            killed = time.monotonic()
        finally:
            workers.kill()
    return killed


def _are_at_work(workers: Workers, tasks: int) -> bool:
    """Return once so many tasks have begun and one of them runs; ``False`` if they do not."""
    begun, done = len(work.begins()), work.count()
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and not workers.have_ended:
        fresh = len(work.begins()) - begun
        if fresh >= tasks and fresh > work.count() - done:
            return True
        time.sleep(0.001)
    return False


def _wait_until_quiet(tasks: int, seconds: float) -> None:
    """Return once all tasks are done, or nothing more has come for so long since the first one."""
    known, until = work.count(), time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        done = work.count()
        if done > known:
            known, until = done, time.monotonic() + seconds
        if len({trace.sent for trace in work.traces()}) == tasks:
            return
        time.sleep(0.2)


def _told(numbers: Sequence[float], later: int) -> dict[str, list[float]]:
    done = Counter(trace.sent for trace in work.traces())
    begun = Counter(work.begins())
    missing = len(set(numbers) - done.keys())
    later = min(later, missing)
    return {
        "done": [float(len(done))],
        "lost": [float(missing - later)],
        "later": [float(later)],
        "again": [float(sum(times > 1 for times in begun.values()))],
        "twice": [float(sum(times > 1 for times in done.values()))],
    }


def _back(interrupted: set[float], killed: float) -> list[float]:
    """Return the seconds until the last of the tasks was done that had been interrupted."""
    ends = [trace.done - killed for trace in work.traces() if trace.sent in interrupted]
    return [max(ends)] if ends else []
