"""A site with its editors, its ledger and its workers, as it goes through a day."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from benchmarks.simulation.clock import Action, Clock, Station

IDLE_INTERVAL: Final = 1.0
"""Seconds between two queries of an idle thread, as ``worker.threads.IDLE_INTERVAL``."""


@dataclass(frozen=True)
class Database:
    """What keeps the ledger.

    :param name: for people.
    :param insert: seconds for which it works to record a task.
    :param claim: to finish one and claim the next.
    :param look: to claim where nothing waits.
    :param at_once: how many statements it works on at once: its cores, or 1 if writers take turns.
    :param flush: seconds for which a commit then waits for the disk, together with others.
    :param wakes_each_process: whether each commit wakes a thread of every process, and that one
        the next if it finds a task; or each task wakes one thread in all.
    :param watched: seconds within which a worker process looks at a file that was written to,
        where nothing tells it what has come; 0 if something does.
    """

    name: str
    insert: float
    claim: float
    look: float
    at_once: int
    flush: float = 0.0
    wakes_each_process: bool = True
    watched: float = 0.0


class Deed(NamedTuple):
    """What editors do.

    :param per_hour: how often each of them does, at the busiest time.
    :param tasks: how many tasks it records, in one transaction.
    """

    name: str
    per_hour: float
    tasks: int


class Kind(NamedTuple):
    """Tasks that are alike.

    :param share: of all tasks.
    :param seconds: how long one takes on average; exponentially distributed.
    """

    name: str
    share: float
    seconds: float


@dataclass(frozen=True)
class Load:
    """What is asked of the site.

    :param day: how busy each hour is, of the busiest.
    :param hour: seconds for which each hour is simulated.
    :param backlog: how many tasks wait when the day begins.
    """

    editors: int
    deeds: Sequence[Deed]
    kinds: Sequence[Kind]
    day: Sequence[float]
    hour: float
    backlog: int = 0


@dataclass(frozen=True)
class Crew:
    """The workers.

    :param processes: how many.
    :param threads: of each process.
    :param overhead: seconds of a thread for each task beside the ledger's and the function's own.
    """

    processes: int
    threads: int
    overhead: float = 0.0


class Hour(NamedTuple):
    """One hour of the day.

    :param ledger: part of its time for which the ledger worked.
    :param workers: part of their time for which threads ran tasks.
    :param rate: tasks begun per second.
    :param begun: how many tasks had begun before, and at its end: their places in ``waits``.
    """

    ledger: float
    workers: float
    rate: float
    begun: tuple[int, int]


@dataclass(frozen=True)
class Told:
    """What came out.

    :param waits: seconds from the commit to the begin of each task that has begun, in that order.
    :param recorded: seconds for which each editor has waited for the ledger.
    :param busiest: part of its time for which the ledger worked in the busiest hour; 1 is all.
    :param looks: claims that have found nothing, per second.
    :param left: tasks that wait at the end.
    :param workers: part of their time for which threads ran tasks in the busiest hour.
    :param rate: tasks begun per second in the busiest hour.
    :param hours: one after the other.
    """

    waits: list[float]
    recorded: list[float]
    busiest: float
    looks: float
    left: int
    workers: float
    rate: float
    hours: list[Hour]


class Process:
    """A worker process.

    :ivar news: how often it has learned that something may have come.
    :ivar is_waking: whether it is about to learn it.
    """

    def __init__(self, threads: int) -> None:
        self.threads = [Thread(self) for _ in range(threads)]
        self.news = 0
        self.is_waking = False


class Thread:
    """A thread of a worker.

    :ivar mark: what its process knew when it last asked for a task.
    :ivar holds: whether it has a task whose end is to be recorded.
    :ivar rested_at: since when it has been idle, if it is.
    :ivar is_timed: whether something will make it look into the ledger after a while.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.mark = 0
        self.holds = False
        self.rested_at = 0.0
        self.is_timed = False


