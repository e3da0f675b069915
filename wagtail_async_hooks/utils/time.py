"""Times: conversions between ours, which are aware, Django's and Huey's, and their texts."""

from __future__ import annotations

import datetime
from typing import overload

from django.conf import settings
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from huey.utils import utcnow


def aware(moment: datetime.datetime) -> datetime.datetime:
    """Return an aware time in UTC; a naive argument is taken to be in the site's time zone."""
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return moment.astimezone(datetime.UTC)


def in_current_zone(moment: datetime.datetime) -> datetime.datetime:
    """Return an aware time; a naive argument is taken to be in the active time zone."""
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


@overload
def as_django(moment: datetime.datetime) -> datetime.datetime: ...
@overload
def as_django(moment: None) -> None: ...
def as_django(moment: datetime.datetime | None) -> datetime.datetime | None:
    """Return an aware time as Django's own code has it: local and naive with ``USE_TZ=False``."""
    if moment is None or settings.USE_TZ:
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())


# Huey's, which are naive and in UTC ----------------------------------------------------------


@overload
def from_huey(moment: datetime.datetime) -> datetime.datetime: ...
@overload
def from_huey(moment: None) -> None: ...
def from_huey(moment: datetime.datetime | None) -> datetime.datetime | None:
    """Return one of Huey's times as an aware one."""
    return None if moment is None else moment.replace(tzinfo=datetime.UTC)


def to_huey(moment: datetime.datetime) -> datetime.datetime:
    """Return one of Django's times as Huey has it."""
    return aware(moment).replace(tzinfo=None)


def is_later(moment: datetime.datetime | None) -> bool:
    """Return whether one of Huey's times is still to come, by this process's clock."""
    return moment is not None and moment > utcnow()


# Texts --------------------------------------------------------------------------------------


def utc_text(moment: datetime.datetime | None) -> str | None:
    """Return an aware time in ISO format and in UTC, for machines."""
    return None if moment is None else moment.astimezone(datetime.UTC).isoformat()


def local_text(moment: datetime.datetime) -> str:
    """Return a time for people, in the site's time zone, to the second: 2026-10-25 02:30:00+01:00.

    With the difference from UTC, as one hour comes twice where clocks are put back.
    """
    local = moment.astimezone(timezone.get_default_timezone())
    return local.replace(microsecond=0).isoformat(" ")


def elapsed_text(since: datetime.datetime, now: datetime.datetime) -> str:
    """Return for people how long ago a time was.

    :param now: what the database's clock says.
    """
    seconds = max(0, round((now - since).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def short_duration(seconds: float) -> str:
    """Return a duration for people, in their language and in one unit, such as "12 s" or "3 h"."""
    if 0 < seconds < 1:
        return _("%(number)s s") % {"number": number_format(seconds, 1 if seconds >= 0.05 else 2)}
    texts = (
        (86_400, _("%(number)s d")),
        (3_600, _("%(number)s h")),
        (60, _("%(number)s min")),
        (1, _("%(number)s s")),
    )
    size, text = next((each for each in texts if seconds >= each[0]), texts[-1])
    number = seconds / size
    digits = 1 if size > 1 and number < 10 and round(number, 1) != round(number) else 0
    return text % {"number": number_format(round(number, digits), digits)}
