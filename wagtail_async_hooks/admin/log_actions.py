"""Entries in Wagtail's log about what people do to background tasks.

What is done to a task about an object is in the history of that object, such as a page; all else
is in the site's history. Wagtail shows an entry to those who have a permission for the type of its
object. The permissions for all that runs in the background are those for background tasks, so
pauses and muted errors are logged as such too.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy
from wagtail.log_actions import LogFormatter, log, registry
from wagtail.models import Page

from wagtail_async_hooks.models import BackgroundTask, MutedError, Pause
from wagtail_async_hooks.monitoring import description
from wagtail_async_hooks.utils.models import to_key

MOST: Final = 50
"""So many objects get an entry each when somebody acts on many tasks; of more, one entry tells."""


class Action(enum.StrEnum):
    """What people do, by the names of Wagtail's log."""

    RETRY = "wagtail_async_hooks.retry"
    RUN_NOW = "wagtail_async_hooks.run_now"
    CANCEL = "wagtail_async_hooks.cancel"
    DISCARD = "wagtail_async_hooks.discard"
    PAUSE = "wagtail_async_hooks.pause"
    RESUME = "wagtail_async_hooks.resume"
    MUTE = "wagtail_async_hooks.mute"
    UNMUTE = "wagtail_async_hooks.unmute"


# Write --------------------------------------------------------------------------------------


def record(
    action: str, row_or_rows: BackgroundTask | Iterable[BackgroundTask], user: Any, **data: Any
) -> None:
    """Log what somebody did to a task, or to several: one entry for each object, or one for all.

    :param action: one of :class:`Action`, with or without its prefix, such as ``"retry"``.
    :param row_or_rows: as they were read, without their large columns; they may be gone by now.
    :param user: who did it.
    :param data: more that the entries are to keep, in JSON's types.
    """
    rows = [row_or_rows] if isinstance(row_or_rows, BackgroundTask) else list(row_or_rows)
    if not rows:
        return
    if len({_subject(row) or row.pk for row in rows}) > MOST:
        _log(_nothing(), _action(action), user, rows, _tasks(len(rows)), data)
        return
    objects = _objects(rows)
    by_instance: dict[Any, list[BackgroundTask]] = {}
    for row in rows:
        subject = _subject(row)
        by_instance.setdefault(subject if subject in objects else row.pk, []).append(row)
    for key, of_one in by_instance.items():
        row = of_one[0]
        instance = objects.get(key)
        title = description.title_of(row) if instance is None else description.subject_of(row)
        _log(row if instance is None else instance, _action(action), user, of_one, title, data)


def record_many(action: str, number: int, user: Any, **data: Any) -> None:
    """Log by one entry what somebody did to many tasks that were not read one by one."""
    if number:
        data = {**data, "number": number, "tasks": []}
        log(_nothing(), _action(action), user=user, title=_tasks(number), data=data)


def record_pause(action: str, pause: Pause, user: Any) -> None:
    """Log that somebody paused something, or resumed it.

    :param action: ``"pause"`` or ``"resume"``.
    :param pause: its row, which may be gone by now.
    """
    data = {"kind": pause.kind, "name": pause.name, "reason": pause.reason}
    log(_nothing(), _action(action), user=user, title=described(pause.kind, pause.name), data=data)


def record_muted(action: str, muted: MutedError, user: Any) -> None:
    """Log that somebody muted a group of errors, or does not any more.

    :param action: ``"mute"`` or ``"unmute"``.
    :param muted: its row, which may be gone by now.
    """
    names = ("key", "error_type", "function", "error_place")
    data = {name: getattr(muted, name) for name in names}
    log(_nothing(), _action(action), user=user, title=str(muted).strip() or muted.key, data=data)


def described(kind: str, name: str) -> str:
    """Return what can be paused, in words: "Queue “mail”"."""
    if kind == Pause.Kind.EVERYTHING:
        return _("All background tasks")
    return _("%(kind)s “%(name)s”") % {"kind": Pause.Kind(kind).label, "name": name}


def _action(name: str) -> str:
    """Return the whole name of an action.

    :raises ValueError: if there is none.
    """
    return Action(name if "." in name else f"wagtail_async_hooks.{name}").value


def _tasks(number: int) -> str:
    words = ngettext("%(number)d background task", "%(number)d background tasks", number)
    return words % {"number": number}


def _nothing() -> BackgroundTask:
    """Return what stands for the object where there is none: no task has this number."""
    return BackgroundTask(pk=0)


def _log(
    instance: Model,
    action: str,
    user: Any,
    rows: list[BackgroundTask],
    title: str,
    data: dict[str, Any],
) -> None:
    kept = {
        **data,
        "tasks": [row.pk for row in rows[:MOST]],
        "number": len(rows),
        "task": _title(rows[0]),
    }
    log(instance, action, user=user, title=title, data=kept)


def _title(row: BackgroundTask) -> str:
    """Return what a task is called in the history of its object, which is named there already."""
    return row.title or description.action_of(row)


# Find ---------------------------------------------------------------------------------------


def _subject(row: BackgroundTask) -> tuple[int, str] | None:
    if row.subject_type_id is None or not row.subject_id:
        return None
    return row.subject_type_id, row.subject_id


