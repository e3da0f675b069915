"""What is wrong, as far as ``WAGTAIL_TASKS["ALERTS"]`` asks for it. Nothing is changed."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from django.conf import settings
from django.db.models import Sum
from django.urls import NoReverseMatch, reverse

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.models import TaskStatistic
from wagtail_async_hooks.monitoring import errors, pauses, workers
from wagtail_async_hooks.monitoring.doctor import workers as doctor_workers
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity
from wagtail_async_hooks.monitoring.errors import Group
from wagtail_async_hooks.monitoring.moment import TASKS, Moment, WaitingTask
from wagtail_async_hooks.monitoring.problems import BETWEEN_DRAINS
from wagtail_async_hooks.types import AlertKind, AlertProblem
from wagtail_async_hooks.utils.text import cut, one_line
from wagtail_async_hooks.utils.time import elapsed_text

QUIET: Final = datetime.timedelta(days=1)
"""A group of errors is over, and would be new again, when no task has failed with it for so long.
"""

RATE_PERIOD: Final = datetime.timedelta(minutes=15)
"""The time in which tasks have ended whose failures are counted, and up to five minutes more."""

_NAMED: Final = 3
"""So many functions are named that fail most."""

_DOCTOR: Final = "manage.py wagtail_tasks doctor (says why)"
_TOLD_OTHERWISE: Final = (Code.NO_WORKER, Code.UNSERVED_QUEUE, Code.WAITING)
"""What the doctor finds that has a threshold of its own here."""
_CUTS_SHORT: Final = (
    *(Code.SETTINGS, Code.HOOKS, Code.DATABASE, Code.MIGRATIONS, Code.TABLES, Code.NOT_EXAMINED),
)
"""With these, not all was examined, so that nothing of the doctor's is known to be over."""


class Found(NamedTuple):
    """What one look has found.

    :param problems: what is wrong.
    :param kinds: of which kinds all is known, so that what is not among the problems is over.
    """

    problems: tuple[AlertProblem, ...]
    kinds: frozenset[AlertKind]

    def and_also(self, other: Found) -> Found:
        """Return what both have found."""
        return Found((*self.problems, *other.problems), self.kinds | other.kinds)


NOTHING: Final = Found((), frozenset())


def of_errors(now: datetime.datetime) -> Found:
    """Return groups of errors that occur, and whether too many tasks fail; at most four queries.

    :param now: what the database's clock says.
    """
    options = conf.current().alerts
    found: list[AlertProblem] = []
    if options.new_errors:
        groups = errors.errors().open
        found += [_of_group(group) for group in groups if now - group.last_seen < QUIET]
    if options.failure_rate is not None:
        found += _failing(options, now)
    return Found(tuple(found), frozenset({AlertKind.NEW_ERROR, AlertKind.FAILURE_RATE}))


def of_workers(moment: Moment) -> Found:
    """Return whether tasks wait for too long, or no worker serves them; two queries at most."""
    options = conf.current().alerts
    known = frozenset({AlertKind.NO_WORKER, AlertKind.WAITING})
    absent = [] if options.no_worker is None else list(_absent(moment, options.no_worker))
    if not moment.living and absent:
        # That tasks wait follows from it. It is not over either.
        return Found(tuple(absent), known - {AlertKind.WAITING})
    unserved = {problem.key.partition(":")[2] for problem in absent}
    waiting = [] if options.waiting is None else list(_late(moment, options.waiting, unserved))
    return Found((*absent, *waiting), known)


