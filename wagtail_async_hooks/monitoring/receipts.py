"""Publish receipts: what one request did to an object, and what came of the tasks it caused.

Wagtail's log gives each request an id, which is that of its tasks as well: *Saved → Live → Search
index updated → Front-end cache purged*. All queries are bounded, and by an index.
"""

from __future__ import annotations

import datetime
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models import Model
from django.utils.formats import date_format, time_format
from django.utils.functional import Promise
from django.utils.timezone import localdate, localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from wagtail.log_actions import registry
from wagtail.models import Page

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import description
from wagtail_async_hooks.types import State

MOST: Final = 100
"""Tasks of one request that a receipt shows."""

NEWEST: Final = 20
"""Tasks of an object that say how it stands."""

FEW: Final = 10
"""Tasks of an object that say how it stands, in a list of many objects."""

_SMALL: Final = (
    *("state", "name", "function", "hook", "title", "attempt", "run_at", "finished_at"),
    *("progress_done", "progress_total", "explanation", "cause", "user_id", "merged_into_id"),
    *("subject_type_id", "subject_id", "subject_title", "task_id"),
)
"""Columns of a task that a receipt needs."""

_BRIEF: Final = "id, state, function, name, cause, finished_at, subject_id"
"""Columns of a task that say how it stands."""

_TABLE: Final = BackgroundTask._meta.db_table

_THINGS: Final[dict[str, Promise]] = {
    "wagtail.tasks.update_reference_index_task": gettext_lazy("Reference index"),
    "wagtail.tasks.delete_file_from_storage_task": gettext_lazy("Old file"),
    "wagtail.images.tasks.set_image_focal_point_task": gettext_lazy("Focal point"),
    "wagtail.contrib.frontend_cache.tasks.purge_urls_from_cache_task": gettext_lazy(
        "Front-end cache"
    ),
    "modelsearch.tasks.insert_or_update_object_task": gettext_lazy("Search index"),
}
"""What Wagtail's own tasks are about, in a receipt."""

_DONE: Final[dict[str, Promise]] = {
    "wagtail.tasks.update_reference_index_task": gettext_lazy("Reference index updated"),
    "wagtail.tasks.delete_file_from_storage_task": gettext_lazy("Old file deleted"),
    "wagtail.images.tasks.set_image_focal_point_task": gettext_lazy("Focal point found"),
    "wagtail.contrib.frontend_cache.tasks.purge_urls_from_cache_task": gettext_lazy(
        "Front-end cache purged"
    ),
    "modelsearch.tasks.insert_or_update_object_task": gettext_lazy("Search index updated"),
}
"""The same, once it is done."""

_LOGGED: Final[dict[str, Promise]] = {
    "wagtail.create": gettext_lazy("Saved"),
    "wagtail.edit": gettext_lazy("Saved"),
    "wagtail.publish": gettext_lazy("Live"),
    "wagtail.unpublish": gettext_lazy("Not live any more"),
    "wagtail.publish.schedule": gettext_lazy("Scheduled for publishing"),
}
"""What Wagtail's log says of the object, in a receipt; other entries have Wagtail's words."""

Subject = tuple[int, str]
"""Primary key of a content type, and of an object."""


@dataclass(frozen=True)
class Step:
    """A step of a receipt.

    :param state: of the task, by the names of :class:`~wagtail_async_hooks.types.State`;
        ``"succeeded"`` for what the request itself did.
    :param text: what it is, and how it stands.
    :param at: when it ended; ``None`` if it has not.
    :param row: the task that runs, or ran; ``None`` if there is none.
    """

    state: str
    text: str
    at: datetime.datetime | None = None
    row: BackgroundTask | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return not State(self.state).is_final

    @property
    def is_wrong(self) -> bool:
        """Whether it did not end as it should have."""
        return self.state in (State.FAILED, State.EXPIRED)


