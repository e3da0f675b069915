"""Which hooks and signals are background-safe, and what they pass.

A hook is background-safe if it is fired after an event, and Wagtail uses its return value at most
as a response. Read from Wagtail 7.4 and 8.0: ``before_*`` hooks may refuse, and Wagtail needs the
return value of ``register_*`` and ``construct_*`` hooks. Sites and packages add hooks of their own,
with :func:`add` or in the settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from django.contrib.auth import signals as auth_signals
from django.core import signals as core_signals
from django.db.backends import signals as database_signals
from django.db.models import signals as model_signals
from django.dispatch import Signal
from django.utils import autoreload
from wagtail import signals as wagtail_signals

from wagtail_async_hooks import conf


class Kind(NamedTuple):
    """The arguments of a background-safe hook or signal, and how they are serialized.

    :param arguments: names of the arguments, in order.
    :param deleted: the objects are deleted: serialize snapshots of them.
    :param draft: the object may have been saved as a draft: serialize its revision.
    :param repeats: an editor's autosaves fire it, too.
    :param copies: names of arguments that are in no database: serialize snapshots of them.
    :param objects: name of the argument whose objects a bulk action may have deleted.
    :param left_out: names of arguments that are not serialized.
    """

    arguments: tuple[str, ...]
    deleted: bool = False
    draft: bool = False
    repeats: bool = False
    copies: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    objects: str = ""


DELETE: Final = "delete"
"""The ``action_type`` of bulk actions that delete their objects."""

BACKGROUND_SAFE: Final[dict[str, Kind]] = {
    "after_create_page": Kind(("request", "page"), draft=True),
    "after_edit_page": Kind(("request", "page"), draft=True, repeats=True),
    "after_publish_page": Kind(("request", "page")),
    "after_unpublish_page": Kind(("request", "page")),
    "after_delete_page": Kind(("request", "page"), deleted=True),
    "after_copy_page": Kind(("request", "page", "new_page")),
    "after_move_page": Kind(("request", "page")),
    "after_convert_alias_page": Kind(("request", "page")),
    "after_create_snippet": Kind(("request", "instance"), draft=True),
    "after_edit_snippet": Kind(("request", "instance"), draft=True, repeats=True),
    "after_delete_snippet": Kind(("request", "instances"), deleted=True),
    "after_publish": Kind(("request", "instance")),
    "after_unpublish": Kind(("request", "instance")),
    "after_edit_setting": Kind(("request", "instance")),
    "after_create_user": Kind(("request", "user")),
    "after_edit_user": Kind(("request", "user")),
    "after_delete_user": Kind(("request", "user"), deleted=True),
    "after_bulk_action": Kind(
        ("request", "action_type", "objects", "action_instance"), objects="objects"
    ),
}
"""Wagtail's hooks that may run in the background."""

_added: Final[dict[str, Kind]] = {}


def add(hook: str, arguments: Sequence[str], *, deleted: bool = False, draft: bool = False) -> None:
    """Add a hook of a site or a package; call it in an app's ``ready()``.

    :param hook: name of the hook.
    :param arguments: names of its arguments, in order.
    :param deleted: its objects are, or will be, deleted: serialize snapshots of them.
    :param draft: its object may have been saved as a draft: serialize its revision.
    :raises ValueError: if the hook is one of Wagtail's in the catalogue.
    """
    if hook in BACKGROUND_SAFE:
        raise ValueError(f'catalogue.add("{hook}", …): Wagtail\'s own hook is known already.')
    _added[hook] = Kind(tuple(arguments), deleted=deleted, draft=draft)


def hooks() -> dict[str, Kind]:
    """Return all background-safe hooks: Wagtail's, those that were added, those of the settings."""
    of_the_site = {name: Kind(arguments) for name, arguments in conf.current().own_hooks.items()}
    return {**of_the_site, **_added, **BACKGROUND_SAFE}


def kind_of(hook: str) -> Kind | None:
    """Return the kind of a hook, or ``None`` if it is not background-safe."""
    known = BACKGROUND_SAFE.get(hook) or _added.get(hook)
    if known is None and hook in conf.current().own_hooks:
        return Kind(conf.current().own_hooks[hook])
    return known


# Signals ------------------------------------------------------------------------------------

_INSTANCE: Final = Kind(("instance",))
_BY_USER: Final = Kind(("instance", "user"))

