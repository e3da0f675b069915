"""When something recurs: by a crontab in a time zone, or whenever a function says so.

Huey parses crontabs. What is added here is the clock on the wall: in autumn a local time may come
twice, in spring it may not come at all.

* A crontab of certain hours means local times, each of which is due once: of two alike the first,
  and one that does not come as much later as clocks are put forward.
* A crontab of every hour means that time passes: it is due whenever the clock shows one of its
  minutes.

cronsim 2.8 was tried instead, and has other rules, those of Debian's cron: ``0 9 1 * 1`` is due on
the first of a month and on every Monday, and ``*/30 2 * * *``, whose minutes begin with ``*``, is
not due at all in Berlin on 29 March 2026, and four times on 25 October. It also leaves out times
that exist (``0 */6 * * *`` at 6:00 on 5 April 2026 in Australia/Lord_Howe, where clocks go back by
half an hour), and returns one that is over (asked at the second 2:10 of 25 October for the next
``30 2 * * *``, the first 2:30).
"""

from __future__ import annotations

import datetime
import zoneinfo
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from django.utils import timezone
from huey.api import crontab

from wagtail_async_hooks.utils.suggestions import nearest

Asked = Callable[[datetime.datetime], bool]
"""A function that says of a naive moment whether something is due."""

DAY: Final = datetime.timedelta(days=1)
MINUTE: Final = datetime.timedelta(minutes=1)

MISSED: Final = ("once", "skip")
"""What can become of what fell due while no worker looked."""

_FIELDS: Final = (
    ("minute", "minute", "0 to 59"),
    ("hour", "hour", "0 to 23"),
    ("day", "day of the month", "1 to 31"),
    ("month", "month", "1 to 12"),
    ("day_of_week", "day of the week", "0 (Sunday) to 6"),
)
"""Huey's name of each field, in their order, with what people call it and what it may be."""

_NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_CALENDAR: Final = 400 * 365 + 97
"""Days after which the calendar repeats itself, weekdays included."""


@dataclass(frozen=True)
class Crontab:
    """Five fields, as Huey understands them; two are alike if their texts are.

    :param text: the fields with one space between them.
    :param is_day: returns whether day, month and weekday match.
    """

    text: str
    minutes: tuple[int, ...] = field(compare=False)
    hours: tuple[int, ...] = field(compare=False)
    is_day: Callable[[datetime.date], bool] = field(compare=False)

    @classmethod
    def parse(cls, text: Any) -> Crontab:
        """Return the crontab of a text.

        :raises ValueError: if it is not one; the message completes "it should be …".
        """
        if not isinstance(text, str):
            raise ValueError('a text such as "*/5 * * * *"')
        fields = _NAMED.get(text.strip().lower(), text).split()
        if len(fields) != len(_FIELDS):
            raise ValueError('five fields such as "*/5 * * * *", or a name such as "@daily"')
        for given, (name, label, range_) in zip(fields, _FIELDS, strict=True):
            _parse_field(given, name, label, range_)
        minute, hour, *day = fields
        is_day = crontab("*", "*", *day)
        first = datetime.date(2000, 1, 1)
        if not any(is_day(first + n * DAY) for n in range(_CALENDAR)):
            raise ValueError("a crontab of days that exist")
        is_minute, is_hour = crontab(minute=minute), crontab(hour=hour)
        moment = datetime.datetime(2000, 1, 1)
        return cls(
            " ".join(fields),
            tuple(n for n in range(60) if is_minute(moment.replace(minute=n))),
            tuple(n for n in range(24) if is_hour(moment.replace(hour=n))),
            is_day,
        )


def _parse_field(given: str, name: str, label: str, range_: str) -> None:
    try:
        crontab(**{name: given}, strict=True)
    except ValueError:
        steps = "" if name == "day_of_week" else ' or "*/2"'
        raise ValueError(
            f'a crontab whose {label} consists of numbers from {range_}, "1-5", "*"{steps}'
        ) from None


def parse_zone(name: Any) -> zoneinfo.ZoneInfo:
    """Return the time zone of a name.

    :raises ValueError: if there is none; the message completes "it should be …".
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (TypeError, ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        near = nearest(str(name), zoneinfo.available_timezones()) or "Europe/Berlin"
        raise ValueError(f'the name of a time zone such as "{near}"') from None


class Times(Protocol):
    """When something is due."""

    @property
    def text(self) -> str:
        """The crontab; blank if there is none."""

    @property
    def zone(self) -> datetime.tzinfo:
        """Where the clock hangs."""

    def is_due(self, moment: datetime.datetime) -> bool:
        """Return whether a minute is due, which is naive and in UTC as Huey's times are."""

    def after(self, moment: datetime.datetime) -> datetime.datetime:
        """Return when to look next, later than a moment."""

    def latest(self, first: datetime.datetime, last: datetime.datetime) -> datetime.datetime | None:
        """Return the latest of the times that are due from one moment to another.

        :param first: what :meth:`after` returned, and has come.
        """