@dataclass(frozen=True)
class Receipt:
    """What one request did to an object.

    :param title: what the object is called.
    :param steps: in their order, those of the request first.
    :param others: how many tasks are about objects that the reader may not edit.
    """

    title: str
    steps: tuple[Step, ...]
    others: int = 0

    @cached_property
    def tasks(self) -> list[Step]:
        """The steps that are tasks."""
        return [step for step in self.steps if step.row is not None]

    @property
    def lines(self) -> list[tuple[Step, int]]:
        """The steps as people are told of them: the last of those that read alike, and how many.

        Saving and publishing each have the search index updated, for example.
        """
        last = {step.text: step for step in self.steps}
        alike = Counter(step.text for step in self.steps)
        return [(step, alike[text]) for text, step in last.items()]

    @property
    def open(self) -> int:
        """How many tasks have not ended yet."""
        return sum(step.is_open for step in self.tasks)

    @property
    def running(self) -> int:
        """How many tasks run."""
        return sum(step.state == State.RUNNING for step in self.tasks)

    @property
    def wrong(self) -> int:
        """How many tasks failed, or came to nothing."""
        return sum(step.is_wrong for step in self.tasks)

    @property
    def state(self) -> str:
        """What changes whenever there is something new to say."""
        return f"{self.open} {self.running} {self.wrong} {len(self.tasks)}"

    @property
    def summary(self) -> str:
        """How it stands, in a sentence."""
        told: dict[str, Any] = {"object": self.title}
        if self.open:
            return self._of_open(told)
        if self.wrong:
            told |= {"number": self.wrong, "total": len(self.tasks)}
            words = ngettext(
                "%(number)d of %(total)d background task failed for “%(object)s”.",
                "%(number)d of %(total)d background tasks failed for “%(object)s”.",
                len(self.tasks),
            )
            return words % told
        ends = [step.at for step in self.tasks if step.at is not None]
        if not ends:
            return _("Nothing runs in the background for “%(object)s”.") % told
        told["time"] = moment(max(ends))
        return _("All background tasks for “%(object)s” are done (%(time)s).") % told

    def _of_open(self, told: dict[str, Any]) -> str:
        told["number"] = self.open
        if self.running:
            words = ngettext(
                "%(number)d background task is running for “%(object)s”.",
                "%(number)d background tasks are running for “%(object)s”.",
                self.open,
            )
        else:
            words = ngettext(
                "%(number)d background task waits for “%(object)s”.",
                "%(number)d background tasks wait for “%(object)s”.",
                self.open,
            )
        said = words % told
        if not self.wrong:
            return said
        failed = ngettext("%(number)d failed.", "%(number)d failed.", self.wrong)
        return f"{said} {failed % {'number': self.wrong}}"


def moment(at: datetime.datetime) -> str:
    """Return a time in the reader's zone, with its date if that is not today's."""
    at = localtime(at)
    if at.date() == localdate():
        return time_format(at, "TIME_FORMAT")
    return date_format(at, "SHORT_DATETIME_FORMAT")


# Build --------------------------------------------------------------------------------------


def receipt(
    instance: Model, title: str, cause: uuid.UUID, rows: Sequence[BackgroundTask], may_see: MaySee
) -> Receipt:
    """Return the receipt of a request for an object.

    :param title: what the object is called.
    :param rows: the tasks of the request, see :func:`tasks_of`.
    :param may_see: whether the reader may see a task that is about something else.
    """
    steps, others, known = _logged(instance, cause), 0, set()
    for row in rows:
        ran = _ran(row)
        if ran.pk in known:
            continue
        known.add(ran.pk)
        if _is_about(row, instance):
            steps.append(_step(row, ran, is_about_another=False))
        elif row.subject_id and not may_see(row):
            others += 1
        else:
            steps.append(_step(row, ran, is_about_another=bool(row.subject_id)))
    return Receipt(title, tuple(steps), others)


MaySee = Callable[[BackgroundTask], bool]


def tasks_of(cause: uuid.UUID) -> list[BackgroundTask]:
    """Return the tasks of a request, in their order, each with what it was merged into."""
    tasks = BackgroundTask.objects.using(ledger.database()).filter(cause=cause)
    into = tuple(f"merged_into__{name}" for name in _SMALL)
    return list(tasks.select_related("merged_into").only(*_SMALL, *into).order_by("pk")[: MOST + 1])


def newest_of(subject: Subject) -> list[BackgroundTask]:
    """Return the newest tasks about an object, and all of the last request that changed it.

    The newest first, by one query of two indexes. A request's tasks need not all be about the
    object: those that purge a cache are about addresses.
    """
    about = f"FROM {_TABLE} WHERE subject_type_id = %s AND subject_id = %s"
    newest = f"SELECT {_BRIEF} {about} ORDER BY id DESC LIMIT {NEWEST}"
    last = f"SELECT cause {about} AND cause IS NOT NULL ORDER BY id DESC LIMIT 1"
    of_last = f"SELECT {_BRIEF} FROM {_TABLE} WHERE cause = ({last}) ORDER BY id LIMIT {MOST}"
    rows = BackgroundTask.objects.using(ledger.database()).raw(
        f"SELECT * FROM ({newest}) newest UNION SELECT * FROM ({of_last}) of_last",
        [*subject, *subject],
    )
    return sorted(rows, key=lambda row: row.pk, reverse=True)


def newest_of_many(subjects: Sequence[Subject]) -> list[BackgroundTask]:
    """Return the newest tasks about each of some objects, the newest first; one query.

    Each is asked for by itself, so that an object with many tasks does not cost more.
    """
    if not subjects:
        return []
    alias = ledger.database()
    each = (
        f"SELECT {_BRIEF} FROM {_TABLE} WHERE subject_type_id = {{}} AND subject_id = {{}} "
        f"ORDER BY id DESC LIMIT {FEW}"
    )
    values = [value for subject in subjects for value in subject]
    if connections[alias].vendor == "postgresql":  # which plans many SELECTs slowly
        named = ", ".join(["(%s, %s)"] * len(subjects))
        newest = each.format("CAST(subject.kind AS integer)", "subject.key")
        statement = (
            f"SELECT newest.* FROM (VALUES {named}) subject (kind, key) "
            f"CROSS JOIN LATERAL ({newest}) newest"
        )
    else:
        newest = each.format("%s", "%s")
        # SQLite takes no limit there without a SELECT around it, and MySQL would keep each result.
        is_sqlite = connections[alias].vendor == "sqlite"
        one = f"SELECT * FROM ({newest}) newest" if is_sqlite else f"({newest})"
        statement = " UNION ALL ".join([one] * len(subjects))
    rows = BackgroundTask.objects.using(alias).raw(statement, values)
    return sorted(rows, key=lambda row: row.pk, reverse=True)


