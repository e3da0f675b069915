"""Which revision a task is about, and whether a newer one has taken its place."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from django.apps import apps
from django.db import models, router


class Target(NamedTuple):
    """The object that a task is about, at the revision it had when the task was enqueued.

    :param model: label of the model.
    :param key: primary key of the object.
    :param db: alias of the database that the object is written to.
    :param revision: primary key of the revision that was saved or published.
    :param live: primary key of the live revision at that time, as far as Wagtail knew it.
    :param saved_at: when the revision was saved; an autosave writes it anew.
    :param draft: whether the function sees the draft; then newer drafts count as well.
    :param supersede: whether the task is not run any more once there is a newer revision.
    """

    model: str
    key: Any
    db: str
    revision: Any
    live: Any = None
    saved_at: datetime.datetime | None = None
    draft: bool = False
    supersede: bool = False

    @classmethod
    def of(cls, instance: models.Model, *, draft: bool, supersede: bool) -> Target | None:
        """Return what a task about an object is about; ``None`` for a model without revisions."""
        revision = getattr(instance, "latest_revision_id", None)
        if revision is None:
            return None
        cached = instance._state.fields_cache.get("latest_revision")  # no query in the request
        return cls(
            instance._meta.label_lower,
            instance.pk,
            router.db_for_write(type(instance), instance=instance),
            revision,
            getattr(instance, "live_revision_id", None),
            getattr(cached, "created_at", None),
            draft,
            supersede,
        )

    def payload(self) -> dict[str, Any]:
        """Return the payload of the target."""
        return {
            name: value
            for name in self._fields
            if (value := getattr(self, name)) not in (None, False)
        }

    def successor(self) -> Any:
        """Return the primary key of the revision that has taken this one's place, or ``None``."""
        model: Any = apps.get_model(self.model)
        names = ["latest_revision_id", "latest_revision__created_at"]
        if hasattr(model, "live_revision"):
            names.append("live_revision_id")
        rows = model._base_manager.using(self.db).filter(pk=self.key)
        found = rows.values_list(*names).first()
        if found is None:
            return None  # it is gone, and that is told when the arguments are rebuilt
        latest, saved_at, *live = found
        if self.draft:
            overwritten = self.saved_at is not None and saved_at != self.saved_at
            return latest if latest != self.revision or overwritten else None
        newer = bool(live) and live[0] not in (None, self.revision, self.live)
        return live[0] if newer else None
