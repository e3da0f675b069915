"""Finding tasks among millions: by an index where there is one, and else among the newest.

A search reads at most :data:`WINDOW` rows, by one index, and looks at them in Python: its cost does
not grow with the table, whatever is asked for, and no index is kept for it that every task would
have to write to. What it has found says how far it has looked, and :attr:`Found.last` is where the
next search goes on.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.db.models import QuerySet

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.monitoring import description, display, overview
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State

WINDOW: Final = 10_000
"""Rows that one search reads at most."""

ARGUMENTS: Final = 500
"""Messages whose arguments one search reads at most: each has to be decoded."""

OF_ACCESS: Final = ("subject_type_id", "subject_id", "user_id")
"""Columns that say who may see a task."""

_OF_TEXT: Final = ("task_id", "name", "hook", "function", "title", "subject_title", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What tasks are looked for; what is blank does not matter.

    :param state: one of the states.
    :param hook: name of a hook or signal.
    :param function: dotted path.
    :param queue: name.
    :param user: primary key of who caused them.
    :param subject: primary key of a content type, and of an object.
    :param about: part of the object's title.
    :param since: enqueued at this time, or later.
    :param until: enqueued before this time.
    :param error: part of the error's class, place or text.
    :param release: of the worker that ran them last.
    :param text: part of an id, a title, a function's path, an error, or of an argument.
    :param arguments: whether the text is looked for in arguments, too.
    :param before: only tasks with a smaller primary key.
    :param limit: rows to read; :data:`WINDOW` if not given.
    """

    state: str = ""
    hook: str = ""
    function: str = ""
    queue: str = ""
    user: Any = None
    subject: tuple[int, str] | None = None
    about: str = ""
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    error: str = ""
    release: str = ""
    text: str = ""
    arguments: bool = False
    before: int | None = None
    limit: int = WINDOW

    @property
    def is_ordered_by_key(self) -> bool:
        """Whether the newest come first, so that a later search can go on behind the last one."""
        return self.selected_by != "state" or State(self.state).is_final

    @property
    def selected_by(self) -> str:
        """By which of them the database selects the rows: by the one that leaves most of them out.

        Blank if by none; all others are looked at in Python.
        """
        if self.subject is not None:
            return "subject"
        if self.user is not None:
            return "user"
        return "state" if self.state else ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found.

    :param rows: some of their columns, in their order.
    :param looked_at: how many rows were read.
    :param last: behind which the next search goes on; ``None`` if there is nothing left, or no such
        order.
    :param is_all: whether there are no more rows than were read.
    """

    rows: list[Any]
    looked_at: int
    last: int | None
    is_all: bool

    @property
    def keys(self) -> list[int]:
        """Primary keys of the tasks."""
        return [row.pk for row in self.rows]


Keep = Callable[[Sequence[Any]], Iterable[Any]]
"""Returns those of some rows that may be seen; they have the columns of :data:`OF_ACCESS`."""


def find(criteria: Criteria, keep: Keep | None = None, also: Sequence[str] = ()) -> Found:
    """Return the tasks that are looked for.

    :param keep: leaves out what the reader may not see; all may be seen if not given.
    :param also: further columns that are wanted of their rows.
    """
    workers = _workers_of(criteria.release) if criteria.release else frozenset()
    of_access = () if keep is None else OF_ACCESS
    names = tuple(dict.fromkeys((*_columns(criteria), *of_access, *also)))
    read = _base(criteria).values_list(*names)[: criteria.limit + 1]
    rows = list(map(_row_class(names)._make, read))
    is_all = len(rows) <= criteria.limit
    rows = rows[: criteria.limit]
    last = rows[-1].pk if rows and not is_all and criteria.is_ordered_by_key else None
    looked_at = len(rows)
    for test in _tests(criteria, workers):
        rows = [row for row in rows if test(row)]
    if criteria.text:
        rows = _with_text(rows, criteria)
    if keep is not None:
        rows = list(keep(rows))
    return Found(rows, looked_at, last, is_all)


@functools.lru_cache(maxsize=64)
def _row_class(names: tuple[str, ...]) -> Any:
    """Return a class for rows of some columns."""
    return namedtuple("Row", names)  # its fields depend on what is asked


def rows_of(keys: Sequence[int]) -> list[BackgroundTask]:
    """Return rows in the order of some primary keys, without their large columns; gone ones not."""
    tasks = BackgroundTask.objects.using(ledger.database()).defer(*ledger.LARGE)
    found = tasks.select_related("subject_type", "worker").in_bulk(list(keys))
    return [found[key] for key in keys if key in found]


def releases() -> list[str]:
    """Return the releases that workers have run, the newest first."""
    workers = Worker.objects.using(ledger.database())
    newest = workers.order_by("-pk").values_list("release", flat=True)[:500]
    return list(dict.fromkeys(newest))


def _base(criteria: Criteria) -> QuerySet[BackgroundTask]:
    """Return the rows to read, by an index, in its order."""
    tasks = background.storage.tasks
    match criteria.selected_by:
        case "subject":
            kind, key = criteria.subject or (0, "")
            tasks = tasks.filter(subject_type=kind, subject_id=key)
        case "user":
            tasks = tasks.filter(user=criteria.user)
        case "state":
            tasks = control.select(state=criteria.state)
    if not criteria.is_ordered_by_key:
        return tasks.order_by(*overview.ORDERS[State(criteria.state)])
    if criteria.before is not None:
        tasks = tasks.filter(pk__lt=criteria.before)
    return tasks.order_by("-pk")


def _columns(criteria: Criteria) -> list[str]:
    """Return the columns that are read; the large ones only where they are looked into."""
    names = dict.fromkeys(["pk"])
    wanted = {
        "state": criteria.state,
        "hook": criteria.hook,
        "function": criteria.function,
        "queue": criteria.queue,
        "user_id": criteria.user is not None,
        "subject_title": criteria.about,
        "enqueued_at": criteria.since or criteria.until,
        "worker_id": criteria.release,
    }
    by = {"user": "user_id"}.get(criteria.selected_by, criteria.selected_by)
    names |= dict.fromkeys(name for name, value in wanted.items() if value and name != by)
    if criteria.error:
        names |= dict.fromkeys(("error", "error_type", "error_place"))
    if criteria.text:
        names |= dict.fromkeys(_OF_TEXT)
        if criteria.arguments:
            names["message"] = None
    return list(names)


def _tests(criteria: Criteria, workers: frozenset[int]) -> list[Callable[[Any], bool]]:
    """Return what a row has to pass, beside what the rows are selected by."""
    tests: list[Callable[[Any], bool]] = []
    for name in ("state", "hook", "function", "queue"):
        if (value := getattr(criteria, name)) and name != criteria.selected_by:
            tests.append(partial(_equals, name, value))
    if criteria.user is not None and criteria.selected_by != "user":
        tests.append(lambda row: str(row.user_id) == str(criteria.user))
    if since := criteria.since:
        tests.append(lambda row: row.enqueued_at >= since)
    if until := criteria.until:
        tests.append(lambda row: row.enqueued_at < until)
    if criteria.release:
        tests.append(lambda row: row.worker_id in workers)
    if criteria.about:
        about = criteria.about.casefold()
        tests.append(lambda row: about in row.subject_title.casefold())
    if criteria.error:
        error = criteria.error.casefold()
        tests.append(
            lambda row: error in f"{row.error_type}\n{row.error_place}\n{row.error}".casefold()
        )
    return tests


def _equals(name: str, value: str, row: Any) -> bool:
    return bool(getattr(row, name) == value)


def _workers_of(release: str) -> frozenset[int]:
    workers = Worker.objects.using(ledger.database()).filter(release=release)
    return frozenset(workers.values_list("pk", flat=True))


# Text -----------------------------------------------------------------------------------------


def _with_text(rows: list[Any], criteria: Criteria) -> list[Any]:
    """Return the rows that have a text in them, in what people read or among the arguments."""
    sought = criteria.text.strip().casefold()
    written = _as_written(sought)
    is_named = functools.cache(partial(_is_named, sought))  # many tasks have the same names
    found, decoded = [], 0
    for row in rows:
        if is_named(row.name, row.hook, row.function, row.title) or _says(row, sought):
            found.append(row)
        elif criteria.arguments and decoded < ARGUMENTS and written in _lower(row.message):
            decoded += 1
            if _is_argument(row, sought):
                found.append(row)
    return found


def _is_named(sought: str, name: str, hook: str, function: str, title: str) -> bool:
    """Return whether a text is in what tasks of a function are called."""
    said = title or description.action_of(BackgroundTask(name=name, function=function))
    return any(sought in text.casefold() for text in (name, hook, function, said))


def _says(row: Any, sought: str) -> bool:
    """Return whether a text is a task's number or id, in its object's title, or in its error."""
    return (
        sought in row.subject_title.casefold()
        or (row.error and sought in row.error.casefold())
        or sought in (str(row.pk), row.task_id)
    )


def _as_written(sought: str) -> bytes:
    """Return a text as messages have it, which are JSON in ASCII."""
    return json.dumps(sought)[1:-1].encode().lower()


def _lower(message: Any) -> bytes:
    return bytes(message).lower()


def _is_argument(row: Any, sought: str) -> bool:
    """Return whether a text is in the arguments as people may see them.

    A message has more in it: secrets, which a search must not confirm, and names of its format.
    """
    task = BackgroundTask(name=row.name, hook=row.hook, message=row.message)
    shown = display.arguments(task) or {}
    return any(sought in str(value).casefold() for value in shown.values())
