"""The pages about all background tasks, which lead to one another."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Section(NamedTuple):
    """One of these pages.

    :param name: of its URL, in the namespace ``wagtail_async_hooks``.
    :param label: what it is called.
    :param needs_all: whether only those see it who may see all tasks.
    """

    name: str
    label: Promise
    needs_all: bool = True


SECTIONS: Final[tuple[Section, ...]] = (
    Section("overview", _("Overview")),
    Section("tasks", _("Tasks"), needs_all=False),
    Section("errors", _("Errors")),
    Section("hooks", _("Hooks")),
    Section("schedule", _("Schedule")),
    Section("workers", _("Workers")),
    Section("queues", _("Queues")),
)
"""All of them, in the order in which they are shown."""


def links(current: str, *, views_all: bool) -> list[dict[str, Any]]:
    """Return what the navigation shows.

    :param current: name of the page that is shown.
    :param views_all: whether the user may see all tasks.
    """
    return [
        {
            "label": section.label,
            "url": reverse(f"wagtail_async_hooks:{section.name}"),
            "is_current": section.name == current,
        }
        for section in SECTIONS
        if views_all or not section.needs_all
    ]
