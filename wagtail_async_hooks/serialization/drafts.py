"""Drafts: what was saved in the editor and is in a revision, not in the object's own row."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final, cast

from django.db import models, router
from modelcluster.models import get_all_child_relations
from wagtail.models import DraftStateMixin, Revision

from wagtail_async_hooks.serialization.models import decode_model, encode_model, model_of
from wagtail_async_hooks.types import Subject

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class Draft:
    """An object that is to be rebuilt from the revision it was saved as.

    :param instance: what was saved; a model without drafts, or an object that has no revision
        yet, is serialized as any other.
    """

    instance: models.Model

    def __repr__(self) -> str:
        return f"<Draft of {self.instance._meta.label} {self.instance.pk}>"

    @property
    def subject(self) -> Subject:
        """Model and primary key, for the ledger's row."""
        return Subject(model_of(self.instance), self.instance.pk, self.instance)


_OF_THE_ROW: Final = ("first_published_at", "last_published_at", "live_revision_id", "url_path")
"""What tells of the object rather than of a draft, and what Wagtail takes from the revision."""


def encode_draft(draft: Draft) -> dict[str, Any]:
    """Return a reference to the object, and one to its latest revision."""
    payload = encode_model(draft.instance)
    if not isinstance(draft.instance, DraftStateMixin) or draft.instance.latest_revision_id is None:
        return payload
    if draft.instance.live_revision_id == draft.instance.latest_revision_id:
        return payload  # published: the row is what was saved, and its children have their keys
    return {**payload, "revision": draft.instance.latest_revision_id}


def decode_draft(payload: dict[str, Any]) -> models.Model:
    """Return the object with the revision's content.

    If the revision is gone, since old ones are purged, the newest one counts, or else the row.
    """
    instance = decode_model(payload)
    if "revision" not in payload or not isinstance(instance, DraftStateMixin):
        return instance
    revision = _revision(payload["revision"]) or _revision(instance.latest_revision_id)
    if revision is None:
        logger.info("Revision %s is gone, and no other is left.", payload["revision"])
        return cast(models.Model, instance)
    content = instance.with_content_json(revision.content)
    for name in _OF_THE_ROW:
        if hasattr(instance, name):
            setattr(content, name, getattr(instance, name))
    _restore_keys(content)
    return cast(models.Model, content)


def _revision(key: Any) -> Any:
    return Revision._base_manager.using(router.db_for_write(Revision)).filter(pk=key).first()


def _restore_keys(instance: Any) -> None:
    """Give primary keys, and what refers to them, the types that modelcluster's JSON has lost."""
    key = instance._meta.pk
    setattr(instance, key.attname, key.to_python(instance.pk))
    for relation in get_all_child_relations(instance):
        field = relation.field
        for child in getattr(instance, relation.get_accessor_name()).all():
            target = field.target_field
            setattr(child, field.attname, target.to_python(getattr(child, field.attname)))
            _restore_keys(child)
