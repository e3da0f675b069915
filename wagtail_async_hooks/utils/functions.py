"""What is known of a function: its name, where it is written, whether a worker can find it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asgiref.sync import AsyncToSync, async_to_sync
from django.apps import apps
from django.utils.module_loading import import_string

from wagtail_async_hooks.utils import parking

Function = Callable[..., Any]


def has_name(function: Function) -> bool:
    """Return whether a function has a module and a name."""
    return all(getattr(function, name, None) for name in ("__module__", "__qualname__"))


def dotted_path(function: Function) -> str:
    """Return the path by which settings, messages and the admin name a function."""
    return f"{function.__module__}.{function.__qualname__}"


def why_lost(function: Function) -> str:
    """Say why a worker could not find a function again; blank if it can."""
    if not has_name(function):
        return f"a worker cannot find a {type(function).__qualname__} again, it has no name"
    name = function.__qualname__
    if "<lambda>" in name:
        return "a worker cannot find a lambda again, it has no name"
    if "<locals>" in name:
        return "a worker cannot find a function again that is defined inside another one"
    return ""


def find(path: str) -> Function | None:
    """Return the function of a dotted path, if a loaded module of an installed app defines it.

    Nothing is imported, and what a module has only imported itself is not found there.
    """
    module, _, name = path.rpartition(".")
    found = loaded(module, name)
    if not inspect.isfunction(found) or dotted_path(found) != path:
        return None
    return found if apps.get_containing_app_config(module) else None


def loaded(module: str, name: str) -> Any:
    """Return what a loaded module has under a name; nothing is imported."""
    # Not getattr(): a module may import what it is asked for.
    return getattr(sys.modules.get(module), "__dict__", {}).get(name)


def imported(path: str) -> Any:
    """Return what a dotted path leads to.

    :raises ImportError: if that is nothing, or a module on the way fails.
    """
    try:
        return import_string(path)
    except ImportError:
        raise
    except Exception as error:  # of a module on the way
        raise ImportError(f"{type(error).__name__}: {error}") from error


def call(function: Function, /, *args: Any, **kwargs: Any) -> Any:
    """Call a function to its end, also if it is a coroutine function or returns a coroutine."""
    answer = function(*args, **kwargs)
    if inspect.isawaitable(answer):
        return parking.wait_for(answer)
    return answer


def to_the_end(function: Function) -> Function:
    """Return a function, or what calls it to its end if it is a coroutine function."""
    return async_to_sync(function) if inspect.iscoroutinefunction(function) else function


def behind(function: Any) -> Any:
    """Return the coroutine function that :func:`to_the_end` was given, or the function itself."""
    return function.awaitable if isinstance(function, AsyncToSync) else function


def label(function: Any) -> str:
    """Return the dotted path of a function or class, or what it is, without its address."""
    if has_name(function):
        return dotted_path(function)
    inner = getattr(function, "func", None)  # of a partial, or of a task
    kind = f"{type(function).__module__}.{type(function).__qualname__}"
    return f"{kind} of {label(inner)}" if callable(inner) else f"an object of {kind}"


def place(function: Function) -> str:
    """Return file and line of a function's definition; blank for one that is not in Python."""
    try:
        code = inspect.unwrap(function).__code__
    except AttributeError:
        code = getattr(getattr(function, "func", None), "__code__", None)  # of a partial
    if code is None:
        return ""
    return f"{Path(code.co_filename)}:{code.co_firstlineno}"


def named(function: Function) -> str:
    """Return the name and the place of a function, for people."""
    name = label(function)
    where = place(function)
    return f"{name} ({where})" if where else name
