"""What somebody was told that is wrong, and which process may tell it now: only one at a time.

Who tells a target holds it meanwhile. Where a process ends while it does, another one may tell the
same after :data:`LEASE`: better twice than never.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from django.db import DatabaseError, IntegrityError, connections
from django.db.models import Q, QuerySet

from wagtail_async_hooks.ledger.base import database
from wagtail_async_hooks.ledger.locks import brief
from wagtail_async_hooks.models import AlertRecord, AlertTarget
from wagtail_async_hooks.types import AlertProblem
from wagtail_async_hooks.utils.database.errors import is_contention
from wagtail_async_hooks.utils.database.instants import DatabaseNow, FromNow
from wagtail_async_hooks.utils.database.values import fitted

LEASE: Final = 300.0
"""Seconds for which a target is held at most, by a process that tells it something."""

FIRST_DELAY: Final = 60.0
"""Seconds until something is told again after that has failed; twice as many each further time."""

LONGEST_DELAY: Final = 3600.0

KEPT: Final = datetime.timedelta(days=1)
"""For so long it is known at least what is over."""


def alert_records(targets: Iterable[str]) -> list[AlertRecord]:
    """Return what some targets were told, and is not forgotten; one query."""
    records = AlertRecord.objects.using(database()).filter(target__in=list(targets))
    return list(records.order_by("pk"))


def hold_target(name: str) -> str:
    """Hold a target, so that no other process tells it anything.

    :returns: what :func:`record_told` and :func:`record_failure` want; blank if another process
        holds it, or has failed to tell it lately.
    """
    holder = uuid.uuid4().hex
    try:
        return holder if _hold(name, holder) else ""
    except DatabaseError as error:
        if not is_contention(error):
            raise
        return ""  # another process was in the way


def _hold(name: str, holder: str) -> bool:
    alias = database()
    rows = AlertTarget.objects.using(alias).filter(name=name)
    free = rows.filter(Q(held_until__isnull=True) | Q(held_until__lte=DatabaseNow()))
    held = {"holder": holder, "held_until": FromNow(LEASE)}
    with brief(alias):
        if free.update(**held):
            return True
    if rows.exists():
        return False
    try:
        with brief(alias):
            rows.create(name=name, **held)
    except IntegrityError:  # another process came first
        return False
    return True


def release_target(name: str, holder: str) -> None:
    """Hold a target no more; nothing was told."""
    with brief(database()):
        _held(name, holder).update(holder="", held_until=None)


def record_told(
    name: str, holder: str, problems: Sequence[AlertProblem], keep: datetime.timedelta
) -> None:
    """Record that a target was told of some problems, forget what was long ago, and let it go.

    :param keep: for how long it has to be known what is over.
    """
    alias = database()
    rows = AlertRecord.objects.using(alias).filter(target=name)
    with brief(alias):
        for problem in problems:
            if problem.is_over:
                rows.filter(key=problem.key).update(ended_at=DatabaseNow())
            else:
                told = {**_columns(problem), "told_at": DatabaseNow(), "ended_at": None}
                rows.update_or_create(target=name, key=problem.key, defaults=told)
        rows.filter(ended_at__lt=DatabaseNow() - max(keep, KEPT)).delete()
        _held(name, holder).update(holder="", held_until=None, failures=0)


def record_failure(name: str, holder: str, problems: Sequence[AlertProblem]) -> float:
    """Record that a target could not be told of some problems.

    :returns: after how many seconds it may be tried again.
    """
    alias = database()
    rows = AlertRecord.objects.using(alias).filter(target=name)
    with brief(alias):
        for problem in problems:
            if not problem.is_over:
                rows.get_or_create(target=name, key=problem.key, defaults=_columns(problem))
        failures = _held(name, holder).values_list("failures", flat=True).first() or 0
        delay = min(FIRST_DELAY * float(2 ** min(failures, 10)), LONGEST_DELAY)
        _held(name, holder).update(
            holder="", held_until=FromNow(delay), failures=min(failures, 1_000) + 1
        )
    return delay


def record_over(name: str, keys: Sequence[str]) -> None:
    """Record that some problems are over of which nothing is to be said."""
    alias = database()
    with brief(alias):
        rows = AlertRecord.objects.using(alias).filter(target=name, key__in=keys)
        rows.filter(ended_at__isnull=True).update(ended_at=DatabaseNow())


def _held(name: str, holder: str) -> QuerySet[AlertTarget]:
    return AlertTarget.objects.using(database()).filter(name=name, holder=holder)


def _columns(problem: AlertProblem) -> dict[str, object]:
    told = {"kind": problem.kind.value, "title": problem.title, "since": problem.since}
    return fitted(AlertRecord, told, connections[database()])
