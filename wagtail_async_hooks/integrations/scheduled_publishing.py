"""Scheduled publishing without cron: what is to go live or to expire is a task for that moment.

Opt-in, by ``WAGTAIL_TASKS["SCHEDULED_PUBLISHING"]``. Wagtail's own code publishes and unpublishes,
so that signals and log entries are those of its command ``publish_scheduled``, which may stay
beside it as a fallback: whoever comes first clears the time, and the other finds nothing to do.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.contrib import messages
from django.core.management import get_commands
from django.db import models, router, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from huey.api import TaskWrapper
from huey.exceptions import CancelExecution
from wagtail.log_actions import LogFormatter, log
from wagtail.models import DraftStateMixin, Page, Revision

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.exceptions import Snooze
from wagtail_async_hooks.queue.row import name_of
from wagtail_async_hooks.queue.submission import Submission
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.utils.database.transactions import guarded
from wagtail_async_hooks.utils.text import cut_key, storable
from wagtail_async_hooks.utils.time import as_django, aware, to_huey

logger = logging.getLogger(__name__)

OTHERS_TURN: Final = 60.0
"""Seconds after which what this host would not publish yet is begun again, perhaps by another."""

LATE: Final = 60.0
"""Seconds after its time from which on an object's history says how late something happened."""

LATE_ACTION: Final = "wagtail_async_hooks.late"
"""Name of that entry in Wagtail's log."""


def is_on() -> bool:
    """Return whether the site has opted in; without a ledger there is nothing to plan with."""
    settings = conf.current()
    return settings.scheduled_publishing and bool(settings.backend)


# Plan ---------------------------------------------------------------------------------------


def revision_saved(
    instance: Revision, update_fields: Collection[str] | None, raw: bool, **kwargs: Any
) -> None:
    """Plan when an approved revision goes live, or do not any more; after a revision's save."""
    approved = instance.approved_go_live_at
    concerned = approved is not None or "approved_go_live_at" in (update_fields or ())
    if raw or not concerned or not is_on():
        return
    subject = instance.content_object
    if subject is not None:
        _plan(publish_revision, subject, approved, instance.pk)


def object_published(instance: Any, **kwargs: Any) -> None:
    """Plan when an object expires that has just gone live; no other revision waits to."""
    if is_on() and instance.live:
        _plan(publish_revision, instance, None)
        _plan(expire, instance, instance.expire_at)


def object_unpublished(instance: Any, **kwargs: Any) -> None:
    """What is not live neither expires nor has a revision that waits to go live."""
    if is_on():
        _plan(publish_revision, instance, None)
        _plan(expire, instance, None)


def _plan(
    task: TaskWrapper, subject: models.Model, moment: datetime.datetime | None, *arguments: Any
) -> None:
    """Record a task for a moment, in place of the one that is planned for the same object."""
    label = _label(subject)
    submission = Submission(
        context=Context(),  # nobody acts then: as with Wagtail's command
        coalesce_key=label,
        is_eta_named=True,
    )
    made = task.task_class(
        (subject, *arguments), {}, eta=moment and to_huey(moment), submission=submission
    )

    def complain(error: Exception) -> None:
        logger.error("%s: its time could not be recorded as a task.", label, exc_info=error)

    with guarded(complain), transaction.atomic(using=ledger.database(), savepoint=False):
        ledger.cancel_scheduled(name_of(made), label, "another time was set, or none")
        if moment is not None:
            background.enqueue(made)


def _label(subject: models.Model) -> str:
    """Return how an object is called in the column of keys, where it is looked for."""
    return cut_key(storable(f"{subject._meta.label_lower} {subject.pk}"))


# Do it --------------------------------------------------------------------------------------


@background.own_task("publish_revision", retries=3, retry_delay=10)
def publish_revision(subject: models.Model, revision: Any) -> None:
    """Publish a revision whose time has come.

    :param subject: what it is a revision of.
    :param revision: its primary key.
    """
    with transaction.atomic(using=router.db_for_write(Revision)):
        found = (
            Revision.objects.using(router.db_for_write(Revision))
            .select_for_update()
            .filter(pk=revision, approved_go_live_at__isnull=False)
            .first()
        )
        due = None if found is None else found.approved_go_live_at
        if due is None or aware(due) > ledger.clock():
            raise CancelExecution("it is not scheduled any more", retry=False)
        _wait_for_wagtail(due)
        found.publish(log_action="wagtail.publish.scheduled")
        _explain(subject, due, "publish")


@background.own_task("expire_object", retries=3, retry_delay=10)
def expire(subject: models.Model) -> None:
    """Unpublish an object whose time has come.

    :param subject: a page or snippet.
    """
    alias = router.db_for_write(type(subject), instance=subject)
    with transaction.atomic(using=alias):
        rows: Any = type(subject)._base_manager.using(alias)
        found = rows.select_for_update().filter(pk=subject.pk, live=True).first()
        due = None if found is None else found.expire_at
        if due is None or aware(due) > ledger.clock():
            raise CancelExecution("it does not expire any more", retry=False)
        found.unpublish(set_expired=True, log_action="wagtail.unpublish.scheduled")
        _explain(subject, due, "unpublish")


