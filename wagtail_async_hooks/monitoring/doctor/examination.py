"""One examination: which groups of findings are asked for, in which sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from django.utils import translation

from wagtail_async_hooks import conf
from wagtail_async_hooks.monitoring.doctor import database, notifier, site, tasks, workers
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity
from wagtail_async_hooks.utils.redaction import without_secrets
from wagtail_async_hooks.utils.text import one_line


def examine(begins: Callable[[str], object] = str) -> list[Finding]:
    """Return what is wrong, the worst first; nothing if all is well. The texts are in English.

    It changes nothing. Its queries are bounded. What cannot be examined is a finding.

    :param begins: called with the name of each part before it is examined, since what does not
        answer may take long.
    """
    with translation.override("en"):
        found = list(_all(begins))
    return sorted(found, key=lambda finding: -finding.severity)


def _all(begins: Callable[[str], object]) -> Iterator[Finding]:
    begins("the site's modules")
    mistakes = [*site.mistakes(), *site.failing_modules()]
    yield from mistakes
    if mistakes:
        return  # what follows would only tell of what comes of these
    here = workers.code_here()  # before system checks import more

    def examined(what: str, examine: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
        begins(what)
        return _examined(what, examine)

    if not conf.current().backend:
        yield from examined("the system checks", site.blank_backend)
        return
    broken = list(examined("the database", database.outages))
    yield from broken
    yield from examined("the storage of BACKEND", notifier.examine)
    yield from examined("the system checks", site.failing_checks)
    yield from examined("TASKS", site.tasks_elsewhere)
    if broken:
        return
    yield from examined("the database", database.examine)
    yield from examined("the workers", lambda: workers.examine(here))
    yield from examined("the tasks", tasks.examine)


def _examined(what: str, examine: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what a group finds, and that it could not be examined to its end if it could not."""
    try:
        yield from examine()
    except Exception as error:  # of a driver, a check of the site's, a table that goes just now
        yield Finding(
            Severity.WARNING,
            Code.NOT_EXAMINED,
            f"{what[0].upper()}{what[1:]} could not be examined: {type(error).__name__}: "
            f"{without_secrets(one_line(error))}",
            "Do away with that error, and run this command again.",
        )
