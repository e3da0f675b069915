"""Classes and models in messages, by path or label: what is not loaded is not imported."""

from __future__ import annotations

import sys
from types import NoneType
from typing import Any, cast

from django.apps import apps
from django.db import models

from wagtail_async_hooks.exceptions import CannotSerialize


def encode_class(kind: type) -> str:
    """Return the path of a class, such as the sender of a signal.

    :raises CannotSerialize: if it is defined inside a function.
    """
    path = f"{kind.__module__}:{kind.__qualname__}"
    if find_class(path) is not kind:
        raise CannotSerialize(f"the class {path} cannot be found again by its path; name it.")
    return path


def decode_class(path: str) -> type:
    """Return the class of a path, whose module has to be loaded: nothing is imported."""
    found = find_class(path)
    if found is None:
        raise LookupError(f"the class {path} is not loaded in this process")
    return found


def find_class(path: str) -> type | None:
    """Return the class of a path such as ``module:Outer.Inner``, if it is loaded."""
    if path == "builtins:NoneType":  # the sender of user_logged_out, where nobody was logged in
        return NoneType
    module, _, name = path.partition(":")
    return _loaded(module, name.split("."))


def _loaded(module: str, names: list[str]) -> type | None:
    """Return a class that is loaded; what a module would make or import when asked is not."""
    found: Any = sys.modules.get(module)
    for name in names:
        # Not getattr(): a module may import what it is asked for.
        found = getattr(found, "__dict__", {}).get(name)
        if not isinstance(found, type):
            return None
    return cast(type, found)


def encode_model_class(model: type[models.Model]) -> str:
    """Return the label of a model, such as the sender of a signal.

    :raises CannotSerialize: if it is abstract, or if no installed app has it.
    """
    label = model._meta.label_lower
    if model._meta.abstract:
        raise CannotSerialize(
            f"the abstract model {model.__qualname__} cannot be carried to the worker; pass one "
            "that has a table."
        )
    if apps.all_models[model._meta.app_label].get(model._meta.model_name or "") is not model:
        raise CannotSerialize(
            f"the model {model.__qualname__} cannot be carried to the worker, since it is not the "
            f"one that the installed apps have as {label}; pass that one."
        )
    return label


def decode_model_class(payload: str) -> type[models.Model]:
    """Return the model of a label."""
    return apps.get_model(payload)
