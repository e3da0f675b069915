"""What the editor sees of receipts: how the tasks of her object stand, and where to read more."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from django.contrib.admin.utils import quote, unquote
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from wagtail.admin import messages
from wagtail.admin.utils import get_latest_str
from wagtail.admin.widgets.button import Button
from wagtail.log_actions import get_active_log_context
from wagtail.models import DraftStateMixin, Page

from wagtail_async_hooks.admin.links import url_of as url_of_task
from wagtail_async_hooks.admin.permissions import Access
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import receipts
from wagtail_async_hooks.monitoring.receipts import Receipt, Step, Subject
from wagtail_async_hooks.utils.database.transactions import guarded

logger = logging.getLogger(__name__)

_FOLDER = "wagtail_async_hooks/receipt"


# Where --------------------------------------------------------------------------------------


def subject_of(instance: Model) -> Subject:
    """Return how rows name an object; a page, by its own class."""
    known = instance.content_type_id if isinstance(instance, Page) else None
    return known or ContentType.objects.get_for_model(instance).pk, str(instance.pk)


def url_of(instance: Model, cause: uuid.UUID) -> str:
    """Return the address of the receipt of a request for an object."""
    return reverse("wagtail_async_hooks:receipt", args=[*_names(instance), cause])


def url_of_all(instance: Model) -> str:
    """Return the address of the list of an object's receipts."""
    return reverse("wagtail_async_hooks:receipts", args=_names(instance))


def url_of_step(step: Step, access: Access) -> str:
    """Return where the task of a step has its page; blank if the user may not see it."""
    return "" if step.row is None or not access.may_see(step.row) else url_of_task(step.row)


def _names(instance: Model) -> list[str]:
    model = Page if isinstance(instance, Page) else type(instance)
    return [model._meta.label_lower, quote(str(instance.pk))]


def button(page: Page) -> Button:
    """Return what leads from the menu of a page to its receipts, without a query."""
    return Button(_("Receipts"), url_of_all(page), icon_name="tasks", priority=66)


# Messages -----------------------------------------------------------------------------------


def tell_on_edit(request: HttpRequest, instance: Model) -> None:
    """Say on the page of the editor how the tasks about its object stand, if any run or failed.

    One query, by an index. Whatever goes wrong, she gets her page.
    """
    if request.method != "GET" or not _is_shown(request):
        return
    with guarded(_log):
        rows = receipts.newest_of(subject_of(instance))
        unfinished, wrong = receipts.telling(rows)
        # Failures wait until the rest has ended.
        causes = [row.cause for row in (*unfinished, *wrong) if row.cause is not None]
        if causes:
            _tell(request, instance, causes[0], [row for row in rows if row.cause == causes[0]])


def tell_after(request: HttpRequest, instance: Model) -> None:
    """Say, on the page that follows the form, what still happens after a change to an object.

    One query, by an index, for each such form; none for those that autosave sends, nor where the
    editor comes next, which says so itself.
    """
    if request.method != "POST" or not _is_shown(request) or _stays(request, instance):
        return
    with guarded(_log):
        cause = get_active_log_context().uuid
        rows = receipts.tasks_of(cause) if cause is not None else []
        own = [row for row in rows if not row.subject_id or row.subject_id == str(instance.pk)]
        if cause is not None and own:
            _tell(request, instance, cause, own)


def tell_in_history(request: HttpRequest) -> None:
    """Lead from the history of an object to its receipts, if anything ran for it.

    Wagtail has no hook for histories, nor a place for a link in their rows.
    """
    model = _model_of_history(request)
    if model is None or not _is_shown(request):
        return
    with guarded(_log):
        key = next(iter(request.resolver_match.kwargs.values()))  # type: ignore[union-attr]
        instance = model._default_manager.filter(pk=unquote(str(key))).first()
        if instance is not None and receipts.newest_of(subject_of(instance)):
            text = _("Receipts say what ran in the background after each change, and how it ended.")
            messages.info(request, text, buttons=[_receipts_of(instance)])


def _receipts_of(instance: Model) -> Any:
    return messages.button(url_of_all(instance), _("Receipts"))


def _model_of_history(request: HttpRequest) -> type[Model] | None:
    """Return the model whose object's history a request asks for; ``None`` if it does not."""
    match = request.resolver_match
    if match is None or match.url_name != "history" or not match.kwargs:
        return None
    if match.namespace == "wagtailadmin_pages":
        return Page  # type: ignore[no-any-return]  # Wagtail has no types
    if match.namespace.startswith("wagtailsnippets_"):
        view: Any = match.func
        return view.view_initkwargs.get("model")  # type: ignore[no-any-return]
    return None


def _stays(request: HttpRequest, instance: Model) -> bool:
    """Return whether a form saves a draft, after which Wagtail shows the editor again."""
    return isinstance(instance, DraftStateMixin | Page) and not any(
        name.startswith(("action-", "workflow-action-")) for name in request.POST
    )


def _is_shown(request: HttpRequest) -> bool:
    """Return whether a person gets a page to see messages on, rather than a script."""
    return "text/html" in request.headers.get("Accept", "") and hasattr(request, "_messages")


def _log(error: Exception) -> None:
    logger.error("How background tasks stand cannot be shown.", exc_info=error)


def _tell(
    request: HttpRequest, instance: Model, cause: uuid.UUID, rows: list[BackgroundTask]
) -> None:
    steps = tuple(Step(row.state, "", row.finished_at, row) for row in rows)
    found = Receipt(get_latest_str(instance), steps)
    url = url_of(instance, cause)
    state_url = reverse("wagtail_async_hooks:receipt_state", args=[*_names(instance), cause])
    context: dict[str, Any] = {"receipt": found, "state_url": f"{state_url}?brief"}
    text = render_to_string(f"{_FOLDER}/message.html", context)
    level = messages.warning if found.wrong and not found.open else messages.info
    level(request, text, buttons=[messages.button(url, _("Receipt"))])