class Site:
    """One simulated site.

    :param seed: the same numbers give the same day.
    """

    def __init__(self, database: Database, load: Load, crew: Crew, seed: int = 1) -> None:
        self._database = database
        self._load = load
        self._crew = crew
        self._random = random.Random(seed)
        self._clock = Clock()
        self._ledger = Station(self._clock, database.at_once)
        self._waiting = deque([0.0] * load.backlog)
        self._rings = 0
        self._processes = [Process(crew.threads) for _ in range(crew.processes)]
        self._idle: dict[Thread, None] = {}
        self._shares = [kind.share for kind in load.kinds]
        self._waits: list[float] = []
        self._recorded: list[float] = []
        self._looks = 0
        self._ran = 0.0

    def run(self) -> Told:
        """Let the day pass."""
        for process in self._processes:
            for thread in process.threads:
                # They have begun at different times.
                self._clock.after(
                    self._random.random() * IDLE_INTERVAL, partial(self._claim, thread)
                )
        for deed in self._load.deeds:
            self._plan(deed)
        hours = [self._hour(number) for number in range(len(self._load.day))]
        seconds = self._load.hour * len(hours)
        ledger, workers, rate, _ = max(hours)
        looks, left = self._looks / seconds, len(self._waiting)
        return Told(self._waits, self._recorded, ledger, looks, left, workers, rate, hours)

    def _hour(self, number: int) -> Hour:
        """Let an hour pass; return what it was like."""
        worked, ran, begun = self._ledger.worked, self._ran, len(self._waits)
        seconds = self._load.hour
        self._clock.run_until((number + 1) * seconds)
        threads = self._crew.processes * self._crew.threads
        return Hour(
            (self._ledger.worked - worked) / seconds / self._database.at_once,
            (self._ran - ran) / seconds / threads,
            (len(self._waits) - begun) / seconds,
            (begun, len(self._waits)),
        )

    # Editors --------------------------------------------------------------------------------

    def _plan(self, deed: Deed) -> None:
        """Have a deed done again and again, at random, as often as the hour of the day asks."""
        highest = self._load.editors * deed.per_hour / 3600
        if highest <= 0:
            return

        def come() -> None:
            hour = int(self._clock.now / self._load.hour)
            if hour < len(self._load.day) and self._random.random() < self._load.day[hour]:
                self._record(deed.tasks)
            self._clock.after(self._random.expovariate(highest), come)

        self._clock.after(self._random.expovariate(highest), come)

    def _record(self, tasks: int) -> None:
        """Have tasks recorded in one transaction."""
        commit = partial(self._commit, tasks, self._clock.now)
        flush = partial(self._clock.after, self._database.flush, commit)
        self._ledger.ask(lambda: (tasks * self._database.insert, flush))

    def _commit(self, tasks: int, asked_at: float) -> None:
        self._recorded.append(self._clock.now - asked_at)
        self._waiting.extend([self._clock.now] * tasks)
        if self._database.wakes_each_process:
            self._tell()
        else:
            self._ring(tasks)

    # What wakes workers ---------------------------------------------------------------------

    def _tell(self) -> None:
        """Let each process learn that something may have come."""
        for process in self._processes:
            if not process.is_waking:
                process.is_waking = True
                within = self._random.random() * self._database.watched
                self._clock.after(within, partial(self._wake, process))

    def _wake(self, process: Process) -> None:
        """Let an idle thread of a process ask for a task."""
        process.is_waking = False
        process.news += 1
        self._wake_one(process)

    def _wake_one(self, process: Process) -> None:
        idle = next((thread for thread in process.threads if thread in self._idle), None)
        if idle is not None:
            self._claim(idle)

    def _ring(self, tasks: int) -> None:
        """Let one thread for each task ask for it: the one that has been idle for longest."""
        self._rings += tasks
        while self._rings and self._idle:
            self._claim(next(iter(self._idle)))

    # Workers --------------------------------------------------------------------------------

    def _claim(self, thread: Thread) -> None:
        """Have the ledger asked for a task, when its turn has come."""
        self._idle.pop(thread, None)
        self._rings -= 1 if self._rings else 0
        thread.mark = thread.process.news
        self._ledger.ask(partial(self._serve, thread))

    def _serve(self, thread: Thread) -> tuple[float, Action]:
        """Return for how long the ledger works on a claim, and what follows."""
        finishes, thread.holds = thread.holds, bool(self._waiting)
        follow = partial(self._miss, thread, finishes)
        if thread.holds:
            follow = partial(self._begin, thread, self._waiting.popleft())
        if not finishes and not thread.holds:
            self._looks += 1
            return self._database.look, follow
        return self._database.claim, partial(self._clock.after, self._database.flush, follow)

    def _begin(self, thread: Thread, committed_at: float) -> None:
        """Run a task; there may be one for another thread as well."""
        if self._database.wakes_each_process:
            self._wake_one(thread.process)
        self._waits.append(self._clock.now - committed_at)
        [kind] = self._random.choices(self._load.kinds, self._shares)
        seconds = self._crew.overhead
        if kind.seconds:
            seconds += self._random.expovariate(1 / kind.seconds)
        self._ran += seconds
        self._clock.after(seconds, partial(self._claim, thread))
        self._written()

    def _miss(self, thread: Thread, finishes: bool) -> None:
        """Nothing waited: rest, unless something has come since."""
        if finishes:
            self._written()
        if self._rings or (
            self._database.wakes_each_process and thread.mark != thread.process.news
        ):
            self._claim(thread)
        else:
            self._rest(thread)

    def _written(self) -> None:
        """A worker has committed; those who watch the file cannot tell that from a new task."""
        if self._database.watched:
            self._tell()

    def _rest(self, thread: Thread) -> None:
        """Wait to be woken, or for the next look."""
        self._idle[thread] = None
        thread.rested_at = self._clock.now
        if not thread.is_timed:
            self._time(thread, IDLE_INTERVAL)

    def _time(self, thread: Thread, seconds: float) -> None:
        thread.is_timed = True
        self._clock.after(seconds, partial(self._remind, thread))

    def _remind(self, thread: Thread) -> None:
        """Have a thread look if it has been idle for long enough."""
        thread.is_timed = False
        if thread not in self._idle:
            return
        left = thread.rested_at + IDLE_INTERVAL - self._clock.now
        if left > 1e-6:
            self._time(thread, left)
        else:
            self._claim(thread)
