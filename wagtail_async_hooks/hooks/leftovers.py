"""Attributes that one function sets on an object for another one, which a worker does not have.

``before_edit_page`` sets ``page._old_price``, ``after_edit_page`` reads it. In a worker the page is
read from the database, without the attribute, and ``getattr(page, "_old_price", None)`` hides it.
"""

from __future__ import annotations

import ast
import dis
import inspect
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.http import HttpRequest

from wagtail_async_hooks.hooks import catalogue, private_registries
from wagtail_async_hooks.hooks.source import Source
from wagtail_async_hooks.utils.functions import Function, dotted_path, has_name

_NOT_OBJECTS: Final = {"self", "cls", "sender", "signal", "kwargs", "args"}

_FALLIBLE: Final = ("getattr", "hasattr")

_STORE_ATTR: Final = dis.opmap["STORE_ATTR"]


class Leftover(NamedTuple):
    """An attribute that a function reads.

    :param what: such as ``page._old_price``.
    :param place: file and line.
    :param writer: dotted path of the function that sets it; blank if it is not known.
    """

    what: str
    place: str
    writer: str


def read_by(function: Function, written: dict[str, str]) -> list[Leftover]:
    """Return the attributes of its arguments that a function reads and that no class defines.

    :param written: see :func:`written`. Others count if their names are private, as
        ``page._old_price``.
    """
    source = Source.of(function)
    if source is None:
        return []
    found: dict[str, Leftover] = {}
    for node, argument, name in _accesses(source.tree, function, reads=True):
        is_private = name.startswith("_") and not name.startswith("__")
        if (name in written or is_private) and not _is_known(name):
            what = f"{argument}.{name}"
            found.setdefault(what, Leftover(what, source.place(node), written.get(name, "")))
    return list(found.values())


def written() -> dict[str, str]:
    """Return the attributes that functions of the request set, with the path of the function."""
    found: dict[str, str] = {}
    for function in _before_the_fact():
        source = Source.of(function) if has_name(function) and _may_set(function) else None
        if source is not None:
            for _, _, name in _accesses(source.tree, function, reads=False):
                found.setdefault(name, dotted_path(function))
    return found


def _may_set(function: Function) -> bool:
    """Return whether a function sets attributes of anything.

    Few do, and to read the source of all of Wagtail's hooks took each command a tenth of a second.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    return isinstance(code, CodeType) and _sets_attributes(code)  # hooks may be classes, too


def _sets_attributes(code: CodeType) -> bool:
    within = (each for each in code.co_consts if isinstance(each, CodeType))
    return (
        _STORE_ATTR in code.co_code[::2]  # an instruction and its argument are a byte each
        or "setattr" in code.co_names
        or any(map(_sets_attributes, within))
    )


def _before_the_fact() -> Iterator[Function]:
    """Yield the functions of hooks and signals that are not background-safe."""
    try:
        safe = catalogue.hooks()
        for hook in private_registries.hook_names():
            if hook not in safe:
                yield from (each.function for each in private_registries.of_hook(hook))
        for signal, _ in catalogue.UNSUITABLE.values():
            yield from (each.function for each in private_registries.of_signal(signal))
    except private_registries.Unreadable:
        return


def _accesses(
    tree: ast.FunctionDef | ast.AsyncFunctionDef, function: Function, *, reads: bool
) -> Iterator[tuple[ast.expr, str, str]]:
    """Yield where attributes of a function's arguments are read, or else where they are set."""
    given = (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs)
    arguments = {each.arg for each in given} - _NOT_OBJECTS
    variables = getattr(inspect.unwrap(function), "__globals__", {})
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            is_read = isinstance(node.ctx, ast.Load)
            if is_read is reads and node.value.id in arguments:
                yield node, node.value.id, node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            wanted: Iterable[str] = _FALLIBLE if reads else ("setattr",)
            if node.func.id in wanted and len(node.args) > 1:
                target, name = node.args[0], _text(node.args[1], variables)
                if isinstance(target, ast.Name) and target.id in arguments and name:
                    yield node, target.id, name


def _text(node: ast.expr, variables: dict[str, Any]) -> str:
    """Return the string of a literal or of a module's variable; blank for anything else."""
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(node, ast.Name):
        value = variables.get(node.id)
    return value if isinstance(value, str) else ""


def _is_known(name: str) -> bool:
    """Return whether a model or a request has an attribute of that name."""
    if hasattr(HttpRequest, name) or name in vars(HttpRequest()) or name in ("user", "site"):
        return True
    models = apps.get_models(include_auto_created=True)
    return name in ("_state", "_prefetched_objects_cache") or any(hasattr(m, name) for m in models)
