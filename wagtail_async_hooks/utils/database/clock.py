"""What time it is: by this process's clock, and as it would be by the database's.

Hosts' clocks differ, so times that another host compares are the database's. Statements ask its
clock themselves; a worker measures now and then what the difference is, for all that does not go
through a statement, and to say so.
"""

from __future__ import annotations

import datetime
import time
from typing import Final

TOLERANCE: Final = 5
"""Seconds by which a clock may differ from the database's before a warning is logged."""

MOST: Final = 2**31 - 1
"""The largest difference that is reported, in seconds: some 68 years."""


class _Measured:
    """The last measurement: what the database's clock said, and when that was."""

    at: datetime.datetime | None = None
    monotonic: float = 0.0


def now() -> datetime.datetime:
    """Return the time by this process's clock, aware and in UTC."""
    return datetime.datetime.now(datetime.UTC)


def measured(said: datetime.datetime, asked_at: float) -> int:
    """Note what the database's clock said, and return by how many seconds ours is ahead of it.

    :param said: aware.
    :param asked_at: when it was asked, as told by ``time.monotonic()``: it has answered just now.
    """
    answered_at = time.monotonic()
    middle = now() - datetime.timedelta(seconds=(answered_at - asked_at) / 2)
    _Measured.at, _Measured.monotonic = said, (asked_at + answered_at) / 2
    ahead = round((middle - said).total_seconds())
    return max(-MOST, min(ahead, MOST))


def database_now() -> datetime.datetime:
    """Return the time by the database's clock as far as it is known here, aware and in UTC.

    It goes on with the monotonic clock, which nobody sets. Where nothing was measured, it is ours.
    """
    if _Measured.at is None:
        return now()
    return _Measured.at + datetime.timedelta(seconds=time.monotonic() - _Measured.monotonic)


def described(ahead: int) -> str:
    """Return in words how a clock differs from the database's."""
    return f"{abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the database's"


def forget() -> None:
    """Forget what was measured."""
    _Measured.at = None
