"""Drop-in for ``wagtail.hooks`` whose ``register()`` takes ``background=True``.

Everything else that ``wagtail.hooks`` offers is Wagtail's own, so that
``from wagtail_async_hooks import hooks`` can stand wherever ``from wagtail import hooks`` stood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from wagtail import hooks as wagtail_hooks
from wagtail.hooks import TemporaryHook, get_hooks, search_for_hooks

from wagtail_async_hooks.conf.options import Options, TaskOptions
from wagtail_async_hooks.conf.validators import check_options
from wagtail_async_hooks.hooks import dispatch, private_registries, registry
from wagtail_async_hooks.hooks.dispatch import Moved
from wagtail_async_hooks.hooks.overrides import Mode, Switch
from wagtail_async_hooks.hooks.private_registries import Registration
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function

F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "TemporaryHook",
    "get_hooks",
    "register",
    "register_temporarily",
    "search_for_hooks",
    "suppress",
    "synchronous",
]


@overload
def register(
    hook_name: str,
    fn: None = None,
    order: int = 0,
    *,
    background: bool = False,
    live: bool = False,
    draft: bool = False,
    **options: Unpack[Options],
) -> Callable[[F], F]: ...
@overload
def register(
    hook_name: str,
    fn: F,
    order: int = 0,
    *,
    background: bool = False,
    live: bool = False,
    draft: bool = False,
    **options: Unpack[Options],
) -> F: ...
def register(
    hook_name: str,
    fn: Function | None = None,
    order: int = 0,
    *,
    background: bool = False,
    live: bool = False,
    draft: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Register a function for a hook, as a decorator or by a call.

    :param hook_name: name of the hook.
    :param fn: the function; without it, a decorator is returned.
    :param order: as in Wagtail: lower is called, or enqueued, first.
    :param background: run the function in a worker once the transaction has committed. If the hook
        is not background-safe, or a worker could not find the function, it runs in the request,
        and a system check warns.
    :param live: pass objects as visitors see them, even if a draft was saved.
    :param draft: pass objects as they were last saved, even if the hook is about live objects.
    :param options: those of :class:`~wagtail_async_hooks.conf.options.TaskOptions`; the site's
        settings override them.
    :returns: the function itself.
    :raises TypeError: if an option is unknown, of a wrong type, or given without
        ``background=True``.
    """
    _check_names(hook_name, fn)
    given, content = check_options(f'register("{hook_name}"', background, live, draft, options)

    def decorator(fn: Function) -> Function:
        called = fn
        if background:
            called = dispatch.in_background(hook_name, fn, given, draft=content)
        wagtail_hooks.register(hook_name, called, order=order)
        if registry.entry_of(called) is not None:
            _take_out(hook_name, fn)
        return fn

    return decorator if fn is None else decorator(fn)


def _check_names(hook_name: Any, fn: Any) -> None:
    """Check the types of the first arguments of :func:`register`.

    :raises TypeError: if one is wrong; otherwise the function would silently never be called.
    """
    if not isinstance(hook_name, str):
        raise TypeError(
            'hooks.register(…) takes the name of a hook first: write @hooks.register("after_publish'
            f'_page") with its brackets, rather than give it {functions.label(hook_name)}.'
        )
    if fn is not None and not callable(fn):
        raise TypeError(f'register("{hook_name}", …) takes a function, but was given {fn!r}.')


def _take_out(hook_name: str, fn: Function) -> list[Registration]:
    """Deregister a function that is registered for the request as well, or it would run twice.

    Later registrations are handled by :mod:`~wagtail_async_hooks.hooks.takeover`.

    :returns: the former registrations.
    """
    try:
        entries = private_registries.of_hook(hook_name)
        plain = [place for place, each in enumerate(entries) if each.function == fn]
        private_registries.substitute(hook_name, dict.fromkeys(plain))
    except private_registries.Unreadable:
        return []  # a check says so
    return [entries[place] for place in plain]


def register_temporarily(
    hook_name_or_hooks: Any,
    fn: Function | None = None,
    *,
    order: int = 0,
    background: bool = False,
    live: bool = False,
    draft: bool = False,
    **options: Unpack[Options],
) -> TemporaryHook:
    """Register a function, or a list of ``(hook_name, fn)``, until a block ends, such as in a test.

    :param options: see :func:`register`.
    :returns: a context manager, which is a decorator as well.
    :raises TypeError: see :func:`register`.
    """
    made, content = check_options("register_temporarily(…", background, live, draft, options)
    given = hook_name_or_hooks if fn is None else [(hook_name_or_hooks, fn)]
    if background:
        return TemporaryBackgroundHook(given, order, made, content)
    return wagtail_hooks.register_temporarily(given, order=order)


def suppress(*names: str | Function) -> Switch:
    """Do not call background functions within a block, such as while data is imported.

    This includes receivers, but neither synchronous functions nor tasks that are called directly.

    :param names: hooks, signals, functions or their dotted paths; by default, all.
    :returns: a context manager, which is a decorator as well; it affects what is called from within
        the block, but not other threads.
    :raises ValueError: when the block begins, if there is no such hook, signal or function.
    """
    return Switch(Mode.SUPPRESSED, names, _names)


def synchronous(*names: str | Function) -> Switch:
    """Call background functions within a block at once, as without ``background=True``.

    They get the original arguments, and their errors reach the caller. Within nested blocks of this
    function and :func:`suppress`, the innermost counts.

    :param names: hooks, signals, functions or their dotted paths; by default, all.
    :returns: see :func:`suppress`.
    :raises ValueError: see :func:`suppress`.
    """
    return Switch(Mode.SYNCHRONOUS, names, _names)


def _names() -> set[str]:
    search_for_hooks()
    return registry.hook_names() | registry.function_paths()


class TemporaryBackgroundHook(TemporaryHook):  # type: ignore[misc]  # Wagtail has no types
    """Functions that are registered for the background until the block ends."""

    def __init__(
        self,
        hooks: list[tuple[str, Function]],
        order: int,
        options: TaskOptions,
        draft: bool | None,
    ) -> None:
        super().__init__([], order)
        self._given = hooks
        self._taken: list[tuple[str, Registration]] = []
        self._options = options
        self._draft = draft

    def __enter__(self) -> TemporaryBackgroundHook:
        self.hooks = [
            (name, dispatch.in_background(name, fn, self._options, draft=self._draft))
            for name, fn in self._given
        ]
        super().__enter__()
        for (name, fn), (_, called) in zip(self._given, self.hooks, strict=True):
            if registry.entry_of(called) is not None:
                self._taken += ((name, each) for each in _take_out(name, fn))
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        for name, fn in self._given:
            registry.unregister(name, fn)
        for name, (fn, order) in self._taken:
            wagtail_hooks.register(name, fn, order=order)
            if isinstance(fn, Moved):
                registry.restore(fn.entry)
        self._taken.clear()


if not TYPE_CHECKING:  # else checkers would take any name for one of these

    def __getattr__(name: str) -> Any:
        """Whatever else ``wagtail.hooks`` has, now or later."""
        return getattr(wagtail_hooks, name)
