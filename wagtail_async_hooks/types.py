"""Plain values that the ledger returns and takes; they need no database."""

from __future__ import annotations

import datetime
import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """Where a background task stands."""

    SCHEDULED = "scheduled", _("Scheduled")
    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")
    MERGED = "merged", _("Merged")

    @property
    def is_final(self) -> bool:
        """Whether a task in this state has come to its end."""
        return self not in (State.SCHEDULED, State.WAITING, State.RUNNING)


class ItemState(models.TextChoices):
    """What became of one of the objects that a task works through."""

    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class Progress(NamedTuple):
    """How far a task has come.

    :param done: how much is done.
    :param total: of how much; ``None`` if nobody knows.
    :param note: what it is doing.
    """

    done: int
    total: int | None = None
    note: str = ""


class Subject(NamedTuple):
    """Which object a task is about, as told by an argument that stands for it.

    :param key: its primary key.
    :param instance: the object, to say what it is called; ``None`` where nobody has read it.
    """

    model: type[models.Model]
    key: Any
    instance: models.Model | None = None


@dataclass(frozen=True, slots=True, repr=False)
class TaskInfo:
    """What signals and logs have of a task: nothing of its arguments."""

    pk: int
    task_id: str
    name: str
    hook: str
    function: str
    queue: str
    priority: int
    attempt: int

    @property
    def info(self) -> TaskInfo:
        """What others may know of it."""
        return self

    @property
    def sender(self) -> str:
        """The hook's name, or the task's where there is no hook."""
        return self.hook or self.name

    @property
    def log_fields(self) -> dict[str, Any]:
        """What structured logs have of it: attributes of log records, whose names are free."""
        return {
            "task_pk": self.pk,
            "task_id": self.task_id,
            "task_name": self.name,
            "hook": self.hook,
            "function": self.function,
            "queue": self.queue,
            "attempt": self.attempt,
        }

    def __str__(self) -> str:
        told = self.name if self.name == self.function else f"{self.sender} {self.function}"
        return f"{told} [task {self.pk}]"

    def __repr__(self) -> str:
        # Error reporters send the representations of local variables: no message, and no keys.
        return f"<{type(self).__name__} {self}>"


@dataclass(frozen=True, slots=True, repr=False)
class Claim(TaskInfo):
    """A task that this process has claimed; receivers and loggers get its :attr:`info`.

    :param deaths: how many workers have died while they ran it.
    :param message: the message to run.
    :param coalesce_key: of several waiting tasks with the same one only the newest runs.
    :param exclusive_key: no other task with the same one runs meanwhile.
    :param cancel_requested: whether somebody cancelled it while a worker ran it before.
    :param worker: primary key of the worker that has claimed it.
    :param revocations: whether anything at all is revoked; if not, nobody need ask whether this is.
    :param snoozes: how many attempts ended with the function asking to be called again later.
    :param is_debounced: it waited for the end of a burst, and others may be in the middle of that.
    :param merged: the tasks that this one runs for as well.
    :param is_deferred: nothing runs here: what was claimed is merged into this task, which waits
        for the end of a burst, or runs elsewhere.
    :param slot: its number among the running tasks of its queue, if that has a limit.
    :param behind_until: monotonic time until which this thread looks for the next task behind this
        one, as a scan of the whole index was slow; minus infinity if it was not.
    :param is_expired: whether it had expired by the database's clock; ``None`` if the row does not
        say when it does.
    :param goes_on: nothing is begun here: this process is still at an earlier attempt at the task.
    """

    deaths: int
    message: bytes
    coalesce_key: str = ""
    exclusive_key: str = ""
    cancel_requested: bool = False
    worker: int | None = None
    revocations: bool = True
    snoozes: int = 0
    is_debounced: bool = False
    merged: tuple[TaskInfo, ...] = ()
    is_deferred: bool = False
    slot: int | None = None
    behind_until: float = -math.inf
    is_expired: bool | None = None

    _info: TaskInfo | None = field(default=None, init=False, compare=False)

    @property
    def info(self) -> TaskInfo:
        """What others may know of it: without the message and the keys."""
        if self._info is not None:
            return self._info
        info = TaskInfo(
            self.pk,
            self.task_id,
            self.name,
            self.hook,
            self.function,
            self.queue,
            self.priority,
            self.attempt,
        )
        object.__setattr__(self, "_info", info)  # receivers of several signals get it
        return info

    goes_on: bool = False

    @property
    def holds_alone(self) -> bool:
        """Whether it keeps others from running: by an exclusive key, or a place within a limit."""
        return bool(self.exclusive_key) or self.slot is not None

    @property
    def counted(self) -> int:
        """Which attempt this is of those that count: not those that the function has snoozed."""
        return self.attempt - self.snoozes


