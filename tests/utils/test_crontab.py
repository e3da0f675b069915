"""Tests of when something recurs, against the clock on the wall read minute by minute."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from functools import cache
from typing import Any

import pytest
from django.test import override_settings
from huey.api import crontab
from hypothesis import given, settings
from hypothesis import strategies as st

from wagtail_async_hooks.utils.crontab import (
    AskedTimes,
    Crontab,
    CrontabTimes,
    parse_zone,
    times_of,
)

DAY = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)

CHANGES = {
    "Europe/Berlin": ["2026-03-29", "2026-10-25"],
    "America/New_York": ["2026-03-08", "2026-11-01"],
    "America/St_Johns": ["2011-03-13", "2011-11-06"],  # at one minute past midnight
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04"],  # by half an hour
    "Africa/Cairo": ["2026-04-24", "2026-10-29"],  # at midnight
    "Pacific/Apia": ["2011-12-30"],  # a whole day that never was
    "Asia/Kolkata": ["2026-01-01"],
    "UTC": ["2028-02-29"],
}
"""Days on which clocks are changed, or not, in different ways."""


def utc(text: str) -> datetime.datetime:
    """Return a moment."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def times(text: str, zone: str = "Europe/Berlin") -> CrontabTimes:
    """Return when a crontab is due."""
    return CrontabTimes(Crontab.parse(text), zoneinfo.ZoneInfo(zone))


def due(found: CrontabTimes, first: datetime.datetime, last: datetime.datetime) -> list[Any]:
    """Return all that is due between two moments, the first one excluded."""
    moments = []
    while (first := found.after(first)) <= last:
        moments.append(first)
    return moments


def local(found: CrontabTimes, first: str, last: str) -> list[str]:
    """Return what the clocks show when something is due between two moments in UTC."""
    moments = due(found, utc(first), utc(last))
    return [f"{moment.astimezone(found.zone):%d. %H:%M %z}" for moment in moments]


# Daylight saving ----------------------------------------------------------------------------


def test_after__a_local_time_that_does_not_come_is_put_off_by_as_much() -> None:
    assert local(times("30 2 * * *"), "2026-03-27T12:00", "2026-03-31T00:00") == [
        "28. 02:30 +0100",
        "29. 03:30 +0200",
        "30. 02:30 +0200",
    ]


def test_after__a_local_time_that_comes_twice_is_due_once() -> None:
    assert local(times("30 2 * * *"), "2026-10-23T12:00", "2026-10-26T12:00") == [
        "24. 02:30 +0200",
        "25. 02:30 +0200",
        "26. 02:30 +0100",
    ]


def test_after__what_recurs_every_hour_makes_no_pause_in_autumn() -> None:
    assert local(times("*/30 * * * *"), "2026-10-24T23:59", "2026-10-25T02:00") == [
        "25. 02:00 +0200",
        "25. 02:30 +0200",
        "25. 02:00 +0100",
        "25. 02:30 +0100",
        "25. 03:00 +0100",
    ]


def test_after__what_recurs_every_hour_does_not_pile_up_in_spring() -> None:
    assert local(times("15,45 * * * *"), "2026-03-29T00:00", "2026-03-29T02:00") == [
        "29. 01:15 +0100",
        "29. 01:45 +0100",
        "29. 03:15 +0200",
        "29. 03:45 +0200",
    ]


class Wall:
    """A clock on a wall, read every minute of the days around one.

    :param zone: where it hangs.
    :param day: the day, on which it may be changed.
    """

    def __init__(self, zone: str, day: str) -> None:
        self.shows: dict[datetime.datetime, datetime.datetime] = {}
        self.left_out: dict[datetime.datetime, datetime.datetime] = {}
        moment, before = utc(day) - 3 * DAY, None
        while moment < utc(day) + 5 * DAY:
            now = moment.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None)
            self.shows[moment] = now
            while before is not None and now - before > MINUTE:
                before += MINUTE
                self.left_out[before] = now
            before = now
            moment += MINUTE

    def due(self, text: str) -> set[datetime.datetime]:
        """Return the minutes at which a crontab is due."""
        matches, hour = crontab(*text.split()), crontab(hour=text.split()[1])
        if all(hour(datetime.datetime(2000, 1, 1, h)) for h in range(24)):
            return {moment for moment, now in self.shows.items() if matches(now)}
        first = {now: moment for moment, now in reversed(self.shows.items())}
        found = {moment for now, moment in first.items() if matches(now)}
        ends = set(self.left_out.values())
        starts = [now for now in self.left_out if now - MINUTE not in self.left_out]
        gaps = {end: end - start for end, start in zip(sorted(ends), sorted(starts), strict=True)}
        return found | {
            first[now + gaps[end]] for now, end in self.left_out.items() if matches(now)
        }


