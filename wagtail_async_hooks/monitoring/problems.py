"""What is wrong at the moment, in words, and what it means for the site.

One query, the moment's; of the tasks that wait, it has the first :data:`~.moment.TASKS`. A
minute's delay is nothing to speak of.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from wagtail_async_hooks.models import Pause
from wagtail_async_hooks.monitoring import effects, pauses, workers
from wagtail_async_hooks.monitoring.effects import KINDS, Kind
from wagtail_async_hooks.monitoring.moment import TASKS, Moment, WaitingTask

WITHOUT_WORKER: Final = datetime.timedelta(minutes=1)
"""For so long a task may wait without a worker before that is told: one may just be restarted."""

BETWEEN_DRAINS: Final = datetime.timedelta(minutes=15)
"""The same where a worker has stopped by itself lately, as one does that cron starts."""

TOO_LONG: Final = datetime.timedelta(minutes=10)
"""For so long a task may wait for a worker that lives."""

MOST: Final = 4
"""So many problems are told, the gravest first."""

_NO_WORKER, _UNSERVED, _PAUSED, _SLOW = range(4)


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    :param severity: ``"critical"`` if the site shows it, or else ``"warning"``.
    :param text: what and why, for who may see all tasks.
    :param effect: what it means for the site, for all editors; blank if it means nothing to them.
    :param page: where there is more about it: ``"workers"`` or ``"queues"``.
    """

    severity: Literal["critical", "warning"]
    text: str
    effect: str
    page: Literal["workers", "queues"]


class _Cause(NamedTuple):
    """Why tasks wait.

    :param rank: the smaller, the graver.
    :param because: completes "12 tasks are waiting …"; blank if they wait for their turn.
    """

    rank: int
    because: str
    page: Literal["workers", "queues"]


@dataclass
class _Group:
    """Tasks of one kind that wait for one reason."""

    number: int
    since: datetime.datetime


def problems(moment: Moment | None = None) -> list[Problem]:
    """Return what is wrong, the gravest first; nothing if all is well.

    :param moment: what is known already.
    """
    moment = moment or Moment()
    found = list(_with_worker(moment) if moment.living else _without_worker(moment))
    return sorted(found, key=lambda problem: problem.severity != "critical")[:MOST]


# Without a worker ---------------------------------------------------------------------------


def nobody_works(moment: Moment) -> bool:
    """Return whether no worker runs, nor one that cron starts now and then.

    Where the last worker has stopped by itself less than :data:`BETWEEN_DRAINS` ago, another one is
    expected to follow, unless a task has waited for longer than that.
    """
    if moment.living:
        return False
    return not _was_drained_lately(moment) or _waits_for(moment, BETWEEN_DRAINS)


def _was_drained_lately(moment: Moment) -> bool:
    rows = (row for row in moment.workers if not workers.has_died(row, moment))
    stopped = [row.stopped_at for row in rows]
    return any(each and moment.time - each < BETWEEN_DRAINS for each in stopped)


def _waits_for(moment: Moment, patience: datetime.timedelta) -> bool:
    """Return whether a task could have run for longer than that."""
    return any(moment.time - task.since > patience for task in _runnable(moment))


def _runnable(moment: Moment) -> list[WaitingTask]:
    return [*moment.waiting, *moment.overdue]


def _without_worker(moment: Moment) -> Iterator[Problem]:
    """Yield what waits for a worker to be started."""
    now, tasks = moment.time, _runnable(moment)
    patience = BETWEEN_DRAINS if _was_drained_lately(moment) else WITHOUT_WORKER
    if not _waits_for(moment, patience):
        return
    cause = _Cause(_NO_WORKER, _("because no worker runs"), "workers")
    groups: dict[tuple[_Cause, Kind], _Group] = {}
    for task in tasks:
        _add(groups, cause, task)
    yield from _told(groups, now)


# With one -----------------------------------------------------------------------------------


