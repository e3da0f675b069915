"""A report in plain text about how background tasks are set up and how they do, for support.

It is in English, as who reads it may be. It holds no arguments, no titles of objects, no names of
people, and of the settings neither what is called like a secret nor any password.
"""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, Final

import django
import wagtail
from django.conf import settings as django_settings
from django.core import checks
from django.db import connections
from django.utils import translation

from wagtail_async_hooks import __version__, conf, ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.monitoring import display, overview, problems, workers
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.redaction import is_secret
from wagtail_async_hooks.utils.text import one_line, shortened, visible
from wagtail_async_hooks.utils.time import elapsed_text, utc_text

_PACKAGES: Final = (
    "huey",
    "blinker",
    "redis",
    "celery",
    "psycopg",
    "mysqlclient",
    "wagtail-localize",
)
"""Packages whose versions matter, if they are installed."""

MAX_VALUE: Final = 500
"""Characters of a setting that are shown."""

_Section = Callable[[Moment], Iterable[str]]


def text(moment: Moment | None = None) -> str:
    """Return the report; each of its queries is bounded.

    What cannot be found out is told in its place, so that a site with little in order has a report.

    :param moment: what is known already.
    """
    moment = moment or Moment()
    with translation.override("en"):
        parts = [_part(title, section, moment) for title, section in _SECTIONS]
    return "\n\n".join(["Background tasks: status report", *parts]) + "\n"


def _part(title: str, section: _Section, moment: Moment) -> str:
    try:
        lines = [visible(line) for line in section(moment)]
    except Exception as error:  # of a database that lacks a table, of a check of the site's
        lines = [f"This cannot be told: {type(error).__name__}: {one_line(error, MAX_VALUE)}"]
    body = "\n".join(f"  {line}" for line in lines or ["none"])
    return f"{title}\n{body}"


# Sections -----------------------------------------------------------------------------------


def _versions(moment: Moment) -> Iterator[str]:
    yield f"wagtail_async_hooks {__version__}"
    if conf.current().release:
        yield f"the site's own release {conf.current().release}"
    yield f"Python {platform.python_version()} on {platform.system()}"
    yield f"Django {django.get_version()}"
    yield f"Wagtail {wagtail.__version__}"
    for name in _PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue


def _database(moment: Moment) -> Iterator[str]:
    connection = connections[ledger.database()]
    connection.ensure_connection()
    version = ".".join(map(str, connection.get_database_version()))
    yield f"{connection.display_name} {version}, alias {connection.alias}"
    yield f"clock: {utc_text(moment.time)}"
    yield f"USE_TZ {django_settings.USE_TZ}, TIME_ZONE {django_settings.TIME_ZONE}"


def _settings(moment: Moment) -> Iterator[str]:
    raw = getattr(django_settings, conf.SETTING, {})
    given = raw if isinstance(raw, Mapping) else {}
    for name, value in sorted(given.items(), key=str):
        yield f"{name}: {_written(_without_secrets(name, value))}"
    kept = getattr(django_settings, conf.SYNC_HOOKS_SETTING, ())
    if kept:
        yield f"{conf.SYNC_HOOKS_SETTING}: {_written(_without_secrets('', list(kept)))}"
    for name, backend in getattr(django_settings, "TASKS", {}).items():
        yield f"TASKS[{name!r}]: {backend.get('BACKEND')}"


def _workers(moment: Moment) -> Iterator[str]:
    for row in moment.living:
        yield _worker(row, f"runs for {elapsed_text(row.started_at, moment.time)}")
        if abs(row.clock_ahead) > clock.TOLERANCE:
            yield f"  its clock is {clock.described(row.clock_ahead)}"
    gone = [row for row in moment.workers if not moment.is_alive(row)]
    for row in gone[:10]:
        how = "died" if workers.has_died(row, moment) else "stopped"
        yield _worker(row, f"{how} {elapsed_text(row.heartbeat_at, moment.time)} ago")


def _worker(row: Worker, told: str) -> str:
    queues = row.queues or "all"
    return f"{row}: release {row.release}, {row.threads} threads, queues: {queues}; {told}"


def _counts(moment: Moment) -> Iterator[str]:
    with connections[ledger.database()].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(map(_count, State)))
        found = [row for row in cursor.fetchall() if row[1]]
    tasks = BackgroundTask.objects.using(ledger.database()).defer(*ledger.LARGE)
    rows = tasks.in_bulk([pk for row in found for pk in row[2:]]) if found else {}
    for state, number, *keys in found:
        told = number if number <= overview.MANY else f"more than {overview.MANY}"
        ages = [_age(rows[pk], moment.time) if pk in rows else "gone" for pk in keys]
        yield f"{state}: {told}; newest: {ages[1]}; oldest: {ages[0]}"


def _count(state: State) -> str:
    """Return a query for a state: how many tasks, as far as is counted, the first and the last.

    Of those that have ended, the first of all; of those that have not, among those counted.
    """
    counted = overview.of_state(state, "id", overview.MANY + 1)
    first = f"({overview.of_state(state, 'id', 1, last=False)})" if state.is_final else "MIN(id)"
    return f"SELECT '{state.value}', COUNT(*), {first}, MAX(id) FROM ({counted}) {state.value}"


def _age(row: BackgroundTask, now: datetime.datetime) -> str:
    moment = row.finished_at or row.enqueued_at
    return f"{row.function or row.name}, {elapsed_text(moment, now)} ago"


def _errors(moment: Moment) -> Iterator[str]:
    for error in overview.by_error(10):
        yield f"{error.number} x {error.error_type} in {error.function}"


def _problems(moment: Moment) -> Iterator[str]:
    for problem in problems.problems(moment):
        yield f"{problem.severity}: {problem.text}"


def _pauses(moment: Moment) -> Iterator[str]:
    for pause in moment.pauses:
        yield f"{pause}, since {utc_text(pause.paused_at)}"


def _checks(moment: Moment) -> Iterator[str]:
    for message in checks.run_checks(tags=["wagtail_async_hooks"]):
        if not message.is_silenced():
            yield f"{message.id}: {one_line(message.msg, MAX_VALUE)}"


_SECTIONS: Final[tuple[tuple[str, _Section], ...]] = (
    ("Versions", _versions),
    ("Database", _database),
    ("Settings", _settings),
    ("Workers", _workers),
    ("Tasks by state", _counts),
    ("Latest errors", _errors),
    ("Problems", _problems),
    ("Paused", _pauses),
    ("Checks", _checks),
)


# Values -------------------------------------------------------------------------------------


def _without_secrets(name: str, value: Any) -> Any:
    """Return a setting without what is secret in it."""
    if is_secret(name):
        return display.HIDDEN
    if isinstance(value, Mapping):
        return {str(key): _without_secrets(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = list(value)
        # The value of an option such as "--password" comes after it.
        hides = [False, *(isinstance(each, str) and _is_option(each) for each in items)]
        return [
            display.HIDDEN if hidden else _without_secrets("", each)
            for each, hidden in zip(items, hides, strict=False)
        ]
    if isinstance(value, str):
        return display.text(value)
    return value if isinstance(value, bool | int | float | type(None)) else str(value)


def _is_option(given: str) -> bool:
    return given.startswith("-") and "=" not in given and is_secret(given)


def _written(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False, default=str), MAX_VALUE)