WALLS = cache(Wall)


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    """Return fields of a crontab."""
    one = st.integers(low, high).map(str)
    return st.one_of(
        st.just("*"),
        one,
        st.lists(one, min_size=2, max_size=4).map(",".join),
        st.tuples(one, one).map("-".join),
    )


steps = st.integers(1, 40).map(lambda n: f"*/{n}")
crontabs = st.tuples(
    numbers(0, 59) | steps,
    st.just("*") | numbers(0, 4) | numbers(0, 23) | steps,
    st.just("*") | steps,
    st.just("*"),
    st.just("*") | numbers(0, 7),
).map(" ".join)
changes = st.sampled_from([(zone, day) for zone, days in CHANGES.items() for day in days])


@settings(deadline=None, max_examples=30)  # some zones are read from a file first
@given(text=crontabs, change=changes, hours=st.integers(-30, 12), looked=st.integers(0, 2880))
def test_times__are_those_on_the_wall(
    text: str, change: tuple[str, str], hours: int, looked: int
) -> None:
    found = times(text, change[0])
    first = utc(change[1]) + datetime.timedelta(hours=hours)
    last = first + 2 * DAY
    expected = sorted(moment for moment in WALLS(*change).due(text) if first < moment <= last)

    assert due(found, first, last) == expected
    if expected:
        now = max(expected[0], first + looked * MINUTE)
        assert found.latest(expected[0], now) == max(m for m in expected if m <= now)


def test_latest__is_never_before_the_first() -> None:
    edited = utc("2026-05-05T12:07:31")

    assert times("*/5 * * * *").latest(edited, edited + MINUTE) == edited


def test_after__finds_a_day_that_comes_once_in_decades() -> None:
    found = times("0 0 29 2 1", "UTC")

    assert found.after(utc("2073-01-01")) == utc("2112-02-29")
    assert found.latest(utc("2072-02-29"), utc("2112-02-28")) == utc("2072-02-29")


# Crontabs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("  */5   * * *  * ", "*/5 * * * *"),
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_parse__the_text(text: str, meant: str) -> None:
    assert Crontab.parse(text).text == meant


def test_parse__fields_are_those_of_huey() -> None:
    found = Crontab.parse("50-10/5,30 */6 1 1-3 5")

    assert found.minutes == (0, 5, 10, 30, 50, 55)
    assert found.hours == (0, 6, 12, 18)
    fridays = [m for m in range(1, 13) if found.is_day(datetime.date(2027, m, 1))]
    assert fridays == [1]  # day and weekday have to be right, both of them


