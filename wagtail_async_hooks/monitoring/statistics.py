"""What became of tasks over time, as charts show it, from what workers have counted.

Each series is one query over the rows of its time. How many those are depends on how many workers,
queues and functions there are, and not on how many tasks.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from django.db.models import F, Max, Min, Sum
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import QueueSample, TaskStatistic

RECENT: Final = datetime.timedelta(minutes=15)
"""The time whose throughput says how long a queue may take."""

LEAST: Final = 30.0
"""Seconds that tasks are thought to have taken at least; what was just begun tells little."""


class Period(NamedTuple):
    """A time that charts show, up to now.

    :param name: short, for addresses.
    :param label: for people.
    :param bars: number of equal parts.
    :param step: their length.
    """

    name: str
    label: Promise
    bars: int
    step: datetime.timedelta

    def starts(self, now: datetime.datetime) -> list[datetime.datetime]:
        """Return when the parts begin, in the active time zone; now is in the last of them.

        They begin where a clock on the wall shows full steps, at the end of the period.
        """
        local = timezone.localtime(now)
        ahead = local.utcoffset() or datetime.timedelta()
        last = ledger.start_of(now + ahead, self.step) - ahead
        first = ledger.start_of(last) - (self.bars - 1) * self.step
        return [timezone.localtime(first + number * self.step) for number in range(self.bars)]


PERIODS: Final = (
    Period("1h", _("Last hour"), 12, datetime.timedelta(minutes=5)),
    Period("24h", _("Last 24 hours"), 48, datetime.timedelta(minutes=30)),
    Period("7d", _("Last 7 days"), 42, datetime.timedelta(hours=4)),
)


class Ended(NamedTuple):
    """How attempts ended, for each part of a period.

    :param otherwise: cancelled, or expired.
    :param repeated: those after which the task was to run again.
    """

    succeeded: list[int]
    failed: list[int]
    otherwise: list[int]
    repeated: list[int]


class Waited(NamedTuple):
    """Of the tasks that waited, for each part of a period.

    :param most: how many there were at most; of each queue, up to ``ledger.queues.MANY``.
    :param oldest: seconds for which the one that had waited longest had waited.
    """

    most: list[int]
    oldest: list[float]


def ended(period: Period, now: datetime.datetime) -> Ended:
    """Return how attempts ended; one query.

    :param now: what the ledger's clock says.
    """
    names = ("succeeded", "failed", "ended_otherwise", "repeated")
    first = period.starts(now)[0]
    rows = _since(TaskStatistic, first).values_list("start").order_by()
    found = Ended(*([0] * period.bars for _ in names))
    for bar, numbers in _by_bar(rows.annotate(*map(Sum, names)), period, first):
        for values, number in zip(found, numbers, strict=True):
            values[bar] += number
    return found


def waited(period: Period, now: datetime.datetime) -> Waited:
    """Return how many tasks waited, and for how long; one query.

    :param now: what the ledger's clock says.
    """
    first = period.starts(now)[0]
    rows = _since(QueueSample, first).values_list("start").order_by()
    found = Waited([0] * period.bars, [0.0] * period.bars)
    for bar, (number, oldest) in _by_bar(
        rows.annotate(Sum("waiting"), Max("oldest")), period, first
    ):
        found.most[bar] = max(found.most[bar], number)
        found.oldest[bar] = max(found.oldest[bar], oldest)
    return found


def expected_waits(
    waiting: Mapping[str, int], now: datetime.datetime | None = None
) -> dict[str, datetime.timedelta | None]:
    """Return how long it may take until what waits now is done, by queue; at most two queries.

    :param waiting: how many tasks wait in each queue, as of ``ledger.waiting_by_queue``.
    :param now: what the database's clock says, if that is known.
    :returns: ``None`` for queues of which nothing was done recently: nobody knows.
    """
    if not any(waiting.values()):
        return dict.fromkeys(waiting, datetime.timedelta())
    rates = _rates(now or ledger.clock())
    return {
        queue: _seconds(number / rates[queue]) if number and queue in rates else _of_none(number)
        for queue, number in waiting.items()
    }


def expected_wait(queue: str) -> datetime.timedelta | None:
    """Return how long it may take until what waits in a queue is done; ``None`` if that is unknown.

    For several queues, :func:`expected_waits` costs less.
    """
    return expected_waits({queue: ledger.count_waiting(queue)})[queue]


def latest_oldest(now: datetime.datetime) -> datetime.timedelta | None:
    """Return how long the oldest task had waited when that was looked at last; one query.

    :returns: ``None`` if no worker has looked in the last minutes.
    """
    rows = _since(QueueSample, ledger.start_of(now - 2 * datetime.timedelta(minutes=5)))
    oldest = rows.order_by("-start", "-oldest").values_list("oldest", flat=True).first()
    return None if oldest is None else _seconds(oldest)


def _since(model: Any, start: datetime.datetime) -> Any:
    return model.objects.using(ledger.database()).filter(start__gte=start)


def _by_bar(rows: Any, period: Period, first: datetime.datetime) -> Iterator[tuple[int, list[Any]]]:
    """Yield which part of a period each row is of, and the rest of it.

    :param rows: that begin with their start.
    """
    for start, *values in rows:
        bar = (start - first) // period.step
        if bar < period.bars:  # otherwise the database's clock was put back
            yield bar, values


def _rates(now: datetime.datetime) -> dict[str, float]:
    """Return how many tasks a second each queue's workers have done recently."""
    rows = _since(TaskStatistic, ledger.start_of(now - RECENT)).order_by()
    done = Sum(F("succeeded") + F("failed") + F("ended_otherwise"))
    grouped = rows.values_list("queue").annotate(done=done, first=Min("start"))
    return {
        queue: number / max(LEAST, (now - first).total_seconds())
        for queue, number, first in grouped
        if number
    }


def _of_none(number: int) -> datetime.timedelta | None:
    return None if number else datetime.timedelta()


def _seconds(number: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=round(number, 1))
