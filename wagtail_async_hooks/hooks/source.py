"""Parsing the source of background functions for what a request in a worker does not have."""

from __future__ import annotations

import ast
import inspect
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from wagtail_async_hooks.utils import signatures
from wagtail_async_hooks.utils.functions import Function

NOT_CARRIED: Final = ("POST", "FILES", "COOKIES", "session", "body")
"""Attributes of a request that a worker does not have, see
:class:`~wagtail_async_hooks.serialization.arguments.CarriedRequest`."""


_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class Finding:
    """One place in a function's source.

    :param what: the expression, such as ``"request.POST"``.
    :param place: file and line.
    """

    what: str
    place: str


def what_is_missing(function: Function, named: str = "", count: int = 0) -> list[Finding]:
    """Return where a function reads attributes of the request that are not serialized.

    Only its own source is searched. Functions that it calls, and other variables that refer to the
    request, raise an error in the worker instead.

    :param named: name of the argument that is the request; by default, the first one.
    :param count: number of arguments that the function gets; 0 if it is not known.
    """
    source = Source.of(function)
    inner = inspect.unwrap(function)
    if not named and inner is not function and not _gets_the_same(function, inner, count):
        named = "request"  # a decorator may have dropped it, and then nothing has that name
    if source is None or (not named and not source.tree.args.args):
        return []
    request = named or source.tree.args.args[0].arg
    return [
        Finding(f"{request}.{node.attr}", source.place(node))
        for node in _reads(source.tree, request)
    ]


class Source(NamedTuple):
    """The parsed source of a function, without its decorators.

    :param file: the file that defines it.
    :param first: number of its first line in the file.
    """

    tree: ast.FunctionDef | ast.AsyncFunctionDef
    file: Path
    first: int

    @classmethod
    def of(cls, function: Function) -> Source | None:
        """Return the source of a function; ``None`` if it cannot be read."""
        inner = inspect.unwrap(function)
        try:
            lines, first = inspect.getsourcelines(inner)
            [tree] = ast.parse(textwrap.dedent("".join(lines))).body
            file = Path(inspect.getsourcefile(inner) or "")
        except (OSError, TypeError, SyntaxError, ValueError, tokenize.TokenError):
            return None  # another one than was loaded, or a lambda in the middle of a line
        if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        return cls(tree, file, first)

    def returns_something(self) -> bool:
        """Return whether it returns anything but ``None``; not what functions inside it return."""
        pending: list[ast.AST] = list(self.tree.body)
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Return) and not _is_none(node.value):
                return True
            if not isinstance(node, _SCOPES):
                pending += ast.iter_child_nodes(node)
        return False

    def place(self, node: ast.expr | ast.stmt) -> str:
        """Return file and line of a node."""
        return f"{self.file}:{self.first + node.lineno - 1}"


def _is_none(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def _gets_the_same(function: Function, inner: Function, count: int) -> bool:
    """Return whether a decorated function gets the same first argument as its wrapper."""
    outer, within = signatures.parameters(function), signatures.parameters(inner)
    if outer is None or within is None:
        return True
    if outer.places:
        return outer.places[:1] == within.places[:1]
    return not count or bool(within.more_places) or within.required <= count <= len(within.places)


def _reads(tree: ast.AST, name: str) -> Iterator[ast.Attribute]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Load)
            and node.attr in NOT_CARRIED
            and isinstance(node.value, ast.Name)
            and node.value.id == name
        ):
            yield node
