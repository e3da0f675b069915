"""What a callable takes: the parameters of what is truly called, and the names of its arguments.

``inspect.signature()`` describes what a decorator wraps. A decorator that adds or drops an argument
is called with others, and those are what the checks, keys and titles are about.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple

Function = Callable[..., Any]

_BY_PLACE: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Parameters(NamedTuple):
    """The parameters of a callable.

    :param places: names of those that can be given by their place.
    :param required: how many of these have no default.
    :param names: names of all that can be given by name.
    :param more_places: name of the parameter for further positional arguments; blank if none.
    :param more_names: whether it takes keyword arguments of any name.
    :param defaults: by name.
    :param order: names of all, as they are declared.
    :param wrapped: what it wraps and passes further arguments on to, if anything.
    """

    places: tuple[str, ...]
    required: int
    names: frozenset[str]
    more_places: str
    more_names: bool
    defaults: Mapping[str, Any]
    order: tuple[str, ...]
    wrapped: Function | None = None


def signature(function: Function) -> inspect.Signature | None:
    """Return the signature of what is truly called; ``None`` if it is not known, as in C."""
    try:
        return inspect.signature(_stand_in(function), follow_wrapped=False)
    except (TypeError, ValueError):
        return None


def parameters(function: Function) -> Parameters | None:
    """Return the parameters of what is truly called; ``None`` if they are not known."""
    try:
        return _known(function)
    except TypeError:  # it cannot be hashed
        return _parameters(function)


def names(function: Function) -> tuple[str, ...] | None:
    """Return the names of the arguments that a call may have; ``None`` if it may have others."""
    found = parameters(function)
    if found is None or (found.more_names and found.wrapped is None):
        return None
    beyond = () if found.wrapped is None else names(found.wrapped)
    if beyond is None:
        return None
    return tuple(dict.fromkeys([*found.places, *sorted(found.names), *beyond]))


def named(
    function: Function, args: Sequence[Any], kwargs: Mapping[str, Any], *, defaults: bool = False
) -> dict[str, Any]:
    """Return the arguments of a call by their names.

    Keyword arguments of which the callable knows nothing are left out: tools that trace calls add
    some of their own. Nothing is returned for too many positional ones: the call itself will tell.

    :param defaults: include the values of parameters that are not given.
    """
    found = parameters(function)
    if found is None:
        return dict(kwargs)
    if len(args) > len(found.places) and not found.more_places:
        return {}
    told = dict(zip(found.places, args, strict=False))
    for name, value in kwargs.items():
        if name in found.names or found.more_names:
            told.setdefault(name, value)
    if len(args) > len(found.places) and found.more_places:
        if found.wrapped is None:
            told[found.more_places] = tuple(args[len(found.places) :])
        else:
            told = {**_passed_on(found.wrapped, args, kwargs), **told}
    if not defaults:
        return told
    filled = {**found.defaults, **told}
    return {name: filled[name] for name in found.order if name in filled} | filled


def place_names(function: Function, count: int) -> Sequence[str]:
    """Return the names of so many positional arguments, as far as they are known."""
    found = parameters(function)
    known = count if found is None or found.more_places else min(count, len(found.places))
    told = named(function, range(known), {})
    places = {place: name for name, place in told.items() if type(place) is int}
    return [places.get(place, str(place + 1)) for place in range(count)]


def misfit(function: Function, args: Sequence[Any], kwargs: Collection[str] = ()) -> str:
    """Return which arguments a function takes, if it cannot be called with others; else a blank.

    :param args: the positional arguments; only their number counts.
    :param kwargs: the names of the keyword arguments.
    """
    if (found := signature(function)) is None:
        return ""
    try:
        found.bind(*args, **dict.fromkeys(kwargs))
    except TypeError:
        return f"takes {_without_types(found)}"
    return ""


def _without_types(found: inspect.Signature) -> inspect.Signature:
    empty = inspect.Signature.empty
    parameters = [p.replace(annotation=empty) for p in found.parameters.values()]
    return found.replace(parameters=parameters, return_annotation=empty)


def _passed_on(
    function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return by name what a decorator has passed on; one that adds or drops some does so first."""
    found = parameters(function)
    if found is None:
        return {}
    if found.wrapped is not None and found.more_places and len(args) > len(found.places):
        return named(function, args, kwargs)
    required = sum(name not in kwargs for name in found.places[: found.required])
    added = max(0, required - len(args))
    dropped = 0 if found.more_places else max(0, len(args) - len(found.places))
    return dict(zip(found.places[added:], args[dropped:], strict=False))


@functools.lru_cache(maxsize=1024)
def _known(function: Function) -> Parameters | None:
    return _parameters(function)


def _parameters(function: Function) -> Parameters | None:
    found = signature(function)
    if found is None:
        return None
    each = found.parameters.values()
    places = [parameter for parameter in each if parameter.kind in _BY_PLACE]
    required = [parameter for parameter in places if parameter.default is parameter.empty]
    further = [parameter.name for parameter in each if parameter.kind is parameter.VAR_POSITIONAL]
    return Parameters(
        tuple(parameter.name for parameter in places),
        len(required),
        frozenset(
            parameter.name
            for parameter in each
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ),
        further[0] if further else "",
        any(parameter.kind is parameter.VAR_KEYWORD for parameter in each),
        {p.name: p.default for p in each if p.default is not p.empty},
        tuple(p.name for p in each),
        getattr(function, "__wrapped__", None) if further else None,
    )


def _stand_in(function: Any) -> Any:
    """Return what has the parameters of a callable, and nothing that tells of others."""
    kind = type(function)
    if kind is FunctionType:
        return _bare(function)
    if kind is staticmethod:
        return _stand_in(function.__func__)
    if kind is MethodType:
        return MethodType(_stand_in(function.__func__), function.__self__)
    if kind is functools.partial:
        called = _stand_in(function.func)
        return functools.partial(called, *function.args, **function.keywords)
    if kind is _CACHED:
        return _stand_in(function.__wrapped__)
    if not isinstance(function, type) and type(called := kind.__call__) is FunctionType:
        return MethodType(_bare(called), function)
    return function


_CACHED: Final = type(functools.cache(len))
"""What ``functools.cache()`` and ``lru_cache()`` make, which pass on what they get."""


def _bare(function: FunctionType) -> FunctionType:
    """Return a function without ``__wrapped__``, ``__signature__`` and annotations."""
    bare = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    bare.__kwdefaults__ = function.__kwdefaults__
    return bare
