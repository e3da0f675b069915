"""The tables: the ledger of background tasks, the workers, and what Huey keeps by key."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.checks import CheckMessage
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_lazy as _

from wagtail_async_hooks.records import State


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
        help_text=_("Where the process number means something: this boot, this container."),
    )
    pid = models.PositiveIntegerField()
    threads = models.PositiveSmallIntegerField()
    release = models.CharField(max_length=64)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)

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

    task_id = ExactCharField(max_length=255, db_index=True, help_text=_("Huey's id of the task."))
    name = models.CharField(max_length=255, help_text=_("The task's name in Huey's registry."))
    hook = models.CharField(max_length=100, blank=True)
    function = models.CharField(max_length=255, blank=True)
    message = models.BinaryField(help_text=_("Huey's message, as signed JSON."))
    queue = models.CharField(max_length=64, default="default")
    priority = models.IntegerField(default=0, help_text=_("Higher runs first."))
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    run_at = models.DateTimeField(null=True, help_text=_("Not before this time."))
    attempt = models.PositiveIntegerField(default=0, help_text=_("How often it was begun."))
    deaths = models.PositiveSmallIntegerField(
        default=0, help_text=_("How many workers died while running it.")
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
    subject_id = ExactCharField(max_length=255, blank=True)
    enqueued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    result = models.BinaryField(null=True, help_text=_("What it returned, as signed JSON."))
    error = models.TextField(blank=True, help_text=_("What went wrong, in one line."))
    error_type = models.CharField(max_length=255, blank=True)
    traceback = models.TextField(blank=True)

    class Meta:
        verbose_name = _("background task")
        verbose_name_plural = _("background tasks")
        # Each index serves one query. MySQL and MariaDB have no partial indexes: there, the
        # second migration sees to the claim's, and the others hold all rows.
        indexes = [
            models.Index(
                models.F("priority").desc(),
                models.F("id"),
                name="bgtask_claim",
                condition=models.Q(state=State.WAITING),
            ),
            models.Index(
                fields=["run_at"], name="bgtask_due", condition=models.Q(state=State.SCHEDULED)
            ),
            models.Index(
                fields=["worker"], name="bgtask_running", condition=models.Q(state=State.RUNNING)
            ),
            models.Index(fields=["subject_type", "subject_id"], name="bgtask_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.hook or self.name} #{self.pk}"

    @classmethod
    def check(cls, **kwargs: Any) -> list[CheckMessage]:
        """Drop Django's warnings about indexes on MySQL: the second migration answers them."""
        answered = ("models.W037", "models.W043")  # conditions; expressions, on MariaDB
        return [message for message in super().check(**kwargs) if message.id not in answered]


class StoredValue(models.Model):
    """What Huey keeps by key: results of pipelines, locks, revocations."""

    storage = models.CharField(max_length=64)
    key = ExactCharField(max_length=255)
    value = models.BinaryField()
    expires_at = models.DateTimeField(null=True)

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
