"""``suppress()`` and ``synchronous()``: background functions are not called, or at once."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Collection
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import Any, Final

from wagtail_async_hooks.utils.functions import Function, dotted_path, has_name
from wagtail_async_hooks.utils.suggestions import nearest


class Mode(enum.Enum):
    """What is done with calls of background functions instead of enqueueing them."""

    SUPPRESSED = "suppress"
    SYNCHRONOUS = "synchronous"


_switched: Final[ContextVar[tuple[tuple[Mode, frozenset[str]], ...]]] = ContextVar(
    "switched", default=()
)
"""The switches in force here, outermost first, with the names they apply to; none means all."""


def mode_of(hook: str, function: str) -> Mode | None:
    """Return the mode of the innermost switch that applies to a function for a hook."""
    for mode, names in reversed(_switched.get()):
        if not names or hook in names or function in names:
            return mode
    return None


class Switch(ContextDecorator):
    """A context manager, and a decorator of functions, coroutine functions included.

    It applies to code that is called within the block, not to other threads or workers.

    :param names: hooks, signals or functions; none for all.
    :param known: returns the known names.
    """

    def __init__(
        self,
        mode: Mode,
        names: tuple[str | Function, ...],
        known: Callable[[], Collection[str]],
    ) -> None:
        self._mode = mode
        self._names = names
        self._known = known
        self._tokens: list[Token[Any]] = []

    def __enter__(self) -> None:
        names = frozenset(self._checked(name) for name in self._names)
        self._tokens.append(_switched.set((*_switched.get(), (self._mode, names))))

    def __exit__(self, *exception: object) -> None:
        _switched.reset(self._tokens.pop())

    def __call__(self, *given: Any) -> Any:
        """Return a function during whose calls the switch is on.

        :raises TypeError: for a class, a generator, or anything that is not a function.
        """
        call = f"{self._mode.value}()"
        if len(given) != 1 or not callable(given[0]) or inspect.isclass(given[0]):
            told = ", ".join(map(repr, given)) or "nothing"
            raise TypeError(
                f"{call} decorates a function, but got {told}: write @hooks.{call} with its "
                "brackets, and below @classmethod or @staticmethod."
            )
        [function] = given
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{call} cannot decorate a generator; use “with {call}:” inside it.")

        @functools.wraps(function)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with self._another():
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def switched_coroutine(*args: Any, **kwargs: Any) -> Any:
            with self._another():
                return await function(*args, **kwargs)

        return switched_coroutine if inspect.iscoroutinefunction(function) else switched

    def _another(self) -> Switch:
        """Return an equal switch for one call, as several calls may overlap."""
        return Switch(self._mode, self._names, self._known)

    def _checked(self, name: str | Function) -> str:
        path = dotted_path(name) if callable(name) and has_name(name) else str(name)
        known = self._known()
        if path not in known:
            near = nearest(path, known)
            hint = f' Did you mean "{near}"?' if near else ""
            raise ValueError(
                f'{self._mode.value}("{path}"): neither a hook or signal nor a function that runs '
                f"in the background.{hint}"
            )
        return path
