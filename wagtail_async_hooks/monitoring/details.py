"""All that is known of one task: what happened, when, where, and what it belongs together with.

``wagtail_tasks show`` and the task's page in the admin are made of it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from wagtail_async_hooks import ledger
from wagtail_async_hooks.exceptions import MessageRefused
from wagtail_async_hooks.models import BackgroundTask, TaskAttempt, Worker
from wagtail_async_hooks.monitoring import (
    description,
    display,
    obstacles,
    registered,
    tracebacks,
)
from wagtail_async_hooks.queue.claims import CANCELLED
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.time import short_duration

ATTEMPTS: Final = 100
"""Attempts that are shown: the newest ones."""

RUNS: Final = 20
"""Earlier runs of the same function that one is shown beside."""

NEIGHBOURS: Final = 20_000
"""Primary keys before a task's own among which those runs are looked for."""

RELATED: Final = 20
"""Tasks of each kind that are shown as related."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a task.

    :param number: which one.
    :param worker: who made it; ``None`` if that is not known any more.
    :param ended_at: ``None`` if it goes on.
    :param error: what went wrong, in one line; blank if nothing did, or it goes on.
    """

    number: int
    worker: Worker | None
    started_at: datetime.datetime | None
    ended_at: datetime.datetime | None
    error: str = ""
    error_type: str = ""
    traceback: str = ""
    is_last: bool = False

    @property
    def frames(self) -> tracebacks.Traceback:
        """Its traceback, with the site's own calls told apart from those in packages."""
        return tracebacks.frames(self.traceback)

    @property
    def error_text(self) -> str:
        """What went wrong, without the name of the exception's class."""
        return self.error.removeprefix(f"{self.error_type.rpartition('.')[2]}: ")

    @property
    def took(self) -> str:
        """How long it took, in words."""
        if self.started_at is None or self.ended_at is None:
            return ""
        return short_duration((self.ended_at - self.started_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Run:
    """An earlier run of the same function.

    :param seconds: that its last attempt took.
    """

    pk: int
    state: str
    seconds: float


@dataclass
class Details:
    """What is known of one task; each part is read when it is asked for.

    :param row: the task's, with its long columns.
    """

    row: BackgroundTask
    now: datetime.datetime = field(default_factory=clock.database_now)

    @property
    def state(self) -> State:
        """Where it stands."""
        return State(self.row.state)

    @property
    def title(self) -> str:
        """What a person calls it."""
        return description.title_of(self.row)

    @cached_property
    def tries(self) -> int:
        """Attempts that count: not those that the function has snoozed."""
        return self.row.attempt - self.row.snoozes

    @cached_property
    def message(self) -> Any:
        """Huey's message; ``None`` if it cannot be read."""
        try:
            return background.serializer.deserialize_whole(bytes(self.row.message))[0]
        except MessageRefused:
            return None

    @cached_property
    def most_tries(self) -> int:
        """Attempts that it has in all, with the retries that are left."""
        left = getattr(self.message, "retries", 0) or 0
        begun = self.tries if self.state is not State.WAITING or self.tries else 1
        return max(begun + left, 1)

    @cached_property
    def user(self) -> Any:
        """Who caused it; ``None`` if nobody did, or she is gone."""
        if self.row.user_id is None:
            return None
        return get_user_model()._base_manager.filter(pk=self.row.user_id).first()

    @cached_property
    def worker(self) -> Worker | None:
        """Who ran it last; ``None`` if nobody did, or that is not known any more."""
        return _worker_of(self.row)

    @cached_property
    def attempts(self) -> list[Attempt]:
        """All attempts, the first one first."""
        newest = ledger.attempts(self.row.pk).select_related("worker").order_by("-pk")
        made: list[TaskAttempt] = list(newest[:ATTEMPTS])
        found = [
            Attempt(
                each.number,
                each.worker,
                each.started_at,
                each.ended_at,
                each.error,
                each.error_type,
                each.traceback,
            )
            for each in reversed(made)
        ]
        if self._has_last:
            found.append(self._last())
        return found

    @property
    def _has_last(self) -> bool:
        """Whether the row tells of an attempt that is not kept among the earlier ones."""
        begun = self.row.attempt > 0 and self.row.started_at is not None
        return begun and (self.state.is_final or self.state is State.RUNNING)

    def _last(self) -> Attempt:
        row = self.row
        went_wrong = description.is_wrong(row) and self.state is not State.RUNNING
        return Attempt(
            row.attempt,
            self.worker,
            row.started_at,
            row.finished_at,
            row.error if went_wrong else "",
            row.error_type if went_wrong else "",
            row.traceback if went_wrong else "",
            is_last=True,
        )

    @cached_property
    def arguments(self) -> dict[str, Any] | None:
        """Arguments by name, without secrets; ``None`` if the message cannot be read."""
        return display.arguments(self.row)

    @cached_property
    def result(self) -> Any:
        """What it returned, in JSON's types; ``None`` unless it has succeeded."""
        if self.row.result is None or self.state is not State.SUCCEEDED:
            return None
        try:
            result = background.serializer.deserialize(bytes(self.row.result))
        except MessageRefused:
            return None
        return result if isinstance(result, str) else display.value(result)

    @cached_property
    def options(self) -> tuple[registered.Option, ...]:
        """Options of its function now, and where each comes from; none if nobody knows it."""
        for each in registered.listed():
            if (each.hook, each.function) == (self.row.hook, self.row.function):
                return each.options
        return ()

    @cached_property
    def runs(self) -> list[Run]:
        """Runs of the same function before this one, the oldest first, and this one."""
        row = self.row
        near = background.storage.tasks.filter(
            pk__lte=row.pk,
            pk__gt=row.pk - NEIGHBOURS,
            function=row.function,
            hook=row.hook,
            name=row.name,
        )
        ended = near.filter(finished_at__isnull=False, started_at__isnull=False)
        columns = ("pk", "state", "started_at", "finished_at")
        newest = ended.order_by("-pk").values_list(*columns)[:RUNS]
        return [
            Run(pk, state, (finished - started).total_seconds())
            for pk, state, started, finished in reversed(newest)
        ]

    # What it belongs together with --------------------------------------------------------------

    @cached_property
    def merged_into(self) -> BackgroundTask | None:
        """The task that ran for this one as well."""
        if self.row.merged_into_id is None:
            return None
        found: BackgroundTask | None = _small().filter(pk=self.row.merged_into_id).first()
        return found

    @cached_property
    def merged(self) -> list[BackgroundTask]:
        """The tasks that it ran for as well, of those that were enqueued near it."""
        if not self.row.coalesce_key:
            return []
        near = _small().filter(
            pk__gt=self.row.pk - NEIGHBOURS,
            pk__lt=self.row.pk + NEIGHBOURS,
            state=State.MERGED,
            finished_at__isnull=False,
            merged_into=self.row.pk,
        )
        return list(near.order_by("-pk")[:RELATED])

    @cached_property
    def siblings(self) -> list[BackgroundTask]:
        """Other tasks that the same request caused, and what followed from them."""
        if self.row.cause is None:
            return []
        same = _small().filter(cause=self.row.cause).exclude(pk=self.row.pk)
        return list(same.order_by("-pk")[:RELATED])

    @cached_property
    def next_ones(self) -> list[BackgroundTask]:
        """What follows it in its pipeline, or when it fails, as far as that is enqueued."""
        ids = list(_following(self.message))
        if not ids:
            return []
        return list(_small().filter(task_id__in=ids).order_by("pk")[:RELATED])

    @property
    def group_text(self) -> str:
        """Which one it is of a group that a chord waits for; blank if of none."""
        config = getattr(self.message, "chord_config", None)
        if config is None:
            return ""
        _id, size, index, _callback = config
        told = {"number": index + 1, "size": size}
        return (
            _("It is task %(number)d of a group of %(size)d, after which another one runs.") % told
        )

    # In words -------------------------------------------------------------------------------

    @cached_property
    def sentence(self) -> str:
        """What happened, in one sentence."""
        return {
            State.SCHEDULED: self._scheduled,
            State.WAITING: self._waiting,
            State.RUNNING: self._running,
            State.SUCCEEDED: self._succeeded,
            State.FAILED: self._failed,
            State.CANCELLED: self._cancelled,
            State.EXPIRED: self._expired,
            State.MERGED: self._merged,
        }[self.state]()

    def _scheduled(self) -> str:
        left = 0.0 if self.row.run_at is None else (self.row.run_at - self.now).total_seconds()
        told: dict[str, Any] = {
            "time": short_duration(max(left, 0)),
            "number": self.tries,
            "most": self.most_tries,
        }
        if self.row.attempt and self.row.error:
            told["error"] = self.row.error
            return _(
                "Try %(number)d of %(most)d failed: %(error)s It is tried again in %(time)s."
            ) % {**told, "error": _ended(told["error"])}
        if self.row.snoozes:
            return _("Asked to be called again later, in %(time)s.") % told
        if self.row.latest_at is not None:
            return _("Waits for the end of a burst of changes, for %(time)s.") % told
        return _("Waits for its time, in %(time)s.") % told

    def _waiting(self) -> str:
        since = self.row.run_at or self.row.enqueued_at
        waited = max((self.now - max(since, self.row.enqueued_at)).total_seconds(), 0)
        told = {"time": short_duration(waited), "deaths": self.row.deaths}
        if self.row.deaths:
            return (
                _(
                    "Waits for a worker that runs no other task of its kind: %(deaths)d workers "
                    "have died while they ran it."
                )
                % told
            )
        return _("Has waited for a worker for %(time)s.") % told

    def _running(self) -> str:
        started = self.row.started_at or self.now
        told = {
            "time": short_duration(max((self.now - started).total_seconds(), 0)),
            "number": self.tries,
            "most": self.most_tries,
        }
        if self.row.cancel_requested:
            return _("Has run for %(time)s, and ends when it next reports its progress.") % told
        if self.most_tries > 1:
            return _("Has run for %(time)s; it is try %(number)d of %(most)d.") % told
        return _("Has run for %(time)s.") % told

    def _succeeded(self) -> str:
        told: dict[str, Any] = {"time": description.took(self.row), "number": self.tries}
        if self.tries > 1:
            return _("Succeeded in %(time)s, on try %(number)d.") % told
        return _("Succeeded in %(time)s.") % told

    def _failed(self) -> str:
        told = {
            "number": self.tries,
            "most": self.most_tries,
            "error": _ended(self.row.error or self.row.error_type),
        }
        if not self.row.attempt:
            return _("Failed before it was begun: %(error)s") % told
        if self.most_tries > 1:
            return _("Failed on try %(number)d of %(most)d: %(error)s") % told
        return _("Failed: %(error)s") % told

    def _cancelled(self) -> str:
        if self.row.error and self.row.error != CANCELLED:
            return _("Cancelled: %(error)s") % {"error": _ended(self.row.error)}
        return _("Cancelled.") if self.row.attempt else _("Cancelled before it ran.")

    def _expired(self) -> str:
        return _("Expired: no worker began it in time.")

    def _merged(self) -> str:
        return _("Done by a later task about the same, so that it need not run itself.")

    @cached_property
    def obstacles(self) -> list[str]:
        """Why it does not begin, if it should have: no worker, a pause, a key of another one."""
        if self.state is not State.WAITING:
            return []
        return [obstacle.text for obstacle in obstacles.of_task(self.row)]

    @property
    def deaths_text(self) -> str:
        """What is to be known of the workers that died while they ran it; blank if none did."""
        if not self.row.deaths:
            return ""
        told = ngettext(
            "%(number)d worker died while it ran this task.",
            "%(number)d workers died while they ran this task.",
            self.row.deaths,
        ) % {"number": self.row.deaths}
        if self.state.is_final:
            return told
        return told + " " + _("It runs beside no other task of which that is so.")


def _small() -> Any:
    """Return tasks without their large columns."""
    return background.storage.tasks.defer(*ledger.LARGE).select_related("subject_type")


def _worker_of(row: BackgroundTask) -> Worker | None:
    """Return the worker that ran a task last, if its row is there still."""
    try:
        return row.worker
    except Worker.DoesNotExist:
        return None


def _following(message: Any) -> Iterator[str]:
    """Yield the ids of the tasks that are to follow one, each after the one before it."""
    for name in ("on_complete", "on_error"):
        following = getattr(message, name, None)
        while following is not None:
            if (task_id := getattr(following, "id", None)) is not None:
                yield task_id
            following = getattr(following, "on_complete", None)
    if (config := getattr(message, "chord_config", None)) is not None:
        yield config[3].id  # what runs once the whole group has ended


def _ended(text: str) -> str:
    """Return a text that ends as a sentence does."""
    text = text.rstrip()
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
