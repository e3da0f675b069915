"""The tables: the ledger of background tasks, the workers, and what Huey keeps by key."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.checks import CheckMessage
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_lazy as _

from wagtail_async_hooks.conf import installed
from wagtail_async_hooks.types import ItemState, State
from wagtail_async_hooks.utils.database.instants import InstantField

installed.require()


class ExactCharField(models.CharField):  # type: ignore[type-arg]  # not generic at run time
    """Text that is compared byte by byte on every database.

    MySQL and MariaDB compare text without regard to case unless the column says otherwise, and
    Django's ``db_collation`` can only name a collation of one database.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "mysql":
            return f"varchar({self.max_length}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        return super().db_type(connection)


class Worker(models.Model):
    """A worker process. Its heartbeat, by the database's clock, says that it is alive."""

    host = models.CharField(max_length=255)
    process_space = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text=_("Where the process number means something: this boot, this container."),
    )
    pid = models.PositiveIntegerField()
    threads = models.PositiveSmallIntegerField()
    release = models.CharField(max_length=64)
    queues = models.TextField(
        blank=True, default="", db_default="", help_text=_("Those that it serves; blank for all.")
    )
    clock_ahead = models.IntegerField(
        default=0,
        db_default=0,
        help_text=_("Seconds by which its host's clock is ahead of the database's."),
    )
    code = models.JSONField(
        null=True,
        help_text=_("Hashes of the modules with background functions, as it has loaded them."),
    )
    started_at = InstantField()
    heartbeat_at = InstantField()
    stopped_at = InstantField(null=True)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class BackgroundTask(models.Model):
    """One call of a function in the background: what, about what, for whom, and what became of it.

    Only :mod:`wagtail_async_hooks.ledger` changes rows. Foreign keys carry no constraint in the
    database: a constraint would make the editor's INSERT lock the user's row, and the history
    must outlive what it tells about. Deleting that does nothing here either, as Django would look
    into this table even on a site that has not made it (see :mod:`.signal_handlers`).
    """

    task_id = ExactCharField(max_length=255, help_text=_("Huey's id of the task."))
    name = models.CharField(max_length=255, help_text=_("The task's name in Huey's registry."))
    title = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text=_("What it does, for people."),
    )
    hook = models.CharField(max_length=100, blank=True, default="", db_default="")
    function = models.CharField(max_length=255, blank=True, default="", db_default="")
    message = models.BinaryField(help_text=_("Huey's message, as signed JSON."))
    queue = ExactCharField(max_length=64, default="default", db_default="default")
    priority = models.IntegerField(default=0, db_default=0, help_text=_("Higher runs first."))
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.WAITING, db_default=State.WAITING
    )
    run_at = InstantField(null=True, help_text=_("Not before this time."))
    latest_at = InstantField(
        null=True, help_text=_("Not after this time, however many follow it; if it is debounced.")
    )
    expires_at = InstantField(null=True, help_text=_("Not to be begun after this time."))
    attempt = models.PositiveIntegerField(
        default=0, db_default=0, help_text=_("How often it was begun.")
    )
    snoozes = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text=_("How often its function asked to be called again later."),
    )
    deaths = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text=_("How many workers died while running it.")
    )
    worker = models.ForeignKey(
        Worker,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="tasks",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text=_("Who triggered it."),
    )
    subject_type = models.ForeignKey(
        ContentType,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    subject_id = ExactCharField(max_length=255, blank=True, default="", db_default="")
    subject_title = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text=_("What the object was called when the task was enqueued."),
    )
    cause = models.UUIDField(
        null=True,
        help_text=_("The id by which Wagtail's log groups what one request did."),
    )
    enqueued_at = InstantField()
    started_at = InstantField(null=True)
    finished_at = InstantField(null=True)
    coalesce_key = ExactCharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text=_("Of several waiting tasks with the same key only the newest runs."),
    )
    exclusive_key = ExactCharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text=_("Of several tasks with the same key only one runs at a time, in their order."),
    )
    blocked = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("Claims pass over it, as it waits behind many others with its exclusive key."),
    )
    slot = models.PositiveSmallIntegerField(
        null=True,
        help_text=_("Its number among the running tasks of its queue, if that has a limit."),
    )
    merged_into = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="merged",
        help_text=_("The task that ran for this one as well."),
    )
    progress_done = models.PositiveBigIntegerField(null=True, help_text=_("How much it has done."))
    progress_total = models.PositiveBigIntegerField(null=True, help_text=_("Of how much."))
    progress_note = models.CharField(max_length=255, blank=True, default="", db_default="")
    cancel_requested = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("It is to end when it next reports its progress."),
    )
    side_effect = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text=_("What a second run would do once more, in a word."),
    )
    messages = models.JSONField(null=True, help_text=_("What the function had to tell the editor."))
    result = models.BinaryField(null=True, help_text=_("What it returned, as signed JSON."))
    error = models.TextField(
        blank=True, default="", db_default="", help_text=_("What went wrong, in one line.")
    )
    error_type = models.CharField(max_length=255, blank=True, default="", db_default="")
    error_place = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text=_("The function of the site's own code in which it went wrong."),
    )
    traceback = models.TextField(blank=True, default="", db_default="")
    explanation = models.CharField(
        max_length=500,
        blank=True,
        default="",
        db_default="",
        help_text=_("What the error means, for editors."),
    )

    class Meta:
        verbose_name = _("background task")
        verbose_name_plural = _("background tasks")
        # Each index serves one query. MySQL and MariaDB have no partial indexes: there, some are
        # others, see migrations/_initial_mysql.py, and the rest hold all rows.
        indexes = [
            models.Index(
                models.F("blocked"),
                models.F("priority").desc(),
                models.F("id"),
                name="bgtask_claim",
                condition=models.Q(state=State.WAITING),
            ),
            # Not "priority DESC": see ledger/selection.py.
            models.Index(
                models.F("queue"),
                models.F("blocked"),
                models.Value(-1) - models.F("priority"),
                models.F("id"),
                name="bgtask_queue",
                condition=models.Q(state=State.WAITING),
            ),
            models.Index(
                fields=["run_at"], name="bgtask_due", condition=models.Q(state=State.SCHEDULED)
            ),
            models.Index(
                fields=["worker"], name="bgtask_running", condition=models.Q(state=State.RUNNING)
            ),
            # Not by "db_index", which would add one for LIKE on PostgreSQL.
            models.Index(fields=["task_id"], name="bgtask_task_id"),
            # Those of overviews: with the number, since the newest are asked for. The first holds
            # only what has ended, so that claims do not write to it; the queue is for counting.
            models.Index(
                fields=["state", "id", "queue"],
                name="bgtask_state",
                condition=models.Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=["user", "id"], name="bgtask_user", condition=models.Q(user__isnull=False)
            ),
            models.Index(
                fields=["subject_type", "subject_id", "id"],
                name="bgtask_about",
                condition=models.Q(subject_type__isnull=False),
            ),
            models.Index(
                fields=["cause"], name="bgtask_cause", condition=models.Q(cause__isnull=False)
            ),
            models.Index(
                fields=["coalesce_key"],
                name="bgtask_coalesce",
                condition=models.Q(state__in=(State.WAITING, State.SCHEDULED))
                & ~models.Q(coalesce_key=""),
            ),
            models.Index(
                models.F("exclusive_key"),
                models.Value(-1) - models.F("priority"),
                models.F("id"),
                models.F("blocked"),
                name="bgtask_exclusive_next",
                condition=models.Q(state=State.WAITING) & ~models.Q(exclusive_key=""),
            ),
        ]
        constraints = [
            # Two workers may claim two tasks of one key in the same instant: this stops the second.
            # MySQL and MariaDB have no conditional constraints: migrations/_initial_mysql.py.
            models.UniqueConstraint(
                fields=["exclusive_key"],
                name="bgtask_exclusive",
                condition=models.Q(state=State.RUNNING) & ~models.Q(exclusive_key=""),
            ),
            # The same for the tasks of a queue that has a limit.
            models.UniqueConstraint(
                fields=["queue", "slot"],
                name="bgtask_slot",
                condition=models.Q(state=State.RUNNING) & models.Q(slot__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hook or self.name} #{self.pk}"

    @classmethod
    def check(cls, **kwargs: Any) -> list[CheckMessage]:
        """Drop Django's warnings about MySQL: the migration answers them."""
        # Conditions of constraints, and of indexes; expressions, on MariaDB.
        answered = ("models.W036", "models.W037", "models.W043")
        return [message for message in super().check(**kwargs) if message.id not in answered]


class TaskAttempt(models.Model):
    """An attempt at a task that was not the last one; the last one is in the task's own row."""

    task = models.ForeignKey(
        BackgroundTask, on_delete=models.CASCADE, db_constraint=False, related_name="attempts"
    )
    number = models.PositiveIntegerField()
    worker = models.ForeignKey(
        Worker,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    started_at = InstantField(null=True)
    ended_at = InstantField()
    error = models.TextField(blank=True, default="", db_default="")
    error_type = models.CharField(max_length=255, blank=True, default="", db_default="")
    traceback = models.TextField(blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("attempt at a background task")
        verbose_name_plural = _("attempts at background tasks")

    def __str__(self) -> str:
        return f"{self.number}: {self.error}"


class Pause(models.Model):
    """What workers do not begin until somebody resumes it."""

    class Kind(models.TextChoices):
        """What can be paused."""

        EVERYTHING = "everything", _("Everything")
        QUEUE = "queue", _("Queue")
        HOOK = "hook", _("Hook")
        FUNCTION = "function", _("Function")

    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = ExactCharField(max_length=255, blank=True, default="", db_default="")
    paused_at = InstantField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        help_text=_("Who paused it."),
    )
    reason = models.TextField(blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        constraints = [
            models.UniqueConstraint(fields=["kind", "name"], name="bgtask_pause"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


class TaskItem(models.Model):
    """What became of one of the objects that a task works through.

    That one is done is written in the transaction of the change to it, so that a task which is cut
    off and begins again knows what is done.
    """

    task = models.ForeignKey(
        BackgroundTask,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,  # that of the constraint below serves as well
        related_name="items",
    )
    key = ExactCharField(max_length=255, help_text=_("Primary key of the object."))
    label = models.CharField(max_length=255, help_text=_("What the object is called."))
    state = models.CharField(max_length=10, choices=ItemState.choices)
    error = models.TextField(
        blank=True, default="", db_default="", help_text=_("What went wrong, for editors.")
    )
    result = models.JSONField(null=True, help_text=_("What came of it, for what follows."))
    is_told = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("What follows when all are done has been told of it."),
    )
    ended_at = InstantField()

    class Meta:
        verbose_name = _("object of a background task")
        verbose_name_plural = _("objects of background tasks")
        constraints = [models.UniqueConstraint(fields=["task", "key"], name="bgtask_item_key")]

    def __str__(self) -> str:
        return f"{self.label}: {self.state}"


class Notice(models.Model):
    """A task that has ended, and whose messages its user has not been shown yet."""

    task = models.OneToOneField(
        BackgroundTask, on_delete=models.CASCADE, db_constraint=False, primary_key=True
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )

    class Meta:
        verbose_name = _("notice of a background task")
        verbose_name_plural = _("notices of background tasks")

    def __str__(self) -> str:
        return f"#{self.task_id}"


class TaskStatistic(models.Model):
    """What one worker did in five minutes of the tasks of one function.

    Each row has one writer, so that workers never wait for each other; charts are sums of rows.
    After a day, rows are merged: those are of half an hour, and of all workers.
    """

    worker = models.ForeignKey(
        Worker,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    start = InstantField(help_text=_("When the five minutes began."))
    queue = ExactCharField(max_length=64)
    hook = models.CharField(max_length=100, blank=True, default="", db_default="")
    function = models.CharField(max_length=255, blank=True, default="", db_default="")
    succeeded = models.PositiveIntegerField(default=0, db_default=0)
    failed = models.PositiveIntegerField(default=0, db_default=0)
    ended_otherwise = models.PositiveIntegerField(
        default=0, db_default=0, help_text=_("Cancelled, or expired.")
    )
    repeated = models.PositiveIntegerField(
        default=0, db_default=0, help_text=_("Attempts after which the task was to run again.")
    )
    ran = models.FloatField(
        default=0.0, db_default=0.0, help_text=_("Seconds that the attempts took, altogether.")
    )
    longest_run = models.FloatField(default=0.0, db_default=0.0, help_text=_("In seconds."))

    class Meta:
        verbose_name = _("statistic of background tasks")
        verbose_name_plural = _("statistics of background tasks")
        indexes = [models.Index(fields=["start"], name="bgtask_statistic_start")]

    def __str__(self) -> str:
        return f"{self.start} {self.hook or self.function}"


class QueueSample(models.Model):
    """How many tasks of a queue waited, most of all in five minutes."""

    start = InstantField(help_text=_("When the five minutes began."))
    queue = ExactCharField(max_length=64)
    waiting = models.PositiveIntegerField(default=0, db_default=0)
    oldest = models.FloatField(
        default=0.0,
        db_default=0.0,
        help_text=_("Seconds for which one of them had waited, at most."),
    )

    class Meta:
        verbose_name = _("sample of a queue")
        verbose_name_plural = _("samples of queues")
        constraints = [
            models.UniqueConstraint(fields=["start", "queue"], name="bgtask_sample_start")
        ]

    def __str__(self) -> str:
        return f"{self.start} {self.queue}: {self.waiting}"


class HookSample(models.Model):
    """How long the functions of hooks took in one web process, for a minute or so."""

    hook = models.CharField(max_length=100)
    function = models.CharField(max_length=255)
    at = InstantField(help_text=_("When the last of the calls was made."))
    calls = models.PositiveIntegerField(default=0, db_default=0)
    seconds = models.FloatField(
        default=0.0, db_default=0.0, help_text=_("That the calls took, altogether.")
    )
    durations = models.JSONField(
        default=list, help_text=_("Seconds that some of the calls took, chosen at random.")
    )

    class Meta:
        verbose_name = _("sample of a hook's function")
        verbose_name_plural = _("samples of hooks' functions")
        indexes = [models.Index(fields=["at"], name="bgtask_hook_sample_at")]

    def __str__(self) -> str:
        return f"{self.hook}: {self.function}"


class MutedError(models.Model):
    """A group of errors of which nobody wants to hear any more."""

    key = ExactCharField(
        max_length=64, unique=True, help_text=_("Hash of the three columns that make the group.")
    )
    error_type = models.CharField(max_length=255, blank=True, default="", db_default="")
    function = models.CharField(max_length=255, blank=True, default="", db_default="")
    error_place = models.CharField(max_length=255, blank=True, default="", db_default="")
    muted_at = InstantField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text=_("Who muted it."),
    )

    class Meta:
        verbose_name = _("muted error")
        verbose_name_plural = _("muted errors")

    def __str__(self) -> str:
        return f"{self.error_type} {self.function}"


class AlertTarget(models.Model):
    """Somebody who is told that something is wrong, by one process at a time."""

    name = ExactCharField(max_length=255, unique=True)
    holder = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text=_("The process that tells now, by a number of its own."),
    )
    held_until = InstantField(null=True, help_text=_("Until then, nobody else tells."))
    failures = models.PositiveIntegerField(
        default=0, db_default=0, help_text=_("How often telling has failed, since it last did not.")
    )

    class Meta:
        verbose_name = _("recipient of alerts")
        verbose_name_plural = _("recipients of alerts")

    def __str__(self) -> str:
        return str(self.name)


class AlertRecord(models.Model):
    """Something that is or was wrong, and when somebody was told of it."""

    target = ExactCharField(max_length=255)
    key = ExactCharField(max_length=100, help_text=_("What it is; the same as long as it lasts."))
    kind = models.CharField(max_length=32)
    title = models.CharField(max_length=255, blank=True, default="", db_default="")
    since = InstantField(help_text=_("When it began."))
    told_at = InstantField(null=True, help_text=_("When it was told last; blank if not yet."))
    ended_at = InstantField(null=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.UniqueConstraint(fields=["target", "key"], name="bgtask_alert_key"),
        ]

    def __str__(self) -> str:
        return f"{self.target}: {self.key}"


class Schedule(models.Model):
    """What the workers know of one entry of the schedule: when it is due, and what became of it.

    Whoever moves ``next_due_at`` on enqueues the task, in the same transaction.
    """

    name = ExactCharField(max_length=255, unique=True)
    crontab = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text=_("Blank where a function says when it is due."),
    )
    time_zone = models.CharField(max_length=255)
    next_due_at = InstantField(null=True, help_text=_("When to look at it next."))
    last_due_at = InstantField(null=True, help_text=_("The time that was kept last."))
    last_skipped_at = InstantField(null=True, help_text=_("The time that was not kept last."))
    last_task = models.ForeignKey(
        BackgroundTask,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )

    class Meta:
        verbose_name = _("entry of the schedule")
        verbose_name_plural = _("entries of the schedule")

    def __str__(self) -> str:
        return str(self.name)


class StoredValue(models.Model):
    """What Huey keeps by key: results of pipelines, locks, revocations."""

    storage = models.CharField(max_length=64)
    key = ExactCharField(max_length=255)
    value = models.BinaryField()
    expires_at = InstantField(null=True)

    class Meta:
        constraints = [
            # The key comes first: every claim asks whether there are any revocations.
            models.UniqueConstraint(fields=["key", "storage"], name="bgtask_value_key"),
        ]

    def __str__(self) -> str:
        return f"{self.storage}: {self.key}"


class Counter(models.Model):
    """What Huey counts by key: the members of a chord, the uses of a rate limit."""

    storage = models.CharField(max_length=64)
    key = ExactCharField(max_length=255)
    value = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["storage", "key"], name="bgtask_counter_key"),
        ]

    def __str__(self) -> str:
        return f"{self.storage}: {self.key} = {self.value}"
