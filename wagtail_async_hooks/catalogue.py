"""Which of Wagtail's hooks are background-safe, and what they pass.

A hook is background-safe if it tells of something that has happened, and Wagtail asks for nothing
but a response in return. Read from Wagtail 7.4 and 8.0: ``before_*`` hooks are gates, and
``register_*`` and ``construct_*`` hooks are asked for their return value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class HookKind:
    """What is known about one background-safe hook.

    :param arguments: names of what Wagtail passes, in order.
    :param deleted: the objects passed are gone when a worker comes to them: carry a copy.
    """

    arguments: tuple[str, ...]
    deleted: bool = False


BACKGROUND_SAFE: Final[dict[str, HookKind]] = {
    "after_create_page": HookKind(("request", "page")),
    "after_edit_page": HookKind(("request", "page")),
    "after_publish_page": HookKind(("request", "page")),
    "after_unpublish_page": HookKind(("request", "page")),
    "after_delete_page": HookKind(("request", "page"), deleted=True),
    "after_copy_page": HookKind(("request", "page", "new_page")),
    "after_move_page": HookKind(("request", "page")),
    "after_convert_alias_page": HookKind(("request", "page")),
    "after_create_snippet": HookKind(("request", "instance")),
    "after_edit_snippet": HookKind(("request", "instance")),
    "after_delete_snippet": HookKind(("request", "instances"), deleted=True),
    "after_publish": HookKind(("request", "instance")),
    "after_unpublish": HookKind(("request", "instance")),
    "after_edit_setting": HookKind(("request", "instance")),
    "after_create_user": HookKind(("request", "user")),
    "after_edit_user": HookKind(("request", "user")),
    "after_delete_user": HookKind(("request", "user"), deleted=True),
    "after_bulk_action": HookKind(("request", "action_type", "objects", "action_instance")),
}


def is_background_safe(hook: str) -> bool:
    """Tell whether functions of this hook may run in the background."""
    return hook in BACKGROUND_SAFE


def kind_of(hook: str) -> HookKind:
    """Return what is known about a background-safe hook."""
    return BACKGROUND_SAFE[hook]