SIGNALS: Final[dict[str, tuple[Signal, Kind]]] = {
    "page_published": (
        wagtail_signals.page_published,
        Kind(("instance", "revision", "alias")),
    ),
    "page_unpublished": (wagtail_signals.page_unpublished, _INSTANCE),
    "published": (wagtail_signals.published, Kind(("instance", "revision"))),
    "unpublished": (wagtail_signals.unpublished, _INSTANCE),
    "page_slug_changed": (
        wagtail_signals.page_slug_changed,
        Kind(("instance", "instance_before"), copies=("instance_before",)),
    ),
    "post_page_move": (
        wagtail_signals.post_page_move,
        Kind(
            (
                "instance",
                "parent_page_before",
                "parent_page_after",
                "url_path_before",
                "url_path_after",
            )
        ),
    ),
    "copy_for_translation_done": (
        wagtail_signals.copy_for_translation_done,
        Kind(("source_obj", "target_obj")),
    ),
    "workflow_submitted": (wagtail_signals.workflow_submitted, _BY_USER),
    "workflow_approved": (wagtail_signals.workflow_approved, _BY_USER),
    "workflow_rejected": (wagtail_signals.workflow_rejected, _BY_USER),
    "workflow_cancelled": (wagtail_signals.workflow_cancelled, _BY_USER),
    "task_submitted": (wagtail_signals.task_submitted, _BY_USER),
    "task_approved": (wagtail_signals.task_approved, _BY_USER),
    "task_rejected": (wagtail_signals.task_rejected, _BY_USER),
    "task_cancelled": (wagtail_signals.task_cancelled, _BY_USER),
    "post_save": (
        model_signals.post_save,
        Kind(("instance", "created", "update_fields", "raw", "using")),
    ),
    "post_delete": (
        model_signals.post_delete,
        Kind(("instance", "using"), deleted=True, left_out=("origin",)),
    ),
    "m2m_changed": (
        model_signals.m2m_changed,
        Kind(("instance", "action", "reverse", "model", "pk_set", "using", "raw")),
    ),
    "user_logged_in": (auth_signals.user_logged_in, Kind(("request", "user"))),
    "user_logged_out": (auth_signals.user_logged_out, Kind(("request", "user"))),
}
"""Wagtail's and Django's signals that may run in the background, and what they pass."""

_AT_ONCE: Final = "its receivers have to act before what follows it"
_INTERNAL: Final = "it tells of something within this process, which a worker does not share"
_MIGRATING: Final = "the tables are being made, that of the background tasks among them"
_SECRET: Final = "what somebody typed to log in is not to be kept"

UNSUITABLE: Final[dict[str, tuple[Signal, str]]] = {
    "init_new_page": (wagtail_signals.init_new_page, _AT_ONCE),
    "pre_page_move": (wagtail_signals.pre_page_move, _AT_ONCE),
    "pre_validate_delete": (wagtail_signals.pre_validate_delete, _AT_ONCE),
    "pre_save": (model_signals.pre_save, _AT_ONCE),
    "pre_delete": (model_signals.pre_delete, _AT_ONCE),
    "pre_init": (model_signals.pre_init, _AT_ONCE),
    "post_init": (model_signals.post_init, _AT_ONCE),
    "class_prepared": (model_signals.class_prepared, _INTERNAL),
    "pre_migrate": (model_signals.pre_migrate, _MIGRATING),
    "post_migrate": (model_signals.post_migrate, _MIGRATING),
    "request_started": (core_signals.request_started, _INTERNAL),
    "request_finished": (core_signals.request_finished, _INTERNAL),
    "got_request_exception": (core_signals.got_request_exception, _INTERNAL),
    "setting_changed": (core_signals.setting_changed, _INTERNAL),
    "connection_created": (database_signals.connection_created, _INTERNAL),
    "autoreload_started": (autoreload.autoreload_started, _INTERNAL),
    "file_changed": (autoreload.file_changed, _INTERNAL),
    "user_login_failed": (auth_signals.user_login_failed, _SECRET),
}
"""Signals whose receivers have to run at once, and why."""


def name_of(signal: Signal) -> str:
    """Return the name of one of Wagtail's or Django's signals; blank for any other."""
    for name, (known, _) in {**SIGNALS, **UNSUITABLE}.items():
        if known is signal:
            return name
    return ""


def why_unsuitable(signal: Signal) -> str:
    """Return why the receivers of a signal cannot run in the background; blank if they can."""
    for known, reason in UNSUITABLE.values():
        if known is signal:
            return reason
    return ""


def kind_of_signal(signal: Signal) -> Kind:
    """Return the kind of a signal; one without argument names for a site's own signal."""
    for known, kind in SIGNALS.values():
        if known is signal:
            return kind
    return Kind(())
