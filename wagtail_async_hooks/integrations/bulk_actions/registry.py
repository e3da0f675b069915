"""Which class does a bulk action.

An action is named as in the address of its confirmation page: app, model and action type, such as
``wagtailcore.page.publish``.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from django.db.models import Model
from wagtail import hooks

HOOK: Final = "register_bulk_action"

ActionClass: TypeAlias = type[Any]


def name_of(model: type[Model], action_type: str) -> str:
    """Return the name of a bulk action."""
    return f"{model._meta.label_lower}.{action_type}"


def registered() -> dict[str, ActionClass]:
    """Return the class of each bulk action, by its name; that which Wagtail takes."""
    found: dict[str, ActionClass] = {}
    for action in hooks.get_hooks(HOOK):
        for model in action.models:
            found[name_of(model, action.action_type)] = action
    return found


def find(name: str) -> ActionClass:
    """Return the class of a bulk action.

    :raises LookupError: if none is registered in this process.
    """
    action = registered().get(name)
    if action is None:
        raise LookupError(
            f'no bulk action "{name}" is registered in this process; register it in a '
            "wagtail_hooks.py that the worker has, too."
        )
    return action