FIELD = 'consists of numbers from {}, "1-5", "*"{}'


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, 'a text such as "*/5 * * * *"'),
        (b"* * * * *", 'a text such as "*/5 * * * *"'),
        ("", 'five fields such as "*/5 * * * *", or a name such as "@daily"'),
        ("* * * *", 'five fields such as "*/5 * * * *", or a name such as "@daily"'),
        ("@dayly", 'five fields such as "*/5 * * * *", or a name such as "@daily"'),
        ("60 * * * *", "a crontab whose minute " + FIELD.format("0 to 59", ' or "*/2"')),
        ("*/0 * * * *", "a crontab whose minute " + FIELD.format("0 to 59", ' or "*/2"')),
        ("* 24 * * *", "a crontab whose hour " + FIELD.format("0 to 23", ' or "*/2"')),
        ("* * 0 * *", "a crontab whose day of the month " + FIELD.format("1 to 31", ' or "*/2"')),
        ("* * * JAN *", "a crontab whose month " + FIELD.format("1 to 12", ' or "*/2"')),
        ("* * * * 8", "a crontab whose day of the week " + FIELD.format("0 (Sunday) to 6", "")),
        ("* * * * */2", "a crontab whose day of the week " + FIELD.format("0 (Sunday) to 6", "")),
        ("0 0 30 2 *", "a crontab of days that exist"),
    ],
)
def test_parse__mistakes(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Crontab.parse(wrong)


# Functions that are asked -------------------------------------------------------------------


def test_asked__about_the_minutes_that_have_come_newest_first() -> None:
    asked: list[datetime.datetime] = []

    def is_due(moment: datetime.datetime) -> bool:
        asked.append(moment)
        return moment.minute == 3

    found = AskedTimes(is_due)
    first, last = utc("2026-05-05T12:01"), utc("2026-05-05T12:05:20")

    assert found.latest(first, last) == utc("2026-05-05T12:03")
    assert [moment.minute for moment in asked] == [5, 4, 3]
    assert asked[0].tzinfo is None
    assert found.after(last) == utc("2026-05-05T12:06")


def test_asked__about_no_minute_twice() -> None:
    asked: list[int] = []
    found = AskedTimes(lambda moment: asked.append(moment.minute))  # type: ignore[arg-type,func-returns-value]
    now = utc("2026-05-05T12:00")
    for _ in range(3):
        later = found.after(now)
        assert found.latest(later, later + MINUTE / 2) is None
        now = later + MINUTE / 2

    assert asked == [1, 2, 3]


def test_asked__about_a_day_at_most() -> None:
    asked: list[datetime.datetime] = []
    found = AskedTimes(lambda moment: asked.append(moment))  # type: ignore[arg-type,func-returns-value]

    assert found.latest(utc("2020-01-01"), utc("2026-01-01")) is None
    assert len(asked) == 1440


# What a decorator is given ------------------------------------------------------------------


def test_times_of__a_text_is_in_djangos_time_zone() -> None:
    with override_settings(TIME_ZONE="Asia/Tokyo"):
        assert str(times_of("@daily").zone) == "Asia/Tokyo"
    assert str(times_of("@daily", "Europe/Rome").zone) == "Europe/Rome"


def test_times_of__a_function_is_asked_in_utc() -> None:
    found = times_of(crontab(minute="0", hour="3"))

    assert (found.text, str(found.zone)) == ("", "UTC")
    assert found.is_due(datetime.datetime(2026, 5, 5, 3, 0))
    assert not found.is_due(datetime.datetime(2026, 5, 5, 3, 1))


def test_is_due__of_a_text_is_asked_in_utc_too() -> None:
    found = times("30 2 * * *")

    assert found.is_due(datetime.datetime(2026, 3, 29, 1, 30, 59))
    assert not found.is_due(datetime.datetime(2026, 3, 29, 0, 30))


@pytest.mark.parametrize(
    ("due", "time_zone", "message"),
    [
        (
            "every day",
            "",
            'The crontab should be five fields such as "*/5 * * * *", or a name such as "@daily", '
            "but is 'every day'.",
        ),
        (
            "@daily",
            "Europe/Berln",
            'time_zone should be the name of a time zone such as "Europe/Berlin", '
            "but is 'Europe/Berln'.",
        ),
        (
            crontab(minute="0"),
            "Europe/Berlin",
            'time_zone needs a crontab that is text, such as "0 3 * * *"; '
            "a function is asked in UTC.",
        ),
    ],
)
def test_times_of__mistakes(due: Any, time_zone: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        times_of(due, time_zone)


@pytest.mark.parametrize("wrong", ["Europe", "/etc/passwd", "", None, "../UTC", "Nowhere/At all"])
def test_parse_zone__mistakes(wrong: Any) -> None:
    with pytest.raises(ValueError, match="the name of a time zone such as "):
        parse_zone(wrong)
