"""What the ledger hands out and takes in: plain values that need no database."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

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

    @property
    def is_final(self) -> bool:
        """Whether a task in this state has come to its end."""
        return self not in (State.SCHEDULED, State.WAITING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """What signals and logs tell about a task."""

    pk: int
    task_id: str
    name: str
    hook: str
    function: str
    queue: str
    priority: int
    attempt: int

    @property
    def sender(self) -> str:
        """The hook's name, or the task's where there is no hook."""
        return self.hook or self.name

    def __str__(self) -> str:
        told = f"{self.hook} {self.function}" if self.hook else self.name
        return f"{told} [task {self.pk}]"


@dataclass(frozen=True, slots=True)
class Claim(TaskInfo):
    """A task that this process has claimed.

    :param deaths: how many workers have died while they ran it.
    :param message: the message to run.
    :param revocations: whether anything at all is revoked; if not, nobody need ask whether this is.
    """

    deaths: int
    message: bytes
    revocations: bool = True


@dataclass(slots=True)
class Outcome:
    """What became of one attempt at a claimed task.

    :param state: a final state, or ``waiting``/``scheduled`` for a task that will run again.
    :param duration: of the attempt, in seconds.
    :param message: the message to run next time, if that is another one.
    :param run_at: when to run it again.
    """

    claim: Claim
    state: State
    duration: float = 0.0
    result: bytes | None = None
    error: str = ""
    error_type: str = ""
    traceback: str = ""
    message: bytes | None = None
    run_at: datetime.datetime | None = None
