"""What a worker sees of the view that ran a bulk action."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.forms import PasswordInput

from wagtail_async_hooks.serialization.codecs import is_serializable
from wagtail_async_hooks.utils.redaction import is_secret


@dataclass(frozen=True, repr=False)
class BulkActionInfo:
    """What a worker sees of the view that ran a bulk action.

    :param action_type: e.g. ``"publish"``.
    :param model: label of the model of its objects.
    :param view: dotted path of the view's class.
    :param cleaned_data: of its form: values that can be serialized and are no secrets.
    """

    action_type: str
    model: str
    view: str
    cleaned_data: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<BulkActionInfo {self.action_type} of {self.model}>"

    @classmethod
    def of(cls, action: Any) -> BulkActionInfo:
        """Describe a bulk action's view."""
        form = getattr(action, "cleaned_form", None)
        return cls(
            action.action_type,
            action.model._meta.label_lower,
            f"{type(action).__module__}.{type(action).__qualname__}",
            {
                name: value
                for name, value in getattr(form, "cleaned_data", {}).items()
                if not is_secret_field(form, name) and is_serializable(value)
            },
        )


def is_secret_field(form: Any, name: str) -> bool:
    """Return whether a field of a form is named like a secret, or hides what is typed."""
    field = getattr(form, "fields", {}).get(name)
    return is_secret(name) or isinstance(getattr(field, "widget", None), PasswordInput)
