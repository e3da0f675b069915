"""Who may see background tasks, and change them: all of them, or those of objects one may edit.

``view`` and ``change`` on :class:`~wagtail_async_hooks.models.BackgroundTask` are about all tasks.
Everybody else sees, and may retry, the tasks of objects that she may edit, as Wagtail's permission
policies say, and tasks of her own that are about no object.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, Model, OuterRef
from wagtail.models import Page
from wagtail.permission_policies.base import ModelPermissionPolicy
from wagtail.permissions import page_permission_policy

from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.utils.models import to_key

VIEW: Final = "wagtail_async_hooks.view_backgroundtask"
CHANGE: Final = "wagtail_async_hooks.change_backgroundtask"

policy: Final = ModelPermissionPolicy(BackgroundTask)
"""Wagtail's policy for all tasks, with the actions ``view`` and ``change``."""

Subject = tuple[int | None, str]
"""Primary key of a content type, and of an object, as a row has them."""


def may_view_all(user: Any) -> bool:
    """Return whether a user may see all tasks; who may change them may see them."""
    return bool(user.has_perm(VIEW) or user.has_perm(CHANGE))


def may_change_all(user: Any) -> bool:
    """Return whether a user may change all tasks, pause queues, and read tracebacks."""
    return bool(user.has_perm(CHANGE))


class Access:
    """What one user may see and change, for the length of a request: what it learns it keeps.

    :param user: who asks.
    """

    def __init__(self, user: Any) -> None:
        self.user = user
        self.views_all = may_view_all(user)
        self.changes_all = may_change_all(user)
        self._editable: dict[Subject, bool | None] = {}  # None where there is no such object

    def may_see(self, row: BackgroundTask) -> bool:
        """Return whether the user may see a task."""
        return self.views_all or self._is_hers(row)

    def may_change(self, row: BackgroundTask) -> bool:
        """Return whether the user may retry a task, or cancel it."""
        return self.changes_all or self._is_hers(row)

    def visible(self, rows: Iterable[BackgroundTask]) -> list[BackgroundTask]:
        """Return those of some tasks that the user may see, by a query for each model."""
        rows = list(rows)
        if not self.views_all:
            self.learn((row.subject_type_id, row.subject_id) for row in rows)
        return [row for row in rows if self.may_see(row)]

    def learn(self, subjects: Iterable[Subject]) -> None:
        """Find out for several objects at once whether there are any, that the user may edit."""
        by_type: dict[int, set[str]] = {}
        for kind, key in {subject for subject in subjects if subject not in self._editable}:
            self._editable[kind, key] = None
            if kind is not None and key:
                by_type.setdefault(kind, set()).add(key)
        for model, types in _by_root(by_type).items():
            asked = {(kind, key) for kind in types for key in by_type[kind]}
            found = self._found(model, {key for _, key in asked})
            self._editable |= {subject: found.get(subject[1]) for subject in asked}

    def may_edit(self, subject: Subject) -> bool:
        """Return whether the user may edit an object."""
        self.learn([subject])
        return bool(self._editable[subject])

    def _is_hers(self, row: BackgroundTask) -> bool:
        is_own = row.user_id is not None and row.user_id == self.user.pk
        if row.subject_type_id is None or not row.subject_id:
            return is_own
        subject = (row.subject_type_id, row.subject_id)
        # Who deleted an object may know what becomes of that; nobody can edit it any more.
        return self.may_edit(subject) or (is_own and self._editable[subject] is None)

    def _found(self, model: type[Model], keys: set[str]) -> dict[str, bool]:
        """Return whether the user may edit objects, by primary key; without those that are gone."""
        actions = {"change", "publish"} if issubclass(model, Page) else {"change"}
        rules = policy_for(model)
        allowed = rules.instances_user_has_any_permission_for(self.user, actions)
        there = model._base_manager.filter(pk__in=_fitting(model, keys))
        told = there.annotate(may_edit=Exists(allowed.filter(pk=OuterRef("pk"))))
        return {str(key): bool(may) for key, may in told.values_list("pk", "may_edit")}


def policy_for(model: type[Model]) -> Any:
    """Return Wagtail's permission policy for a model: of pages, collections, snippets, or any."""
    if issubclass(model, Page):
        return page_permission_policy
    if (viewset := getattr(model, "snippet_viewset", None)) is not None:
        return viewset.permission_policy
    for app in ("wagtail.images", "wagtail.documents"):
        if apps.is_installed(app):
            rules = import_module(f"{app}.permissions").permission_policy
            if issubclass(model, rules.model):
                return rules
    return ModelPermissionPolicy(model)


def _fitting(model: type[Model], keys: Iterable[str]) -> list[Any]:
    """Return those of some texts that can be primary keys, as such."""
    return [key for text in keys if (key := to_key(model, text)) is not None]


def _by_root(types: Iterable[int]) -> dict[type[Model], list[int]]:
    """Return content types by the model whose objects are asked for: all pages at once.

    Types whose models are gone are left out.
    """
    found: dict[type[Model], list[int]] = {}
    for key in types:
        model = ContentType.objects.get_for_id(key).model_class()
        if model is not None:
            root = Page if issubclass(model, Page) else model
            found.setdefault(root, []).append(key)
    return found
