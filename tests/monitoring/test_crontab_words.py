"""Tests of crontabs in words."""

from __future__ import annotations

import pytest
from django.utils import translation

from wagtail_async_hooks.monitoring.crontab_words import in_words
from wagtail_async_hooks.utils.crontab import Crontab


@pytest.mark.parametrize(
    ("crontab", "words"),
    [
        ("* * * * *", "Every minute"),
        ("*/1 * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("*/5 * * * 1-5", "Every 5 minutes, on weekdays"),
        ("*/7 * * * *", ""),  # which it is not: 56, then 0
        ("0 * * * *", "Every hour"),
        ("7 * * * *", "Every hour, 7 minutes past the hour"),
        ("0 */6 * * *", "Every 6 hours"),
        ("30 */6 * * *", "Every 6 hours, 30 minutes past the hour"),
        ("0 */5 * * *", ""),
        ("30 9 * * *", "Every day at 09:30"),
        ("30 9 * * 1-5", "On weekdays at 09:30"),
        ("30 9 * * 1,2,3-5", "On weekdays at 09:30"),
        ("0 9 * * 0,6", "At weekends at 09:00"),
        ("15 8,12,18 * * 1,3", "On Monday and Wednesday at 08:15, 12:15 and 18:15"),
        ("0 0 * * 0", "On Sunday at 00:00"),
        ("0 0 * * 0,1", "On Monday and Sunday at 00:00"),
        ("0 3 1 * *", "On day 1 of the month at 03:00"),
        ("0 3 1,15 * *", "On days 1 and 15 of the month at 03:00"),
        ("0 0 1 1 *", "On day 1 of the month at 00:00, in January"),
        ("0 9 1 * 1", ""),  # both have to match
        ("0-30 8 * * *", ""),
        ("*/30 2 * * *", ""),
        ("", ""),
    ],
)
def test_in_words(crontab: str, words: str) -> None:
    if crontab:
        Crontab.parse(crontab)

    assert in_words(crontab) == words


def test_in_words__names_of_days_are_in_the_language() -> None:
    with translation.override("de"):
        assert "Montag" in in_words("15 8 * * 1")


@pytest.mark.parametrize("name", ["@daily", "@weekly", "@yearly", "@hourly"])
def test_in_words__of_names(name: str) -> None:
    assert in_words(Crontab.parse(name).text)