def of_doctor(findings: Sequence[Finding], now: datetime.datetime) -> Found:
    """Return what else the doctor has found that is critical."""
    by_code: dict[Code, list[Finding]] = {}
    for finding in findings:
        if finding.severity is Severity.CRITICAL and finding.code not in _TOLD_OTHERWISE:
            by_code.setdefault(finding.code, []).append(finding)
    problems = tuple(
        AlertProblem(
            key=f"doctor:{code}",
            kind=AlertKind.DOCTOR,
            title=cut(one_line(first.text).partition(". ")[0].rstrip("."), 120),
            text=" ".join(one_line(each.text) for each in (first, *others)),
            remedy="; ".join(dict.fromkeys(one_line(each.remedy) for each in (first, *others))),
            since=now,
        )
        for code, (first, *others) in by_code.items()
    )
    is_all = not any(finding.code in _CUTS_SHORT for finding in findings)
    return Found(problems, frozenset({AlertKind.DOCTOR} if is_all else ()))


def admin_url(name: str, *arguments: object) -> str:
    """Return the address of one of our pages in the admin; blank if nobody knows it."""
    base = getattr(settings, "WAGTAILADMIN_BASE_URL", None)
    try:
        path = reverse(f"wagtail_async_hooks:{name}", args=arguments)
    except NoReverseMatch:
        return ""
    return f"{str(base).rstrip('/')}{path}" if base else ""


# Errors -------------------------------------------------------------------------------------


def _of_group(group: Group) -> AlertProblem:
    # Not what the error says: that may hold anything.
    tasks = "1 task of" if group.number == 1 else f"{group.number} tasks of"
    where = f", raised in {group.error_place}" if group.error_place else ""
    what = group.error_type or "No exception: its worker died, or it was given up"
    release = f" It was first seen in the release {group.first_release}." if group.is_new else ""
    function = group.function or "a function that is not known"
    return AlertProblem(
        key=f"{AlertKind.NEW_ERROR}:{group.key}",
        kind=AlertKind.NEW_ERROR,
        title=one_line(f"New error: {group.title}"),
        text=one_line(f"{what}{where}: {tasks} {function} failed.{release}"),
        remedy="manage.py wagtail_tasks errors (and when it is corrected: manage.py wagtail_tasks "
        f"retry --state=failed --function={shlex.quote(group.function)})",
        since=group.first_seen,
        url=admin_url("error", group.key),
    )


def _failing(options: conf.AlertOptions, now: datetime.datetime) -> Iterator[AlertProblem]:
    start = ledger.start_of(now - RATE_PERIOD)
    rows = TaskStatistic.objects.using(ledger.database()).filter(start__gte=start).order_by()
    grouped = rows.values_list("hook", "function").annotate(Sum("failed"), Sum("succeeded"))
    counts = list(grouped)
    failed = sum(row[2] for row in counts)
    ended = failed + sum(row[3] for row in counts)
    if ended < options.failure_minimum or failed < (options.failure_rate or 0) * ended:
        return
    worst = sorted((row for row in counts if row[2]), key=lambda row: (-row[2], row[:2]))
    named = ", ".join(f"{function or hook} ({number})" for hook, function, number, _ in worst[:3])
    others = " and others" if len(worst) > _NAMED else ""
    yield AlertProblem(
        key=AlertKind.FAILURE_RATE.value,
        kind=AlertKind.FAILURE_RATE,
        title=f"{failed * 100 // ended} % of the background tasks fail",
        text=one_line(
            f"{failed} of the {ended} tasks that ended in the last quarter of an hour have failed: "
            f"{named}{others}."
        ),
        remedy="manage.py wagtail_tasks errors",
        since=start,
        url=admin_url("errors"),
    )


# Workers ------------------------------------------------------------------------------------


def _absent(moment: Moment, patience: float) -> Iterator[AlertProblem]:
    """Yield that no worker is alive, or the queues in which tasks wait that none serves."""
    limit = datetime.timedelta(seconds=patience)
    if not moment.living:
        since = _since_nobody(moment)
        if since is not None and moment.time - since > _patience(moment, limit):
            yield _nobody(moment, since)
        return
    for queue, tasks in _by_queue(moment).items():
        since = min(task.since for task in tasks)
        served = any(workers.serves(row.queues, queue) for row in moment.living)
        if not served and moment.time - since > limit:
            yield AlertProblem(
                key=f"{AlertKind.NO_WORKER}:{queue}",
                kind=AlertKind.NO_WORKER,
                title=one_line(f"No worker serves the queue “{queue}”"),
                text=one_line(
                    f"No living worker serves the queue “{queue}”. {_wait(moment, tasks)}"
                ),
                remedy=one_line(f"manage.py wagtail_worker --queue {shlex.quote(queue)}"),
                since=since,
                url=admin_url("queues"),
            )


