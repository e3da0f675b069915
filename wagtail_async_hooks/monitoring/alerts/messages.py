"""The message about some problems, as plain text. It is in English, as the commands are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from wagtail_async_hooks import conf
from wagtail_async_hooks.types import Alert, AlertKind, AlertProblem
from wagtail_async_hooks.utils.redaction import without_secrets
from wagtail_async_hooks.utils.text import cut, one_line
from wagtail_async_hooks.utils.time import local_text

MOST: Final = 20
"""So many problems are described, of each sort; the others are counted."""

_SUBJECT: Final = 150
"""Characters of a subject at most, without the name of the site."""


def message(problems: Sequence[AlertProblem]) -> Alert:
    """Return the message.

    :param problems: at least one.
    """
    site, problems = site_name(), [_redacted(each) for each in problems]
    lines = [
        line
        for sort in (False, True)
        for line in _described([each for each in problems if each.is_over is sort])
    ]
    text = "\n".join([*lines, *_foot(problems)]) + "\n"
    subject = f"[{site}] {cut(_subject(problems), _SUBJECT)}"
    return Alert(site, subject, text, tuple(problems))


def _redacted(problem: AlertProblem) -> AlertProblem:
    return dataclasses.replace(
        problem,
        title=without_secrets(problem.title),
        text=without_secrets(problem.text),
        remedy=without_secrets(problem.remedy),
    )


def site_name() -> str:
    """Return what the site is called: by Wagtail's setting, or else by the admin's address."""
    name = getattr(settings, "WAGTAIL_SITE_NAME", "")
    host = urlsplit(str(getattr(settings, "WAGTAILADMIN_BASE_URL", None) or "")).hostname
    return cut(one_line(name), 100) if name else host or "Wagtail"


def _subject(problems: Sequence[AlertProblem]) -> str:
    begun = [each for each in problems if not each.is_over]
    titles = "; ".join(each.title for each in begun or problems)
    if not begun:
        return one_line(f"Over: {titles}")
    if len(begun) == 1:
        return one_line(titles)
    return one_line(f"{len(begun)} problems with background tasks: {titles}")


def _described(problems: Sequence[AlertProblem]) -> Iterator[str]:
    for problem in problems[:MOST]:
        yield f"{'Over: ' if problem.is_over else ''}{problem.title}"
        yield f"  {problem.text}"
        if not problem.is_over and problem.kind is not AlertKind.TEST:
            yield f"  Since {local_text(problem.since)}."
        if problem.remedy:
            yield f"  → {problem.remedy}"
        if problem.url:
            yield f"  {problem.url}"
        yield ""
    if (others := len(problems) - MOST) > 0:
        yield f"And {others} more."
        yield ""


def _foot(problems: Sequence[AlertProblem]) -> Iterator[str]:
    yield "-- "
    yield f'{conf.SETTING}["ALERTS"] of {site_name()} says that you are told of this.'