def _wait_for_wagtail(due: datetime.datetime) -> None:
    """Ask to be called again later if Wagtail would not publish yet, but plan it once more.

    :param due: the time as Wagtail has it, which it compares with this host's clock. That may be
        behind the database's. And with ``USE_TZ=False`` both are local times, of which an hour
        comes twice where clocks are put back: what was due in the first is not, in the second.
    :raises Snooze: for as long as that takes, or until another host may come to it.
    """
    seconds = (due - timezone.now()).total_seconds()
    if seconds >= 0:
        raise Snooze(min(seconds + 0.001, OTHERS_TURN))


# Catch up -----------------------------------------------------------------------------------


def stands_in_for(command: str, *args: Any, **options: Any) -> bool:
    """Return whether tasks are to do what a management command would.

    Wagtail's command takes no locks: one that runs while a task publishes would publish the same
    once more.
    """
    plain = command == "publish_scheduled" and not args and not options
    return plain and is_on() and get_commands().get(command) == "wagtail"


@background.own_task("catch_up_scheduled_publishing")
def catch_up() -> int:
    """Record tasks for what is due, as Wagtail's command sees it, and what no task sees to.

    :returns: how many.
    """
    now = ledger.clock()
    overdue = [*_to_expire(now), *_to_publish(now)]
    under_way = ledger.under_way({name_of(due.task.task_class()) for due in overdue})
    late = [due for due in overdue if due.key not in under_way]
    for due in late:
        _plan(due.task, due.subject, due.moment, *due.arguments)
    return len(late)


class _Due(NamedTuple):
    """What is due: the task that does it, about what, since when, and what else that is passed."""

    task: TaskWrapper
    subject: models.Model
    moment: datetime.datetime
    arguments: tuple[Any, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Name and coalesce key of its task."""
        return name_of(self.task.task_class()), _label(self.subject)


def _to_expire(now: datetime.datetime) -> Iterator[_Due]:
    drafts = [m for m in apps.get_models() if issubclass(m, DraftStateMixin)]
    for model in [Page, *(m for m in drafts if not issubclass(m, Page))]:
        rows: Any = model._base_manager.using(router.db_for_write(model))
        for found in rows.filter(live=True, expire_at__lt=as_django(now)):
            subject = found.specific if isinstance(found, Page) else found
            yield _Due(expire, subject, found.expire_at)


def _to_publish(now: datetime.datetime) -> Iterator[_Due]:
    revisions = Revision.objects.using(router.db_for_write(Revision))
    for revision in revisions.filter(approved_go_live_at__lt=as_django(now)):
        subject = revision.content_object
        if subject is not None:
            yield _Due(publish_revision, subject, revision.approved_go_live_at, (revision.pk,))


# Explain ------------------------------------------------------------------------------------


def _explain(subject: models.Model, due: datetime.datetime, what: str) -> None:
    """Say in the object's history how late something happened, and why."""
    due = aware(due)
    seconds = (ledger.clock() - due).total_seconds()
    if seconds < LATE:
        return
    gap = ledger.without_worker(due)
    data = {"what": what, "minutes": round(seconds / 60), "due": due.isoformat()}
    if gap is not None:
        data["gap"] = [moment and moment.isoformat() for moment in gap]
    log(subject, LATE_ACTION, data=data)


class LateFormatter(LogFormatter):  # type: ignore[misc]  # Wagtail has no types
    """How the history of an object tells that something happened late."""

    label = _("Scheduled action came late")

    def format_message(self, log_entry: Any) -> str:
        """Say how late, and why."""
        data = log_entry.data
        late = _went_live if data["what"] == "publish" else _expired
        return f"{late(data['minutes'])} {_why(data.get('gap'))}"


def _went_live(minutes: int) -> str:
    return ngettext(
        "Went live %(minutes)d minute late:", "Went live %(minutes)d minutes late:", minutes
    ) % {"minutes": minutes}


def _expired(minutes: int) -> str:
    return ngettext(
        "Expired %(minutes)d minute late:", "Expired %(minutes)d minutes late:", minutes
    ) % {"minutes": minutes}


def _why(gap: list[str | None] | None) -> str:
    if gap is None:
        return gettext("background workers were busy with other tasks.")
    begin, end = (_told(moment) for moment in gap)
    if begin and end:
        return gettext("no background worker ran between %(begin)s and %(end)s.") % {
            "begin": begin,
            "end": end,
        }
    if end:
        return gettext("no background worker ran before %(end)s.") % {"end": end}
    return gettext("no background worker ran at that time.")


def _told(moment: str | None) -> str:
    if moment is None:
        return ""
    instant = aware(datetime.datetime.fromisoformat(moment))
    local = instant.astimezone(timezone.get_current_timezone())
    return str(date_format(local, "SHORT_DATETIME_FORMAT"))


# Warn ---------------------------------------------------------------------------------------


def warn(request: HttpRequest, *args: Any) -> None:
    """Tell an editor who opens the form that no worker would keep a time that they set."""
    if request.method == "GET" and is_on() and not ledger.is_served():
        messages.warning(
            request,
            gettext(
                "No background worker is running at the moment: a scheduled time will only be "
                "kept once one is running again."
            ),
        )