def _since_nobody(moment: Moment) -> datetime.datetime | None:
    """Return since when no worker has been alive; of a site without any, since a task waits."""
    if moment.workers:
        last = moment.workers[0]
        since: datetime.datetime = last.stopped_at or last.heartbeat_at
        return since
    tasks = [*moment.waiting, *moment.overdue]
    return min((task.since for task in tasks), default=None)


def _patience(moment: Moment, given: datetime.timedelta) -> datetime.timedelta:
    """Return how long to wait for a worker: where the last one has stopped by itself, as one does
    that cron starts, at least as long as between two of those.
    """
    if moment.workers and not workers.has_died(moment.workers[0], moment):
        return max(given, BETWEEN_DRAINS)
    return given


def _nobody(moment: Moment, since: datetime.datetime) -> AlertProblem:
    finding = doctor_workers.nobody(moment)
    return AlertProblem(
        key=AlertKind.NO_WORKER.value,
        kind=AlertKind.NO_WORKER,
        title="No worker is alive",
        text=one_line(finding.text),
        remedy=finding.remedy,
        since=since,
        url=admin_url("workers"),
    )


# Waiting tasks ------------------------------------------------------------------------------


def _late(moment: Moment, patience: float, but: set[str]) -> Iterator[AlertProblem]:
    """Yield the queues in which a task has waited for too long.

    :param but: queues of which it is told already why.
    """
    limit = datetime.timedelta(seconds=patience)
    for queue, tasks in _by_queue(moment).items():
        since = min(task.since for task in tasks)
        if queue not in but and moment.time - since > limit:
            yield AlertProblem(
                key=f"{AlertKind.WAITING}:{queue}",
                kind=AlertKind.WAITING,
                title=one_line(f"Tasks of the queue “{queue}” wait for too long"),
                text=one_line(_wait(moment, tasks)),
                remedy=_DOCTOR,
                since=since,
                url=admin_url("queues"),
            )


def _by_queue(moment: Moment) -> dict[str, list[WaitingTask]]:
    """Return the tasks that could run and are not paused, by queue."""
    named = pauses.by_name(moment.pauses)
    found: dict[str, list[WaitingTask]] = {}
    for task in (*moment.waiting, *moment.overdue):
        if not pauses.of_task(named, queue=task.queue, hook=task.hook, function=task.function):
            found.setdefault(task.queue, []).append(task)
    if len(moment.waiting) >= TASKS:
        for queue, since in _behind(moment, named):
            task = WaitingTask(queue, "", "", None, since)
            found.setdefault(queue, []).append(task)
    return found


def _behind(moment: Moment, named: pauses.Named) -> Iterator[tuple[str, datetime.datetime]]:
    """Yield since when tasks wait in each queue, where so many do that not all were read."""
    if any(pause.kind in ("hook", "function") for pause in moment.pauses):
        return  # whether the oldest is paused cannot be told
    for queue, oldest in ledger.oldest_by_queue().items():
        if not pauses.of_task(named, queue=queue):
            yield queue, oldest.since


def _wait(moment: Moment, tasks: list[WaitingTask]) -> str:
    since = min(task.since for task in tasks)
    longest = elapsed_text(since, moment.time)
    if len(tasks) == 1:
        return f"A task has waited for {longest}."
    some = "At least " if len(moment.waiting) >= TASKS else ""
    return f"{some}{len(tasks)} tasks wait, the oldest for {longest}."