def _with_worker(moment: Moment) -> Iterator[Problem]:
    """Yield what waits too long although there is a worker, and what is paused."""
    now, paused = moment.time, moment.pauses
    served = {row.queues for row in moment.living}
    named = pauses.by_name(paused)
    groups: dict[tuple[_Cause, Kind], _Group] = {}
    for task in moment.waiting:
        cause = _why(task, served, named, now)
        if cause is not None:
            _add(groups, cause, task)
    yield from _told(groups, now)
    if paused and not any(cause.rank == _PAUSED for cause, _kind in groups):
        yield _of_pauses(paused)


def _why(
    task: WaitingTask, served: set[str], named: pauses.Named, now: datetime.datetime
) -> _Cause | None:
    """Return why a task waits, if that is worth telling."""
    waited = now - task.since
    pause = pauses.of_task(named, queue=task.queue, hook=task.hook, function=task.function)
    if pause is not None:
        return (
            _Cause(_PAUSED, _because_paused(pause), "queues") if waited > WITHOUT_WORKER else None
        )
    if not any(workers.serves(queues, task.queue) for queues in served):
        why = _("because no worker serves the queue “%(queue)s”") % {"queue": task.queue}
        return _Cause(_UNSERVED, why, "queues") if waited > WITHOUT_WORKER else None
    return _Cause(_SLOW, "", "queues") if waited > TOO_LONG else None


def _because_paused(pause: Pause) -> str:
    if pause.kind == Pause.Kind.EVERYTHING:
        return _("because everything is paused")
    templates = {
        Pause.Kind.QUEUE: _("because the queue “%(name)s” is paused"),
        Pause.Kind.HOOK: _("because the hook “%(name)s” is paused"),
        Pause.Kind.FUNCTION: _("because the function “%(name)s” is paused"),
    }
    return templates[Pause.Kind(pause.kind)] % {"name": pause.name}


def _of_pauses(paused: list[Pause]) -> Problem:
    """Return what is paused although nothing waits yet, as somebody may forget it."""
    if any(pause.kind == Pause.Kind.EVERYTHING for pause in paused):
        text = _("All background tasks are paused.")
    elif len(paused) == 1:
        [pause] = paused
        templates = {
            Pause.Kind.QUEUE: _("The queue “%(name)s” is paused."),
            Pause.Kind.HOOK: _("The hook “%(name)s” is paused."),
            Pause.Kind.FUNCTION: _("The function “%(name)s” is paused."),
        }
        text = templates[Pause.Kind(pause.kind)] % {"name": pause.name}
    else:
        text = ngettext(
            "%(number)d queue, hook or function is paused.",
            "%(number)d queues, hooks or functions are paused.",
            len(paused),
        ) % {"number": len(paused)}
    return Problem("warning", text, "", "queues")


# Tell ---------------------------------------------------------------------------------------


def _add(groups: dict[tuple[_Cause, Kind], _Group], cause: _Cause, task: WaitingTask) -> None:
    group = groups.setdefault((cause, effects.kind_of(task.function)), _Group(0, task.since))
    group.number += 1
    group.since = min(group.since, task.since)


def _told(groups: dict[tuple[_Cause, Kind], _Group], now: datetime.datetime) -> Iterator[Problem]:
    """Yield one problem for each group, the gravest first."""
    is_all = sum(group.number for group in groups.values()) < TASKS
    for cause, kind in sorted(groups, key=lambda key: (key[0].rank, KINDS.index(key[1]))):
        yield Problem(
            "critical" if cause.rank < _PAUSED else "warning",
            _text(cause, kind, groups[cause, kind], now, is_all=is_all),
            _("Background tasks are delayed: %(effect)s.") % {"effect": kind.effect},
            cause.page,
        )


def _text(cause: _Cause, kind: Kind, group: _Group, now: datetime.datetime, *, is_all: bool) -> str:
    waiting = str(kind.waiting % {"number": group.number})
    words = {
        "waiting": waiting if is_all else _("At least %(what)s") % {"what": waiting},
        "because": cause.because,
        "late": timesince(group.since, now, depth=1),
        "effect": kind.effect,
    }
    if cause.because:
        return _("%(waiting)s %(because)s: %(effect)s.") % words
    if kind.behind:
        return _("%(behind)s: %(effect)s.") % {**words, "behind": str(kind.behind) % words}
    return _("%(waiting)s, for up to %(late)s: %(effect)s.") % words
