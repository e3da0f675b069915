"""One call of a background function: the arguments of a hook or signal, and their serialization."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.utils.functional import cached_property

from wagtail_async_hooks.exceptions import CannotSerialize
from wagtail_async_hooks.hooks import delete_snapshots
from wagtail_async_hooks.hooks.catalogue import DELETE, Kind
from wagtail_async_hooks.serialization.revisions import Target
from wagtail_async_hooks.utils.redaction import is_secret


@dataclass(frozen=True, repr=False)
class HookCall:
    """One call of a background function, with the arguments that Wagtail or Django passed.

    :param kind: of the hook or signal.
    :param draft: whether the function gets the saved draft rather than the live version.
    """

    kind: Kind
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    draft: bool = False

    def __repr__(self) -> str:
        return f"<HookCall with {', '.join(self.named)}>"

    @property
    def named(self) -> dict[str, Any]:
        """The arguments by their names in Wagtail's documentation."""
        return {**dict(zip(self.kind.arguments, self.args, strict=False)), **self.kwargs}

    @cached_property
    def request(self) -> HttpRequest | None:
        """The request, if there is one among the arguments."""
        found = (value for value in self._values() if isinstance(value, HttpRequest))
        return next(found, None)

    @cached_property
    def subject(self) -> models.Model | None:
        """The object that the call is about: the first model instance."""
        found = (value for value in self._values() if isinstance(value, models.Model))
        return next(found, None)

    @cached_property
    def is_autosave(self) -> bool:
        """Whether an autosave has fired the hook: its request accepts JSON, and no page."""
        request = self.request
        return self.kind.repeats and request is not None and not request.accepts("text/html")

    def _values(self) -> Iterator[Any]:
        yield from self.args
        yield from self.kwargs.values()

    def target(self, *, supersede: bool) -> Target | None:
        """Return the revision that the call is about; ``None`` without an object."""
        subject = None if self.kind.deleted else self.subject
        if subject is None:
            return None
        return Target.of(subject, draft=self.draft, supersede=supersede)

    def to_serialize(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments to serialize: some are replaced by snapshots or drafts."""
        names = [*self.kind.arguments, *([""] * len(self.args))]
        args = tuple(self._prepare(name, v) for name, v in zip(names, self.args, strict=False))
        return args, {
            name: self._prepare(name, value)
            for name, value in self.kwargs.items()
            if name not in self.kind.left_out
        }

    def _is_deleted(self, name: str) -> bool:
        """Return whether the objects of an argument are deleted, by whatever fired the hook."""
        if self.kind.deleted:
            return True
        return name == self.kind.objects and self.named.get("action_type") == DELETE

    def _prepare(self, name: str, value: Any) -> Any:
        if isinstance(value, str | bytes) and is_secret(name):
            raise CannotSerialize(
                f'an argument named "{name}" is taken for a secret, which is not to be kept; keep '
                "the function synchronous with WAGTAIL_TASKS_SYNC_HOOKS, or give it another name."
            )
        if isinstance(value, list | tuple) and self._is_deleted(name):
            if value and all(isinstance(item, models.Model) for item in value):
                return delete_snapshots.deleted_list(self.request or value, value)
            return [self._prepare(name, item) for item in value]
        if isinstance(value, models.Model):
            return self._prepare_object(name, value)
        return _bulk_action(value) if name == "action_instance" else value

    def _prepare_object(self, name: str, value: models.Model) -> Any:
        if self.kind.deleted:
            return delete_snapshots.snapshot(self.request or value, value)
        if name not in self.kind.copies and not self.draft:
            return value
        # Not above: they need Wagtail's models, and hooks may be registered before them.
        from wagtail_async_hooks.serialization.arguments import Draft, Snapshot

        return Snapshot.of(value) if name in self.kind.copies else Draft(value)

    def culprit(self, error: CannotSerialize) -> str:
        """Return text about the argument of an error, with its name in Wagtail's documentation."""
        for prefix in ("['args'][", "['kwargs']["):
            head, bracket, rest = error.path.removeprefix(prefix).partition("]")
            if error.path.startswith(prefix) and bracket:
                name, value = self._argument(head)
                return f"{name}{rest} ({type(value).__qualname__}) → {error.reason}"
        return str(error)

    def _argument(self, place: str) -> tuple[str, Any]:
        """Return name and value of an argument, by its number or its quoted name."""
        if not place.isdigit():
            name = place.strip("'\"")
            return name, self.kwargs.get(name)
        number = int(place)
        names = self.kind.arguments
        name = names[number] if number < len(names) else f"argument {number + 1}"
        return name, self.args[number] if number < len(self.args) else None


def _bulk_action(action: Any) -> Any:
    from wagtail_async_hooks.serialization.arguments import BulkActionInfo  # see above

    return BulkActionInfo.of(action)
