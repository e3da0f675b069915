"""The columns of lists of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from wagtail.admin.ui.tables import BaseColumn, Column, DateColumn
from wagtail.admin.utils import get_user_display_name

from wagtail_async_hooks.admin.links import url_of
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import description
from wagtail_async_hooks.types import State

_WIDE: Final = "background-wide-only"
"""Class of what narrow screens show below the title, or leave out."""

_FOLDER: Final = "wagtail_async_hooks/admin"


class SelectColumn(BaseColumn):  # type: ignore[misc]  # Wagtail has no types
    """A checkbox for each row; Wagtail's script selects all of a page."""

    header_template_name = f"{_FOLDER}/select_header.html"

    def render_cell_html(self, instance: Any, parent_context: Any) -> str:
        """Return a cell; a template would take many times as long."""
        return format_html(
            '<td><input type="checkbox" name="id" value="{0}" data-action="w-bulk#toggle" '
            'data-w-bulk-target="item" aria-label="{1}" aria-describedby="task_{0}_title"></td>',
            str(instance.pk),
            _("Select"),
        )


class TaskColumn(Column):  # type: ignore[misc]
    """What a task does, in words, its function below, and its error."""

    cell_template_name = f"{_FOLDER}/task_cell.html"

    def get_cell_context_data(self, instance: Any, parent_context: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_cell_context_data(instance, parent_context)
        context["url"] = url_of(instance)
        context["shows_error"] = description.is_wrong(instance)
        return context


class StateColumn(Column):  # type: ignore[misc]
    """Where a task stands, and how far it is."""

    def render_cell_html(self, instance: Any, parent_context: Any) -> str:
        """Return a cell; a template would take many times as long."""
        return format_html("<td>{}{}</td>", state_html(instance), _progress_html(instance))


class TextColumn(Column):  # type: ignore[misc]
    """Plain text."""

    def render_cell_html(self, instance: Any, parent_context: Any) -> str:
        """Return a cell; a template would take many times as long."""
        return format_html('<td class="{}">{}</td>', self.classname or "", self.get_value(instance))


_ICONS: Final = {
    State.FAILED: "warning",
    State.EXPIRED: "warning",
    State.SUCCEEDED: "check",
    State.MERGED: "check",
    State.RUNNING: "spinner",
    State.CANCELLED: "cross",
}
"""Wagtail's icons for states; those of tasks that wait have another one."""


def state_html(row: BackgroundTask) -> SafeString:
    """Return where a task stands, with its icon."""
    state = State(row.state)
    is_wrong = state in (State.FAILED, State.EXPIRED)
    icon = _ICONS.get(state, "time")
    return format_html(
        '<svg class="icon icon-{0} background-state__icon{1}" aria-hidden="true">'
        '<use href="#icon-{0}"></use></svg> '
        '<span class="background-state background-state--{2}">{3}</span>',
        icon,
        " background-state__icon--wrong" if is_wrong else "",
        state.value,
        state.label,
    )


def _progress_html(row: BackgroundTask) -> str:
    if not row.progress_total or row.finished_at is not None:
        return ""
    told = f"{row.progress_done}/{row.progress_total}"
    return format_html(' <span class="background-task__progress">{}</span>', told)


def columns(*, selects: bool) -> list[BaseColumn]:
    """Return the columns of the report.

    :param selects: whether rows can be selected.
    """
    return [
        *([SelectColumn("select", label=_("Select"), width="3%")] if selects else []),
        TaskColumn("task", label=_("Task"), accessor=description.title_of, width="50%"),
        StateColumn("state", label=_("State"), accessor="get_state_display"),
        TextColumn("caused_by", label=_("Caused by"), accessor="caused_by", classname=_WIDE),
        DateColumn("enqueued_at", label=_("Enqueued"), classname=_WIDE),
        TextColumn("took", label=_("Took"), accessor=description.took, classname=_WIDE),
    ]


def prepare(
    rows: Sequence[BackgroundTask], known: Mapping[Any, Any] = MappingProxyType({})
) -> Sequence[BackgroundTask]:
    """Put into some rows what their columns need, by a few queries for all of them.

    :param known: users who were read already, by primary key.
    """
    keys = {row.user_id for row in rows if row.user_id is not None} - known.keys()
    users = {**known, **(get_user_model()._base_manager.in_bulk(keys) if keys else {})}
    for row in rows:
        user = users.get(row.user_id)
        row.caused_by = "" if user is None else get_user_display_name(user)  # type: ignore[attr-defined]  # for the column
    description.name_subjects(rows)
    return rows
