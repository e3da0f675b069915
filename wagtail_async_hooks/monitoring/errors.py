"""The errors of failed tasks, grouped: by class, function, and the place where they were raised.

Of the newest :data:`overview.RECENT` failed tasks. One statement reads them, by an index, and what
it has read is grouped here: to read the rows is most of the work, and the database would have to
read them once for the numbers, once for the objects, and once for the tasks of a group.

A task that is run again, or discarded, counts no longer.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db import connections
from django.utils.translation import gettext as _

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, MutedError
from wagtail_async_hooks.monitoring import description, overview
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import clock

HOURS: Final = 24
"""Number of hours that are told one by one."""

_HOUR: Final = datetime.timedelta(hours=1)
_WEEK: Final = 7 * 24

WORKERS: Final = 2_000
"""Number of workers, the newest ones, whose releases are known."""

_COLUMNS: Final = (
    "error_type, function, error_place, id, side_effect, attempt, worker_id, subject_type_id, "
    "subject_id, "
)

_ENDED: Final = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM finished_at) AS double precision)",
    "sqlite": "finished_at || ''",
}
"""Such that a driver does not take longer to make times of them than for all else."""

Names = tuple[str, str, str]
"""Class of the error, function of the task, and place."""


class Failed(NamedTuple):
    """What an action has to know of a failed task."""

    pk: int
    side_effect: str
    attempt: int
    state: State = State.FAILED


@dataclass(slots=True)
class Group:
    """The failed tasks with the same class of error, function and place.

    :param error_type: dotted path of the exception's class; blank if none was raised, as of a task
        whose worker died.
    :param function: dotted path of the task's function.
    :param error_place: dotted path of the site's own function in which it was raised.
    :param tasks: the newest first.
    :param hourly: how many failed in each of the last 24 hours, the oldest first.
    :param last_week: how many failed in the last seven days.
    :param subjects: the objects that they are about.
    :param workers: primary keys of those that ran them.
    :param first_release: the earliest release whose workers ran some; blank if that is not known.
    :param is_new: whether tasks of an earlier release were looked at, and none of these is one.
    :param muted: says who has muted it, and when.
    :param example: the newest task, where it was asked for, see :func:`examples`.
    """

    error_type: str
    function: str
    error_place: str
    first_seen: datetime.datetime
    last_seen: datetime.datetime
    tasks: list[Failed] = field(default_factory=list, repr=False)
    hourly: list[int] = field(default_factory=lambda: [0] * HOURS)
    last_week: int = 0
    subjects: set[tuple[int, str]] = field(default_factory=set, repr=False)
    workers: set[int] = field(default_factory=set, repr=False)
    first_release: str = ""
    is_new: bool = False
    muted: MutedError | None = None
    example: BackgroundTask | None = field(default=None, repr=False)

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self.tasks)

    @property
    def newest(self) -> int:
        """Primary key of the newest one; 0 if there is none."""
        return self.tasks[0].pk if self.tasks else 0

    @property
    def objects(self) -> int:
        """How many different objects they are about."""
        return len(self.subjects)

    @property
    def key(self) -> str:
        """Its name in addresses, and in the table of those that are muted."""
        return ledger.error_key(self.error_type, self.function, self.error_place)

    @property
    def last_hour(self) -> int:
        """How many failed in the last hour."""
        return self.hourly[-1]

    @property
    def last_day(self) -> int:
        """How many failed in the last 24 hours."""
        return sum(self.hourly)

    @property
    def name(self) -> str:
        """The class's name without its module, or what stands in its place."""
        return self.error_type.rpartition(".")[2] or _("No exception")

    @property
    def title(self) -> str:
        """What people call it, such as "HTTPError in Purge cache"."""
        told = {"error": self.name, "function": description.words_of(self.function)}
        return _("%(error)s in %(function)s") % told if self.function else self.name


class Errors(NamedTuple):
    """All groups.

    :param groups: the one that failed last first.
    :param looked_at: how many failed tasks there are in them.
    :param is_all: whether there are no more failed tasks.
    """

    groups: list[Group]
    looked_at: int
    is_all: bool

    def find(self, key: str) -> Group | None:
        """Return the group with a key."""
        return next((group for group in self.groups if group.key == key), None)

    @property
    def open(self) -> list[Group]:
        """Those that are not muted."""
        return [group for group in self.groups if group.muted is None]

    @property
    def muted(self) -> list[Group]:
        """Those that are."""
        return [group for group in self.groups if group.muted is not None]


def errors() -> Errors:
    """Return the groups of the newest failed tasks."""
    found = _groups()
    _date(found.values())
    muted = ledger.muted_errors()
    for group in found.values():
        group.muted = muted.get(group.key)
    groups = sorted(found.values(), key=lambda g: (g.last_seen, g.newest), reverse=True)
    number = sum(group.number for group in groups)
    return Errors(groups, number, number < overview.RECENT)


def examples(groups: Iterable[Group]) -> dict[int, BackgroundTask]:
    """Return the newest task of each of some groups, by primary key, without large columns."""
    tasks = BackgroundTask.objects.using(ledger.database()).defer(*ledger.LARGE)
    found: dict[int, BackgroundTask] = tasks.in_bulk([group.newest for group in groups])
    return found


def still_failed(keys: Sequence[int]) -> Any:
    """Return a query for those of some tasks that are failed still."""
    return control.select(state=State.FAILED).filter(pk__in=keys)


def _groups() -> dict[Names, Group]:
    """Return the groups of the newest failed tasks."""
    connection = connections[ledger.database()]
    now = clock.database_now()
    groups: dict[Names, Group] = {}
    ended = _ENDED.get(connection.vendor, "finished_at")
    rows = overview.fetch(overview.of_state(State.FAILED, _COLUMNS + ended, overview.RECENT))
    for error_type, function, error_place, *task, worker, kind, key, finished_at in rows:
        moment = _instant(finished_at)
        names = (error_type, function, error_place)
        if (group := groups.get(names)) is None:
            group = groups[names] = Group(*names, moment, moment)
        group.tasks.append(Failed(*task))
        if moment < group.first_seen:
            group.first_seen = moment
        elif moment > group.last_seen:
            group.last_seen = moment
        if worker is not None:
            group.workers.add(worker)
        if kind is not None:
            group.subjects.add((kind, key))
        hours_ago = max(0, (now - moment) // _HOUR)  # clocks may differ
        if hours_ago < HOURS:
            group.hourly[HOURS - 1 - hours_ago] += 1
        if hours_ago < _WEEK:
            group.last_week += 1
    return groups


def _instant(value: Any) -> datetime.datetime:
    """Return an instant as the statement above reads it."""
    if isinstance(value, float):
        return datetime.datetime.fromtimestamp(value, datetime.UTC)
    naive = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    return naive.replace(tzinfo=datetime.UTC)


def _date(groups: Iterable[Group]) -> None:
    """Find out in which release each group was seen first, and whether that is news."""
    workers = overview.releases(WORKERS)
    releases = {pk: release for pk, release, _ in workers}
    order = list(dict.fromkeys(releases.values()))
    looked_at = {release for _, release, ran in workers if ran}
    for group in groups:
        if not group.workers or not group.workers <= releases.keys():
            continue  # some worker is forgotten: nobody knows
        found = min(order.index(releases[pk]) for pk in group.workers)
        group.first_release = order[found]
        group.is_new = any(release in looked_at for release in order[:found])
