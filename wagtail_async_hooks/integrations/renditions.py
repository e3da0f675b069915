"""Renditions made ahead, in the sizes that the settings name.

Opt-in, by ``WAGTAIL_TASKS["RENDITIONS"]``. A worker makes what is missing after an image was
uploaded, or after something that shows it was published. Wagtail makes on demand what was not made
ahead, so in immediate mode nothing is: the editor would wait for what nobody asked for yet.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any, Final

from django.apps import apps
from django.db import models, router, transaction
from huey.exceptions import CancelExecution
from wagtail.models import ReferenceIndex

from wagtail_async_hooks import conf
from wagtail_async_hooks.integrations.tasks_backend import wagtails_own
from wagtail_async_hooks.queue import enqueue
from wagtail_async_hooks.queue.submission import QueuedTask, Submission
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils.models import root_model

logger = logging.getLogger(__name__)

WHAT_MATTERS: Final = frozenset(
    {"file", "focal_point_x", "focal_point_y", "focal_point_width", "focal_point_height"}
)
"""The fields of an image that its renditions follow from."""

AFTER_HOOKS: Final = -10
"""Priority of the tasks that make renditions: what editors wait for comes first."""

_PRESERVE_SVG: Final = "preserve-svg"
"""An SVG is not turned into pixels, which Wagtail cannot do; it says nothing about other images."""


def is_on(occasion: str) -> bool:
    """Return whether renditions are made on an occasion, ``"upload"`` or ``"publish"``."""
    settings = conf.current()
    named = settings.renditions.specs and occasion in settings.renditions.on
    return bool(named and settings.backend)


def specs() -> tuple[str, ...]:
    """Return the filter specs that the site names, with what is in braces written out.

    :raises ValueError: if Wagtail cannot tell where a brace ends.
    """
    from wagtail.images.models import Filter  # not above: a site may do without that app

    expanded = [s for spec in conf.current().renditions.specs for s in Filter.expand_spec(spec)]
    return tuple(f"{_without_svg(spec)}|{_PRESERVE_SVG}" for spec in expanded)


def problem_of(spec: str) -> str:
    """Return what keeps Wagtail from parsing a filter spec; blank if nothing does."""
    from wagtail.images.exceptions import InvalidFilterSpecError
    from wagtail.images.models import Filter

    try:
        for expanded in Filter.expand_spec(spec):
            _ = Filter(_without_svg(expanded)).operations  # it parses when it is asked for
    except (InvalidFilterSpecError, ValueError) as error:
        return str(error)
    return ""


def _without_svg(spec: str) -> str:
    return "|".join(part for part in spec.split("|") if part != _PRESERVE_SVG)


# When ---------------------------------------------------------------------------------------


def image_saved(
    instance: models.Model, update_fields: Collection[str] | None, raw: bool, **kwargs: Any
) -> None:
    """Have the renditions made of an image whose file or focal point may be new."""
    matters = update_fields is None or not WHAT_MATTERS.isdisjoint(update_fields)
    if matters and not raw and is_on("upload"):
        _record(_task_for(instance), instance)


def images_published(instance: models.Model, **kwargs: Any) -> None:
    """Have the renditions made that a published object lacks."""
    if is_on("publish") and apps.is_installed("wagtail.images"):
        submission = Submission(
            coalesce_key=_label(instance),
            # In one line behind the task that writes down what the object refers to.
            exclusive_key=wagtails_own.key_of_references(type(instance), instance.pk),
        )
        _record(make_for.task_class((instance,), submission=submission), instance)


def _task_for(image: models.Model) -> QueuedTask:
    label = _label(image)
    submission = Submission(coalesce_key=label, exclusive_key=f"renditions {label}")
    task: QueuedTask = make.task_class((image,), submission=submission)
    return task


def _record(task: QueuedTask, instance: models.Model) -> None:
    enqueue.enqueue(task, partial(_not_recorded, _label(instance)))


def _not_recorded(label: str, error: Exception) -> None:
    """Wagtail makes them on demand, so nobody misses anything."""
    logger.error("Renditions for %s could not be recorded as a task.", label, exc_info=error)


def _label(instance: models.Model) -> str:
    return f"{instance._meta.label_lower} {instance.pk}"


# Make them ----------------------------------------------------------------------------------


@background.own_task(
    "make_renditions", priority=AFTER_HOOKS, retries=3, retry_delay=10, retry_backoff=4
)
def make(image: Any) -> int:
    """Make the renditions of an image that are missing.

    :param image: an instance of the site's image model.
    :returns: how many there are now of those that the site names.
    """
    while True:
        # As the database has them: a cache of this process may know some that were deleted.
        models.prefetch_related_objects([image], "renditions")
        try:
            made = image.get_renditions(*specs())
        except Exception as error:
            if _file_now(image) is None:
                raise _gone() from error
            raise
        file = _file_now(image)
        if file is None:
            raise _gone()
        if file == image.file.name:
            return len(made)
        # Made of a file that was replaced meanwhile, after Wagtail had deleted the old renditions.
        image.renditions.filter(filter_spec__in=list(made)).delete()
        image.refresh_from_db()


def _file_now(image: Any) -> str | None:
    """Return the name of an image's file, as last committed; ``None`` if the image is gone.

    The lock waits for an editor who is about to replace the file. Who comes later finds what was
    made, and deletes it with the other renditions of the old file.
    """
    alias = router.db_for_write(type(image), instance=image)
    with transaction.atomic(using=alias):
        rows = type(image)._base_manager.using(alias).select_for_update().filter(pk=image.pk)
        name: str | None = rows.values_list("file", flat=True).first()
    return name


def _gone() -> CancelExecution:
    return CancelExecution("its image was deleted", retry=False)


@background.own_task("make_renditions_for", retries=3, retry_delay=10)
def make_for(subject: models.Model) -> int:
    """Have the renditions made of all images that an object refers to, where some are missing.

    :param subject: a page or snippet.
    :returns: of how many images.
    """
    lacking = [image for image in _images_of(subject) if _lacks_renditions(image)]
    for image in lacking:
        background.enqueue(_task_for(image))
    return len(lacking)


def _images_of(subject: models.Model) -> Iterator[Any]:
    """Return the images that an object refers to, as Wagtail's reference index knows."""
    from wagtail.images import get_image_model

    model = get_image_model()
    types = apps.get_model("contenttypes", "ContentType")._default_manager
    references = ReferenceIndex.get_references_for_object(subject).filter(
        to_content_type=types.get_for_model(root_model(model))
    )
    keys = set(references.values_list("to_object_id", flat=True))
    yield from model.objects.filter(pk__in=keys).prefetch_renditions()


def _lacks_renditions(image: Any) -> bool:
    from wagtail.images.models import Filter

    filters = {image.clean_filter_for_svg(Filter(spec)) for spec in specs()}
    return len(image.find_existing_renditions(*filters)) < len(filters)
