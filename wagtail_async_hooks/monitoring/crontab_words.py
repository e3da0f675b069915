"""Crontabs in words: "Every 5 minutes", "On weekdays at 09:30", in the reader's language.

cron-descriptor 2.2 was tried instead, and is not used. It takes a crontab of both a day and a
weekday for due on either, where Huey takes it for due when both match; it names days and months in
the language of the process, so that German reads "Monday bis Friday"; and it knows neither Arabic
nor Brazilian Portuguese. Only forms that people use are put into words here. Of others the crontab
itself says more than a sentence that nobody can follow.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Final

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.text import capfirst, get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

MOST_TIMES: Final = 6
"""So many times of a day are listed."""

_NUMBERS: Final = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_STEP: Final = re.compile(r"\*/(\d+)")
_WORKING_DAYS: Final = [1, 2, 3, 4, 5]
_WEEKEND: Final = [0, 6]


def in_words(crontab: str) -> str:
    """Return when a crontab is due, in words; blank if that is not simply said.

    :param crontab: five fields with one space between them, as a schedule's row has them.
    """
    fields = crontab.split(" ")
    if len(fields) != 5:
        return ""
    minute, hour, day, month, weekday = fields
    days, months = _days(day, weekday), _months(month)
    if days is None or months is None:
        return ""
    often = _often(minute, hour)
    times = "" if often else _times(minute, hour)
    if not (often or times):
        return ""
    if often:
        when = _("%(often)s, %(days)s") % {"often": often, "days": days} if days else often
    elif days:
        when = _("%(days)s at %(times)s") % {"days": capfirst(days), "times": times}
    else:
        when = _("Every day at %(times)s") % {"times": times}
    return _("%(when)s, in %(months)s") % {"when": when, "months": months} if months else when


def _often(minute: str, hour: str) -> str:
    """Return what recurs within a day; blank if certain times are meant."""
    if hour == "*" and minute == "*":
        return _("Every minute")
    if hour == "*" and (step := _even_step(minute, 60)):
        every = ngettext("Every minute", "Every %(number)d minutes", step)
        return every % {"number": step}
    if minute.isdecimal() and (hour == "*" or _even_step(hour, 24)):
        step = 1 if hour == "*" else _even_step(hour, 24)
        every = ngettext("Every hour", "Every %(number)d hours", step) % {"number": step}
        if int(minute) == 0:
            return every
        past = ngettext("%(number)d minute", "%(number)d minutes", int(minute)) % {
            "number": int(minute)
        }
        return _("%(every)s, %(minutes)s past the hour") % {"every": every, "minutes": past}
    return ""


def _even_step(field: str, size: int) -> int:
    """Return the step of a field such as ``*/5`` if it divides the whole evenly, or else 0."""
    match = _STEP.fullmatch(field)
    step = int(match[1]) if match else 0
    return step if step and size % step == 0 else 0


def _times(minute: str, hour: str) -> str:
    minutes, hours = _numbers(minute), _numbers(hour)
    if not (minutes and hours) or len(minutes) * len(hours) > MOST_TIMES:
        return ""
    times = [datetime.time(h, m) for h in hours for m in minutes]
    return _list([f"{time:%H:%M}" for time in times])


def _days(day: str, weekday: str) -> str | None:
    """Return the days; blank for all, and ``None`` if that is not simply said."""
    if day == weekday == "*":
        return ""
    if day == "*":
        return _weekdays(weekday)
    numbers = _numbers(day)
    if weekday != "*" or not numbers or len(numbers) > MOST_TIMES:
        return None
    return ngettext(
        "on day %(days)s of the month", "on days %(days)s of the month", len(numbers)
    ) % {"days": _list(numbers)}


def _weekdays(field: str) -> str | None:
    numbers = sorted({number % 7 for number in _numbers(field)})
    if not numbers:
        return None
    if numbers == _WORKING_DAYS:
        return _("on weekdays")
    if numbers == _WEEKEND:
        return _("at weekends")
    # Django counts from Monday, crontabs from Sunday; a week begins with Monday here.
    names = [str(WEEKDAYS[(number - 1) % 7]) for number in sorted(numbers, key=lambda n: n or 7)]
    return pgettext("days of the week", "on %(days)s") % {"days": _list(names)}


def _months(field: str) -> str | None:
    if field == "*":
        return ""
    numbers = _numbers(field)
    return _list([str(MONTHS[number]) for number in numbers]) if numbers else None


def _numbers(field: str) -> list[int]:
    """Return the numbers of a field such as ``1-3,5``; none if it has another form."""
    if not _NUMBERS.fullmatch(field):
        return []
    found: set[int] = set()
    for part in field.split(","):
        first, _dash, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)


def _list(items: Sequence[object]) -> str:
    return get_text_list([str(item) for item in items], _("and"))