def _objects(rows: Iterable[BackgroundTask]) -> dict[tuple[int, str] | int | None, Model]:
    """Return the objects of tasks that are there still, by one query for each model."""
    keys: dict[int, set[str]] = {}
    for row in rows:
        if (subject := _subject(row)) is not None:
            keys.setdefault(subject[0], set()).add(subject[1])
    found: dict[tuple[int, str] | int | None, Model] = {}
    for type_id, texts in keys.items():
        model = ContentType.objects.get_for_id(type_id).model_class()
        if model is None:
            continue
        # Of a page, no more than its history needs.
        root = Page if issubclass(model, Page) else model
        there = root._base_manager.in_bulk([k for t in texts if (k := to_key(root, t)) is not None])
        found |= {(type_id, str(key)): instance for key, instance in there.items()}
    return found


def newest_about(row: BackgroundTask, instance: Model | None = None, limit: int = 20) -> list[Any]:
    """Return what people did to one task, by Wagtail's log, the newest first.

    Of an object with many entries, only the newest are looked at.

    :param instance: the task's object, if there is one.
    """
    instances = [row] if instance is None else [instance, row]
    entries: list[Any] = []
    for each in instances:
        ours = registry.get_logs_for_instance(each).filter(action__in=list(Action))
        newest = ours.select_related("user").order_by("-timestamp")[:MOST]
        entries += [entry for entry in newest if row.pk in entry.data.get("tasks", ())]
    return sorted(entries, key=lambda entry: entry.timestamp, reverse=True)[:limit]


# Show ---------------------------------------------------------------------------------------


class _TaskFormatter(LogFormatter):  # type: ignore[misc]  # Wagtail has no types
    """How a history tells what was done to tasks."""

    one: Promise
    many: Any

    def format_message(self, log_entry: Any) -> str:
        """Say what, and to which task, or to how many."""
        data = log_entry.data
        number = data.get("number", 1)
        if number == 1:
            return str(self.one) % {"task": data.get("task") or log_entry.label}
        return str(self.many % {"number": number})


class _RetryFormatter(_TaskFormatter):
    label = gettext_lazy("Run background tasks again")
    one = gettext_lazy("Ran the background task “%(task)s” again")
    many = ngettext_lazy(
        "Ran %(number)d background task again", "Ran %(number)d background tasks again", "number"
    )


class _RunNowFormatter(_TaskFormatter):
    label = gettext_lazy("Run background tasks now")
    one = gettext_lazy("Let the background task “%(task)s” run now")
    many = ngettext_lazy(
        "Let %(number)d background task run now",
        "Let %(number)d background tasks run now",
        "number",
    )


class _CancelFormatter(_TaskFormatter):
    label = gettext_lazy("Cancel background tasks")
    one = gettext_lazy("Cancelled the background task “%(task)s”")
    many = ngettext_lazy(
        "Cancelled %(number)d background task", "Cancelled %(number)d background tasks", "number"
    )


class _DiscardFormatter(_TaskFormatter):
    label = gettext_lazy("Discard background tasks")
    one = gettext_lazy("Discarded the background task “%(task)s”")
    many = ngettext_lazy(
        "Discarded %(number)d background task", "Discarded %(number)d background tasks", "number"
    )


class _PauseFormatter(LogFormatter):  # type: ignore[misc]  # Wagtail has no types
    label = gettext_lazy("Pause background tasks")

    def format_message(self, log_entry: Any) -> str:
        """Say what was paused."""
        return _("Paused background tasks: %(what)s") % {"what": _paused(log_entry)}

    def format_comment(self, log_entry: Any) -> str:
        """Say why."""
        return str(log_entry.data.get("reason", ""))


class _ResumeFormatter(LogFormatter):  # type: ignore[misc]  # Wagtail has no types
    label = gettext_lazy("Resume background tasks")

    def format_message(self, log_entry: Any) -> str:
        """Say what goes on."""
        return _("Resumed background tasks: %(what)s") % {"what": _paused(log_entry)}


def _paused(log_entry: Any) -> str:
    kind = log_entry.data.get("kind", "")
    known = kind in Pause.Kind.values
    return described(kind, log_entry.data.get("name", "")) if known else str(log_entry.label)


class _MuteFormatter(LogFormatter):  # type: ignore[misc]  # Wagtail has no types
    label = gettext_lazy("Mute an error of background tasks")
    message = gettext_lazy("Muted an error of background tasks")


class _UnmuteFormatter(LogFormatter):  # type: ignore[misc]  # Wagtail has no types
    label = gettext_lazy("Show a muted error of background tasks again")
    message = gettext_lazy("Showed a muted error of background tasks again")


_FORMATTERS: Final[dict[Action, type[Any]]] = {
    Action.RETRY: _RetryFormatter,
    Action.RUN_NOW: _RunNowFormatter,
    Action.CANCEL: _CancelFormatter,
    Action.DISCARD: _DiscardFormatter,
    Action.PAUSE: _PauseFormatter,
    Action.RESUME: _ResumeFormatter,
    Action.MUTE: _MuteFormatter,
    Action.UNMUTE: _UnmuteFormatter,
}


def register(actions: Any) -> None:
    """Register them; a function for Wagtail's hook ``register_log_actions``."""
    for action, formatter in _FORMATTERS.items():
        actions.register_action(action.value)(formatter)