class CrontabTimes(NamedTuple):
    """A crontab in a time zone."""

    crontab: Crontab
    zone: datetime.tzinfo

    @property
    def text(self) -> str:
        """See :class:`Times`."""
        return self.crontab.text

    def is_due(self, moment: datetime.datetime) -> bool:
        """See :class:`Times`."""
        minute = _minute(moment.replace(tzinfo=datetime.UTC))
        return self.after(minute - MINUTE) == minute

    def after(self, moment: datetime.datetime) -> datetime.datetime:
        """See :class:`Times`."""
        today = moment.astimezone(self.zone).date()
        for number in range(-1, _CALENDAR):
            both = self._around(today + number * DAY)
            if later := [due[bisect_right(due, moment)] for due in both if due[-1] > moment]:
                return min(later)
        raise AssertionError(f"{self.text} is never due")  # parse() has seen to that

    def latest(self, first: datetime.datetime, last: datetime.datetime) -> datetime.datetime | None:
        """See :class:`Times`."""
        today = last.astimezone(self.zone).date()
        while today >= first.astimezone(self.zone).date():
            both = self._around(today - DAY)
            if earlier := [due[bisect_right(due, last) - 1] for due in both if due[0] <= last]:
                return max(first, *earlier)
            today -= DAY
        return first

    def _around(self, day: datetime.date) -> list[tuple[datetime.datetime, ...]]:
        """Return what is due on a day and on the next one, each in order.

        They may overlap, where a time of the first one is put off until after midnight.
        """
        days = [date for date in (day, day + DAY) if self.crontab.is_day(date)]
        found = [_due_on(self.crontab, self.zone, date) for date in days]
        return [due for due in found if due]


@lru_cache(maxsize=64)
def _due_on(
    crontab: Crontab, zone: datetime.tzinfo, day: datetime.date
) -> tuple[datetime.datetime, ...]:
    """Return the moments, in UTC, at which a crontab is due on a day that is one of its days."""
    found = set()
    for hour in crontab.hours:
        for minute in crontab.minutes:
            local = datetime.datetime.combine(day, datetime.time(hour, minute), zone)
            found.update(_passing(local) if len(crontab.hours) == 24 else [_once(local)])
    return tuple(sorted(found))


def _once(local: datetime.datetime) -> datetime.datetime:
    """Return when a local time comes first; of one that does not come, as much later as clocks go.

    That is what Python makes of it by itself.
    """
    return local.astimezone(datetime.UTC)


def _passing(local: datetime.datetime) -> list[datetime.datetime]:
    """Return when the clock shows a local time: once, twice, or never."""
    moments = [local.replace(fold=fold).astimezone(datetime.UTC) for fold in (0, 1)]
    shown = [moment.astimezone(local.tzinfo).replace(tzinfo=None) for moment in moments]
    return [m for m, told in zip(moments, shown, strict=True) if told == local.replace(tzinfo=None)]


class AskedTimes(NamedTuple):
    """A function that is asked about each minute once that has come, as Huey does: in UTC.

    It may answer differently at another time, so it is not asked in advance.
    """

    asked: Asked
    text: str = ""
    zone: datetime.tzinfo = datetime.UTC

    def is_due(self, moment: datetime.datetime) -> bool:
        """See :class:`Times`."""
        return bool(self.asked(moment))

    def after(self, moment: datetime.datetime) -> datetime.datetime:
        """See :class:`Times`."""
        return _minute(moment) + MINUTE

    def latest(self, first: datetime.datetime, last: datetime.datetime) -> datetime.datetime | None:
        """See :class:`Times`; asks about a day at most."""
        minute = _minute(last)
        while minute > last - DAY and minute + MINUTE > first:
            if self.is_due(minute.replace(tzinfo=None)):
                return minute
            minute -= MINUTE
        return None


def _minute(moment: datetime.datetime) -> datetime.datetime:
    return moment.astimezone(datetime.UTC).replace(second=0, microsecond=0)


def times_of(due: str | Asked, time_zone: str = "") -> Times:
    """Return when a function that is decorated is due.

    :param due: a crontab, or a function that is asked.
    :param time_zone: where the clock of a crontab hangs; by default that of Django's.
    :raises ValueError: if one of them cannot be used.
    """
    if callable(due):
        if time_zone:
            raise ValueError(
                'time_zone needs a crontab that is text, such as "0 3 * * *"; '
                "a function is asked in UTC."
            )
        return AskedTimes(due)
    try:
        parsed = Crontab.parse(due)
    except ValueError as error:
        raise ValueError(f"The crontab should be {error}, but is {due!r}.") from None
    try:
        zone = parse_zone(time_zone) if time_zone else timezone.get_default_timezone()
    except ValueError as error:
        raise ValueError(f"time_zone should be {error}, but is {time_zone!r}.") from None
    return CrontabTimes(parsed, zone)
