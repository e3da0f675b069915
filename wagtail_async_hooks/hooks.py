"""Drop-in for ``wagtail.hooks`` whose ``register()`` takes ``background=True``.

Everything else that ``wagtail.hooks`` offers is Wagtail's own, so that
``from wagtail_async_hooks import hooks`` can stand wherever ``from wagtail import hooks`` stood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wagtail import hooks as wagtail_hooks
from wagtail.hooks import TemporaryHook, get_hooks, search_for_hooks

from wagtail_async_hooks import dispatch

__all__ = ["TemporaryHook", "get_hooks", "register", "register_temporarily", "search_for_hooks"]


def register(
    hook_name: str,
    fn: Callable[..., Any] | None = None,
    order: int = 0,
    *,
    background: bool = False,
    priority: int | None = None,
) -> Any:
    """Register a function for a hook, as a decorator or by a call.

    :param hook_name: of Wagtail's hook.
    :param fn: the function; without it, a decorator is returned.
    :param order: as in Wagtail: lower is called, or enqueued, first.
    :param background: run the function in a worker once the transaction has committed. A hook
        that is not background-safe, or a function that a worker could not find again, runs in the
        request as ever, and a system check says so.
    :param priority: of its tasks; higher runs first.
    :returns: the function itself.
    :raises TypeError: if ``priority`` is given without ``background=True``.
    """
    _check_options(f'register("{hook_name}"', background, priority)
    if fn is None:

        def decorator(fn: Callable[..., Any]) -> Callable[..., Any]:
            register(hook_name, fn, order, background=background, priority=priority)
            return fn

        return decorator
    called = dispatch.in_background(hook_name, fn, priority=priority) if background else fn
    wagtail_hooks.register(hook_name, called, order=order)
    return fn


def register_temporarily(
    hook_name_or_hooks: Any,
    fn: Callable[..., Any] | None = None,
    *,
    order: int = 0,
    background: bool = False,
    priority: int | None = None,
) -> TemporaryHook:
    """Register one function, or a list of ``(hook_name, fn)``, for the time of a test.

    :returns: a context manager, which is a decorator as well.
    :raises TypeError: if ``priority`` is given without ``background=True``.
    """
    _check_options("register_temporarily(…", background, priority)
    given = hook_name_or_hooks if fn is None else [(hook_name_or_hooks, fn)]
    if background:
        return TemporaryBackgroundHook(given, order, priority)
    return wagtail_hooks.register_temporarily(given, order=order)


class TemporaryBackgroundHook(TemporaryHook):  # type: ignore[misc]  # Wagtail has no types
    """Functions that run in the background for a while; afterwards, nothing knows of them."""

    def __init__(
        self, hooks: list[tuple[str, Callable[..., Any]]], order: int, priority: int | None
    ) -> None:
        super().__init__([], order)
        self._given = hooks
        self._priority = priority

    def __enter__(self) -> TemporaryBackgroundHook:
        self.hooks = [
            (name, dispatch.in_background(name, fn, priority=self._priority))
            for name, fn in self._given
        ]
        super().__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        for name, fn in self._given:
            dispatch.forget(name, fn)


def _check_options(call: str, background: bool, priority: int | None) -> None:
    if priority is not None and not background:
        raise TypeError(f"{call}, priority=…) needs background=True as well.")


def __getattr__(name: str) -> Any:
    """Whatever else ``wagtail.hooks`` has, now or later."""
    return getattr(wagtail_hooks, name)
