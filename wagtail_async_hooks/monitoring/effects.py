"""What it means for a site, in words, that tasks of one kind wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy


@dataclass(frozen=True)
class Kind:
    """Tasks that do the same, as people see it.

    :param waiting: a sentence without its full stop that says how many wait, by ``number``.
    :param effect: what follows from that, as the end of a sentence.
    :param behind: a sentence without its full stop that says by how much the work is ``late``, for
        work that people think of as one thing rather than as tasks; blank for others.
    """

    name: str
    waiting: Any
    effect: Promise
    behind: Promise | str = ""


CACHE: Final = Kind(
    "cache",
    ngettext_lazy(
        "%(number)s cache purge is waiting", "%(number)s cache purges are waiting", "number"
    ),
    _("visitors may see old pages"),
)
PUBLISHING: Final = Kind(
    "publishing",
    ngettext_lazy(
        "%(number)s scheduled publication is waiting",
        "%(number)s scheduled publications are waiting",
        "number",
    ),
    _("pages go live, or expire, late"),
    _("Scheduled publishing is %(late)s behind"),
)
EMAIL: Final = Kind(
    "email",
    ngettext_lazy("%(number)s e-mail is waiting", "%(number)s e-mails are waiting", "number"),
    _("notifications arrive late"),
)
SEARCH: Final = Kind(
    "search",
    ngettext_lazy(
        "%(number)s update of the search index is waiting",
        "%(number)s updates of the search index are waiting",
        "number",
    ),
    _("searches may not find what was published"),
    _("The search index is %(late)s behind"),
)
BULK_ACTIONS: Final = Kind(
    "bulk",
    ngettext_lazy(
        "%(number)s bulk action is waiting", "%(number)s bulk actions are waiting", "number"
    ),
    _("what was chosen for many pages has not been done yet"),
)
RENDITIONS: Final = Kind(
    "renditions",
    ngettext_lazy(
        "%(number)s set of image sizes is waiting",
        "%(number)s sets of image sizes are waiting",
        "number",
    ),
    _("the first visitors of a page may wait for its images"),
)
REFERENCES: Final = Kind(
    "references",
    ngettext_lazy(
        "%(number)s update of the reference index is waiting",
        "%(number)s updates of the reference index are waiting",
        "number",
    ),
    _("the admin may not know where a page, image or document is used"),
    _("The reference index is %(late)s behind"),
)
FILES: Final = Kind(
    "files",
    ngettext_lazy(
        "%(number)s deletion of a file is waiting",
        "%(number)s deletions of files are waiting",
        "number",
    ),
    _("files that were deleted can still be downloaded"),
)
FOCAL_POINTS: Final = Kind(
    "focal points",
    ngettext_lazy(
        "%(number)s new image is waiting for its focal point",
        "%(number)s new images are waiting for their focal points",
        "number",
    ),
    _("images may be cropped badly"),
)
OTHER: Final = Kind(
    "other",
    ngettext_lazy(
        "%(number)s background task is waiting",
        "%(number)s background tasks are waiting",
        "number",
    ),
    _("what should follow a change has not happened yet"),
)

KINDS: Final = (
    *(CACHE, PUBLISHING, EMAIL, SEARCH, BULK_ACTIONS),
    *(RENDITIONS, REFERENCES, FILES, FOCAL_POINTS, OTHER),
)
"""All of them, those with the gravest effects first."""

_BY_FUNCTION: Final[dict[str, Kind]] = {
    "wagtail.contrib.frontend_cache.tasks.purge_urls_from_cache_task": CACHE,
    "modelsearch.tasks.insert_or_update_object_task": SEARCH,
    "wagtail.tasks.update_reference_index_task": REFERENCES,
    "wagtail.tasks.delete_file_from_storage_task": FILES,
    "wagtail.images.tasks.set_image_focal_point_task": FOCAL_POINTS,
    "wagtail_async_hooks.send_email": EMAIL,
    "wagtail_async_hooks.publish_revision": PUBLISHING,
    "wagtail_async_hooks.expire_object": PUBLISHING,
    "wagtail_async_hooks.catch_up_scheduled_publishing": PUBLISHING,
    "manage.py publish_scheduled": PUBLISHING,
    "wagtail_async_hooks.make_renditions": RENDITIONS,
    "wagtail_async_hooks.make_renditions_for": RENDITIONS,
    "wagtail_async_hooks.run_bulk_action": BULK_ACTIONS,
}


def kind_of(function: str) -> Kind:
    """Return the kind of the tasks of a function, by its dotted path as rows have it."""
    return _BY_FUNCTION.get(function, OTHER)
