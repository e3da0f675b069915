"""Lists of objects that were deleted: a reference to each, and copies of the first ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, models

from wagtail_async_hooks.serialization.models import ModelSequence, refuse_session
from wagtail_async_hooks.serialization.snapshots import Snapshot, decode_snapshot, encode_snapshot
from wagtail_async_hooks.types import Subject

MAX_CHARACTERS: Final = 1_000_000
"""About as many characters as the copies of one list may take in a message."""


@dataclass(frozen=True, eq=False)
class DeletedList:
    """Objects that were deleted, as a hook passes them.

    :param references: of each, see :func:`~wagtail_async_hooks.serialization.models.encode_model`.
    :param copies: of some of them, in the same sequence.
    """

    references: Sequence[dict[str, Any]]
    copies: Sequence[Snapshot]

    @property
    def subject(self) -> Subject:
        """Model and primary key of the first one, for the ledger's row."""
        first = self.references[0]
        copy = self.copies[0] if self.copies else None
        is_first = copy is not None and copy.key == first["pk"]
        instance = copy.instance if is_first and copy is not None else None
        return Subject(apps.get_model(first["model"]), first["pk"], instance)


class DeletedObjects(ModelSequence):
    """Copies of objects that were deleted, in their order.

    Only the first ``WAGTAIL_TASKS["BULK_ACTIONS"]["copies"]`` objects are copied. For the others,
    :attr:`gone` has model label and primary key. :attr:`keys` has the primary keys of all.

    :param runs: see :class:`~wagtail_async_hooks.serialization.arguments.ModelSequence`.
    :param copies: payloads of the copies.
    """

    def __init__(self, runs: list[tuple[str, str, list[Any]]], copies: list[Any]) -> None:
        super().__init__(runs)
        self.copies = copies

    def _read(self) -> Iterator[models.Model]:
        copied = set()
        for payload in self.copies:
            found = decode_snapshot(payload)
            copied.add((found._meta.label_lower, found.pk))
            yield found
        labels = [label for label, _, keys in self.runs for _ in keys]
        pairs = zip(labels, self.keys, strict=True)
        self._report([pair for pair in pairs if pair not in copied])


def encode_deleted(deleted: DeletedList) -> dict[str, Any]:
    """Return the payload of a list of deleted objects.

    :raises CannotSerialize: if they are sessions.
    """
    key = lambda each: (each["model"], each.get("db", DEFAULT_DB_ALIAS))  # noqa: E731
    runs = [
        [label, alias, [each["pk"] for each in run]]
        for (label, alias), run in groupby(deleted.references, key=key)
    ]
    for label, _, _ in runs:
        refuse_session(apps.get_model(label))
    return {"runs": runs, "copies": list(_that_fit(deleted.copies))}


def _that_fit(copies: Sequence[Snapshot]) -> Iterator[dict[str, Any]]:
    left = MAX_CHARACTERS
    for copy in copies:
        payload = encode_snapshot(copy)
        left -= len(repr(payload))
        if left < 0:
            return
        yield payload


def encode_objects(objects: DeletedObjects) -> dict[str, Any]:
    """Return the payload that a sequence was made of."""
    return {"runs": [list(run) for run in objects.runs], "copies": list(objects.copies)}


def decode_deleted(payload: dict[str, Any]) -> DeletedObjects:
    """Return the sequence of a payload."""
    runs = [(label, alias, keys) for label, alias, keys in payload["runs"]]
    return DeletedObjects(runs, payload["copies"])
