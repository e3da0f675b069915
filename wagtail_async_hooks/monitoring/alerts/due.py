"""What a target is to be told now, by what it was told before."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Final, NamedTuple

from wagtail_async_hooks import conf
from wagtail_async_hooks.models import AlertRecord
from wagtail_async_hooks.monitoring.alerts.conditions import Found
from wagtail_async_hooks.types import AlertKind, AlertProblem
from wagtail_async_hooks.utils.time import local_text

GATHERED: Final = 300.0
"""Seconds between two messages with new errors at least, so that those in between are gathered."""

_ONCE: Final = (AlertKind.NEW_ERROR,)
"""Kinds that are told once, as long as they last, and not told to be over: nobody knows."""


class Due(NamedTuple):
    """What is due.

    :param problems: what is to be told: what is wrong, and then, what is over.
    :param over: keys of what is over without a word.
    """

    problems: tuple[AlertProblem, ...]
    over: tuple[str, ...]


def due(found: Found, records: Iterable[AlertRecord], now: datetime.datetime) -> Due:
    """Return what a target is to be told.

    :param records: what it was told.
    :param now: what the database's clock said before all that was found. What a target was told
        since is not judged by it.
    """
    known = {record.key: record for record in records}
    begun = [each for each in found.problems if _is_due(each, known.get(each.key), now)]
    if _has_heard_of_errors(known.values(), now):
        begun = [each for each in begun if each.kind not in _ONCE]
    lasting = {problem.key for problem in found.problems}
    over = [
        record
        for record in known.values()
        if record.kind in found.kinds and record.key not in lasting and _lasted(record, now)
    ]
    told = [each for each in over if conf.current().alerts.over and each.kind not in _ONCE]
    silent = tuple(each.key for each in over if each not in told)
    return Due((*begun, *(_over(record) for record in told)), silent)


def interval() -> datetime.timedelta:
    """Return how much time passes between two messages about the same thing at least."""
    return datetime.timedelta(seconds=conf.current().alerts.every or 0)


def _is_due(problem: AlertProblem, record: AlertRecord | None, now: datetime.datetime) -> bool:
    if record is None or record.told_at is None:
        return True
    if record.ended_at is not None and record.ended_at >= now:
        return False  # who has seen that it is over has looked later
    lasts = record.ended_at is None
    if lasts and (problem.kind in _ONCE or conf.current().alerts.every is None):
        return False
    return bool(now - record.told_at >= interval())


def _lasted(record: AlertRecord, now: datetime.datetime) -> bool:
    """Return whether it lasted, for all that the target knew, before somebody looked."""
    return record.ended_at is None and (record.told_at is None or record.told_at < now)


def _has_heard_of_errors(records: Iterable[AlertRecord], now: datetime.datetime) -> bool:
    gathered = datetime.timedelta(seconds=GATHERED)
    every = conf.current().alerts.every
    least = gathered if every is None else min(gathered, interval())
    told = (record.told_at for record in records if record.kind in _ONCE)
    return any(at is not None and now - at < least for at in told)


def _over(record: AlertRecord) -> AlertProblem:
    untold = "" if record.told_at else " It could not be told before."
    return AlertProblem(
        key=record.key,
        kind=AlertKind(record.kind),
        title=record.title,
        text=f"It is over. It began at {local_text(record.since)}.{untold}",
        remedy="",
        since=record.since,
        is_over=True,
    )
