"""Bulk actions that the settings, rather than their authors, move to the background."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db.models import Model
from wagtail import hooks

from wagtail_async_hooks import conf
from wagtail_async_hooks.integrations.bulk_actions.registry import (
    HOOK,
    ActionClass,
    name_of,
    registered,
)
from wagtail_async_hooks.integrations.bulk_actions.views import BackgroundBulkActionMixin

LAST: Final = 10_000
"""Order of what is registered here: of several classes for one action, Wagtail takes the last."""


def why_not(action: ActionClass) -> str:
    """Return why a setting cannot move an action to the background; blank if it can."""
    owner = next(base for base in action.__mro__ if "form_valid" in vars(base))
    if owner.__module__.partition(".")[0] == "wagtail" or is_in_background(action):
        return ""
    return f"{owner.__module__}.{owner.__qualname__} does work of its own in form_valid()"


def is_in_background(action: ActionClass) -> bool:
    """Return whether a class is made for the background, here or by its author."""
    return issubclass(action, BackgroundBulkActionMixin)


def move() -> None:
    """Register, for each action that the settings name, a class that can run in the background.

    It is made of the class that Wagtail would take otherwise, so a site's own replacement of an
    action stays in force. Call it when all ``wagtail_hooks.py`` have been imported.
    """
    if not conf.current().bulk_actions.actions:
        return
    models: dict[ActionClass, list[type[Model]]] = {}
    for name, action in registered().items():
        if name not in conf.current().bulk_actions.actions:
            continue
        if not is_in_background(action) and not why_not(action):
            moved = (m for m in action.models if name_of(m, action.action_type) == name)
            models.setdefault(action, []).extend(moved)
    for action, of_action in models.items():
        hooks.register(HOOK, _moved(action, of_action), order=LAST)


def _moved(action: ActionClass, models: Iterable[type[Model]]) -> ActionClass:
    """Return a class that differs from another one only in where it runs."""
    told = {name: getattr(action, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(action.__name__, (_MovedBySettings, action), {**told, "models": list(models)})


class _MovedBySettings(BackgroundBulkActionMixin):
    """A bulk action that runs in the background as long as the settings name it."""

    def wants_background(self) -> bool:
        """Look into the settings, which may have changed since the class was made."""
        return self.name in conf.current().bulk_actions.actions
