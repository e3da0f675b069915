"""One bulk action in a worker: an instance of the site's own class for the chosen objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import QueryDict
from django.utils.translation import gettext as _
from wagtail import hooks
from wagtail.admin.views.generic.mixins import BeforeAfterHookMixin
from wagtail.models import Page

from wagtail_async_hooks.hooks import delete_snapshots, registry
from wagtail_async_hooks.hooks.catalogue import DELETE
from wagtail_async_hooks.integrations.bulk_actions.forms import decode_form
from wagtail_async_hooks.integrations.bulk_actions.registry import ActionClass
from wagtail_async_hooks.serialization.arguments import CarriedRequest
from wagtail_async_hooks.serialization.requests import encode_request
from wagtail_async_hooks.utils.errors import text_of


class Refused(Exception):
    """An object is not to be dealt with; the message says why, for editors."""


@dataclass(frozen=True, repr=False)
class BulkCall:
    """What was asked for on the confirmation page.

    :param action_class: the action, as it is registered.
    :param model: of its objects.
    :param form: what is carried of its form.
    :param request: what is carried of the request.
    """

    action_class: ActionClass
    model: type[Model]
    form: Any
    request: CarriedRequest

    def __repr__(self) -> str:
        return f"<BulkCall of {self.action_class.__name__} for {self.model._meta.label}>"

    def action(self, keys: Sequence[Any]) -> Any:
        """Return the action for some objects; it loads them, the user and its form anew."""
        query = urlencode([("id", key) for key in keys])
        request = CarriedRequest({**encode_request(self.request), "query": query})
        request.POST = QueryDict()  # Wagtail's constructor looks for the next page there
        action = self.action_class(request, self.model)
        del request.POST  # whoever else asks for it is told that it is not there
        action.cleaned_form = decode_form(self.form)
        return action

    def execute(self, key: Any) -> tuple[Model, list[int]]:
        """Do what the action does, with one object.

        :returns: the object, and how many objects and children it was done to.
        :raises Refused: if the action, or the user's permissions, say no.
        :raises TargetGone: if an object that the form names was deleted.
        """
        action = self.action([key])
        user = action.request.user
        if not user.is_active or not user.has_perm("wagtailadmin.access_admin"):
            raise Refused(_("Whoever started this may not use the admin any more."))
        objects, left_out = action.get_actionable_objects()
        if not objects:
            raise Refused(_reason(left_out))
        action.actionable_objects = action.annotate_items(objects)
        response = action.prepare_action(objects, left_out)
        if hasattr(response, "status_code"):
            raise Refused(_("The action asks for something that only its page can ask for."))
        if self._wants_copies(action):
            delete_snapshots.keep_also(self.request, objects)
        parents, children = action.execute_action(objects, **action.get_execution_context())
        return objects[0], [parents, children]

    def _wants_copies(self, action: Any) -> bool:
        if is_followed_by_hooks(action) and registry.has_functions("after_delete_snippet"):
            return True
        return self.deletes() and registry.has_functions("after_bulk_action")

    def deletes(self) -> bool:
        """Return whether it is what was asked for, if an object is gone."""
        return bool(self.action_class.action_type == DELETE)

    def has_hooks(self) -> bool:
        """Return whether anything but a message follows when objects have been dealt with."""
        followed = issubclass(self.action_class, BeforeAfterHookMixin)
        return followed or bool(hooks.get_hooks("after_bulk_action"))

    def action_after(self, objects: list[Model]) -> Any:
        """Return the action for what follows when objects have been dealt with."""
        action = self.action([])
        action.request = self.request
        action.actionable_objects = objects
        # Some may be deleted, so it is not to look for them.
        action.get_actionable_objects = lambda: (objects, {"items_with_no_access": []})
        return action


def is_followed_by_hooks(action: Any) -> bool:
    """Return whether an action has hooks of its own, as that has which deletes snippets."""
    return isinstance(action, BeforeAfterHookMixin)


def _reason(left_out: dict[str, Any]) -> str:
    """Say why an action takes no object, from the list that it has put the object into."""
    reasons = {
        "items_with_no_access": _("You don’t have the permission to do this."),
        "pages_without_destination_access": _("It cannot be moved there."),
        "pages_with_duplicate_slugs": _("A page with its slug is there already."),
        "mark_self_as_inactive": _("You cannot do this to your own account."),
    }
    for name, found in left_out.items():
        if found:
            return reasons.get(name) or _("The action refuses it: %(why)s.") % {
                "why": name.replace("_", " ")
            }
    return _("The action refuses it.")


def told(error: BaseException) -> str:
    """Say what went wrong with an object, for editors."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, PermissionDenied):
        return str(error) or _("You don’t have the permission to do this.")
    messages = getattr(error, "messages", None)  # of a ValidationError
    if messages:
        return " ".join(str(message) for message in messages)
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def label_of(found: Model) -> str:
    """Return what an object is called in the admin."""
    return str(found.get_admin_display_title() if isinstance(found, Page) else found)