def telling(rows: Iterable[BackgroundTask]) -> tuple[list[BackgroundTask], list[BackgroundTask]]:
    """Return which of the newest tasks about an object have not ended, and which went wrong.

    A failure that a later task of the same function has made good does not count.

    :param rows: the newest first.
    """
    unfinished, wrong, later = [], [], set()
    for row in rows:
        state = State(row.state)
        if not state.is_final:
            unfinished.append(row)
        elif state in (State.FAILED, State.EXPIRED) and row.function not in later:
            wrong.append(row)
        if state is State.SUCCEEDED or not state.is_final:
            later.add(row.function)
    return unfinished, wrong


def _ran(row: BackgroundTask) -> BackgroundTask:
    """Return the task that ran for a task: its own row, unless it was merged."""
    if row.state != State.MERGED or row.merged_into is None:
        return row
    into = row.merged_into
    return ledger.unmerged(into) if into.state == State.MERGED else into


def _is_about(row: BackgroundTask, instance: Model) -> bool:
    if row.subject_type_id is None or row.subject_id != str(instance.pk):
        return False
    model = ContentType.objects.get_for_id(row.subject_type_id).model_class()
    if model is None:
        return False
    if issubclass(model, Page):
        return isinstance(instance, Page)
    return isinstance(instance, model)


def _logged(instance: Model, cause: uuid.UUID) -> list[Step]:
    """Return what Wagtail's log says that the request did to the object."""
    entries = registry.get_logs_for_instance(instance).filter(uuid=cause)
    steps: list[Step] = []
    for entry in entries.order_by("timestamp", "pk")[:NEWEST]:
        if entry.action.startswith("wagtail_async_hooks."):
            continue  # of what was done to tasks, not to the object
        text = str(_LOGGED.get(entry.action) or entry.message)
        if not steps and entry.action == "wagtail.publish":
            # A revision that autosave had saved before was logged with the id of that request.
            steps.append(Step(State.SUCCEEDED, _("Saved"), entry.timestamp))
        if not any(step.text == text for step in steps):
            steps.append(Step(State.SUCCEEDED, text, entry.timestamp))
    return steps


def _step(row: BackgroundTask, ran: BackgroundTask, *, is_about_another: bool) -> Step:
    at = ran.finished_at if State(ran.state).is_final else None
    return Step(ran.state, _text(row, ran, is_about_another), at, ran)


def _text(row: BackgroundTask, ran: BackgroundTask, is_about_another: bool) -> str:
    """Return how a task stands: "Search index updated", "Front-end cache: waiting for a worker"."""
    known = row.function or row.name
    state = State(ran.state)
    if is_about_another:
        thing = description.title_of(row)
    elif row.title and row.subject_id:
        thing = str(row.title)
    else:
        thing = str(_THINGS.get(known) or description.action_of(row))
        if state is State.SUCCEEDED and known in _DONE:
            return str(_DONE[known])
    told: dict[str, Any] = {"what": thing}
    if state is State.FAILED and ran.explanation:
        return _("%(what)s failed: %(why)s") % {**told, "why": ran.explanation}
    if state is State.RUNNING and ran.progress_total:
        told |= {"done": ran.progress_done or 0, "total": ran.progress_total}
        return _("%(what)s: running, %(done)d of %(total)d") % told
    if state is State.SCHEDULED and ran.run_at is not None:
        told["time"] = moment(ran.run_at)
        if ran.attempt:
            return _("%(what)s: failed so far, tries again at %(time)s") % told
        return _("%(what)s: waits until %(time)s") % told
    return str(_TEXTS[state]) % told


_TEXTS: Final[dict[State, Promise]] = {
    State.SCHEDULED: gettext_lazy("%(what)s: waits for its time"),
    State.WAITING: gettext_lazy("%(what)s: waiting for a worker"),
    State.RUNNING: gettext_lazy("%(what)s: running"),
    State.SUCCEEDED: gettext_lazy("%(what)s: done"),
    State.FAILED: gettext_lazy("%(what)s failed"),
    State.CANCELLED: gettext_lazy("%(what)s: cancelled"),
    State.EXPIRED: gettext_lazy("%(what)s: expired before a worker began it"),
    State.MERGED: gettext_lazy("%(what)s: done by a later task"),
}