class Bounds(NamedTuple):
    """What the claims of a worker keep to.

    :param queues: those that it serves; empty for all.
    :param left_out: those from which it claims nothing: not served, or paused.
    :param hooks: those that are paused.
    :param functions: dotted paths of those that are paused.
    :param limits: how many tasks of a queue may run at once, over all workers.
    :param all_paused: whether it claims nothing at all.
    """

    queues: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    limits: Mapping[str, int] = MappingProxyType({})
    all_paused: bool = False

    def __bool__(self) -> bool:
        return self is not EVERYTHING and self != EVERYTHING


EVERYTHING: Final = Bounds()
"""No bounds."""


@dataclass(slots=True, repr=False)
class Outcome:
    """How one attempt at a claimed task ended.

    :param state: a final state, or ``waiting``/``scheduled`` for a task that will run again.
    :param duration: of the attempt, in seconds.
    :param error_place: the function of the site's own code in which it went wrong.
    :param explanation: what the error means, for editors.
    :param message: the message to run next time, if that is another one.
    :param run_at: when to run it again.
    :param run_in: in how many seconds that is, if it does not depend on what a clock shows: then it
        counts from when it is recorded, by the database's clock.
    :param messages: what the function had to tell the editor.
    :param was_called: whether the function was called, for those that were merged into it as well.
    :param progress: what it reported last, if that is not in the row yet.
    :param is_snoozed: whether the function asked to be called again later.
    :param refusals: how often the database has refused to record it.
    :param losses: how often a connection was lost on it, though the database could be reached.
    """

    claim: Claim
    state: State
    duration: float = 0.0
    result: bytes | None = None
    error: str = ""
    error_type: str = ""
    error_place: str = ""
    traceback: str = ""
    explanation: str = ""
    message: bytes | None = None
    run_at: datetime.datetime | None = None
    run_in: float | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    was_called: bool = True
    progress: Progress | None = None
    is_snoozed: bool = False
    refusals: int = 0
    losses: int = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.claim}: {self.state}>"


class Counted(NamedTuple):
    """What attempts are counted by."""

    queue: str
    hook: str
    function: str


class Tally(NamedTuple):
    """How some attempts ended, as :class:`~wagtail_async_hooks.models.TaskStatistic` has it.

    :param ended_otherwise: cancelled, or expired.
    :param repeated: those after which the task was to run again.
    :param ran: seconds that they took, altogether.
    :param longest_run: in seconds.
    """

    succeeded: int = 0
    failed: int = 0
    ended_otherwise: int = 0
    repeated: int = 0
    ran: float = 0.0
    longest_run: float = 0.0

    def and_also(self, other: Tally) -> Tally:
        """Return what both come to."""
        return Tally(
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.ended_otherwise + other.ended_otherwise,
            self.repeated + other.repeated,
            self.ran + other.ran,
            max(self.longest_run, other.longest_run),
        )


class AlertKind(enum.StrEnum):
    """What an alert may be about."""

    NEW_ERROR = "new-error"
    """Tasks fail with an error that was not there before."""

    FAILURE_RATE = "failure-rate"
    """Too many of the tasks fail."""

    WAITING = "waiting"
    """A task waits for too long."""

    NO_WORKER = "no-worker"
    """No worker is alive, or none that serves a queue in which tasks wait."""

    DOCTOR = "doctor"
    """Something else that ``wagtail_tasks doctor`` has found, and that is critical."""

    TEST = "test"
    """Nothing; somebody wants to know whether messages arrive."""


@dataclass(frozen=True, slots=True)
class AlertProblem:
    """Something that is wrong, or was.

    :param key: what it is: the same in all messages about it, and that of nothing else.
    :param title: what is wrong, in a few words.
    :param text: the same in sentences.
    :param remedy: what to type, or to change.
    :param since: when it began, aware.
    :param url: of a page of the admin that is about it; blank if there is none.
    :param is_over: whether it is over.
    """

    key: str
    kind: AlertKind
    title: str
    text: str
    remedy: str
    since: datetime.datetime
    url: str = ""
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """The argument of functions in ``WAGTAIL_TASKS["ALERTS"]["to"]``.

    :param site: the name of the site, by ``WAGTAIL_SITE_NAME``.
    :param subject: all of it in one line.
    :param text: all of it in lines of plain text, as e-mails have it.
    :param problems: first what is wrong, then what is over.
    """

    site: str
    subject: str
    text: str
    problems: tuple[AlertProblem, ...]
