"""What an editor is told of tasks of hers that failed, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from wagtail.models import Page

from wagtail_async_hooks.exceptions import ObjectsFailed
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import description
from wagtail_async_hooks.types import State

NAMED: Final = 3
"""So many failed tasks of one request are named in a message."""

_KEEPS_PAGE: Final = frozenset(
    ("after_create_page", "after_edit_page", "after_publish_page", "page_published")
)
"""Hooks and signals after which the page is there, whatever became of a task."""

_OF_OBJECTS: Final = f"{ObjectsFailed.__module__}.{ObjectsFailed.__qualname__}"


class Failure(NamedTuple):
    """A task that failed, as its user is told of it.

    :param row: of a task that was merged into another one, its own.
    :param is_open: whether the user may see the task, and what it is about.
    """

    row: BackgroundTask
    is_open: bool

    @property
    def ran(self) -> BackgroundTask:
        """The row of the task that ran."""
        return ran(self.row)

    @property
    def what(self) -> str:
        """What the task does, and what its error means where somebody has said so."""
        row = self.row
        title = description.title_of(row) if self.is_open else description.action_of(row)
        return f"{title}: {self.ran.explanation}" if self.ran.explanation else title


def ran(row: BackgroundTask) -> BackgroundTask:
    """Return the row of the task that ran for a task: its own, unless that was merged."""
    into = row.merged_into if row.state == State.MERGED else None
    return row if into is None else into


def is_told(row: BackgroundTask) -> bool:
    """Return whether there is something to say of a task besides what its function said.

    There is not if it runs again meanwhile; a bulk action names the objects that failed itself.
    """
    is_failed = row.state == State.FAILED and row.error_type != _OF_OBJECTS
    return is_failed or bool(row.explanation and State(row.state).is_final)


def sentence(failures: Sequence[Failure], more: int = 0) -> str:
    """Return what to say about tasks of one request that failed.

    :param more: how many have failed besides.
    """
    first, number = failures[0], len(failures) + more
    if number == 1 and first.ran.explanation:
        return first.what
    kept = _kept(first.row)
    if number == 1:
        said = _("A background task failed: %(what)s.") % {"what": first.what}
    else:
        named = "; ".join(failure.what.rstrip(".") for failure in failures[:NAMED])
        if (others := number - min(NAMED, len(failures))) > 0:
            and_more = ngettext(
                "%(named)s; and %(number)d more", "%(named)s; and %(number)d more", others
            )
            named = and_more % {"named": named, "number": others}
        said = _("%(number)d background tasks failed: %(named)s.") % {
            "number": number,
            "named": named,
        }
    return f"{said} {kept}".rstrip()


def _kept(row: BackgroundTask) -> str:
    """Return what the failure has left as it should be; blank if nobody can know."""
    if row.hook in _KEEPS_PAGE and _is_page(row):
        return _("The page itself is saved.")
    if row.hook or description.is_wagtails(row):
        return _("Your change itself is saved.")
    return ""


def _is_page(row: BackgroundTask) -> bool:
    if row.subject_type_id is None:
        return False
    model = ContentType.objects.get_for_id(row.subject_type_id).model_class()
    return model is not None and issubclass(model, Page)
