"""A task as tests see it: a plain record of its row, with its arguments by name."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from wagtail_async_hooks.exceptions import MessageRefused, TargetGone
from wagtail_async_hooks.hooks import catalogue
from wagtail_async_hooks.integrations.tasks_backend.results import call_of
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization import codecs
from wagtail_async_hooks.utils import functions, signatures

OPTIONS: Final = ("function", "priority", "queue", "user", "coalesce_key", "exclusive_key")
"""What can be asked of a task beside its arguments."""


@dataclass(frozen=True)
class RecordedTask:
    """The state of a background task at one moment.

    :param pk: number of its row.
    :param function: dotted path of its function.
    :param name: name of the task.
    :param hook: name of the hook or signal; blank for a task that was called.
    :param state: one of :class:`~wagtail_async_hooks.types.State`.
    :param user: primary key of the user who triggered it.
    :param run_at: when it is due, if that was in the future.
    :param attempt: number of its attempts.
    :param result: what its function returned; ``None`` for hooks, as in Wagtail.
    :param error: what went wrong, in one line.
    :param traceback: of the error, as text.
    :param exception: the error itself, if it was raised in this process.
    """

    pk: int
    function: str
    name: str
    hook: str
    state: str
    priority: int
    queue: str
    user: Any
    coalesce_key: str
    exclusive_key: str
    run_at: datetime.datetime | None
    attempt: int
    result: Any
    error: str
    traceback: str
    exception: BaseException | None = None
    row: BackgroundTask = field(repr=False, compare=False, kw_only=True)

    @classmethod
    def of(cls, row: BackgroundTask, exception: BaseException | None = None) -> RecordedTask:
        """Return the record of a row.

        :param exception: what its last attempt has raised.
        """
        return cls(
            pk=row.pk,
            function=row.function,
            name=row.name,
            hook=row.hook,
            state=row.state,
            priority=row.priority,
            queue=row.queue,
            user=row.user_id,
            coalesce_key=row.coalesce_key,
            exclusive_key=row.exclusive_key,
            run_at=row.run_at,
            attempt=row.attempt,
            result=_result(row),
            error=row.error,
            traceback=row.traceback,
            exception=exception,
            row=row,
        )

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments by name, as the function gets them; objects are read when first asked for.

        Those of a task whose function cannot be found by its path are named by their place.
        """
        if (call := call_of(self.row)) is not None:
            return call.named
        try:
            message, _, added = background.serializer.deserialize_whole(bytes(self.row.message))
        except MessageRefused:
            return {}
        args = tuple(map(_resolved, message.args))
        given = {k: v for k, v in (message.kwargs or {}).items() if k not in added}
        kwargs = {name: _resolved(value) for name, value in given.items()}
        if kind := catalogue.kind_of(self.hook):
            return {**dict(zip(kind.arguments, args, strict=False)), **kwargs}
        return bound(_function(self.function), args, kwargs)

    def has(self, expected: Mapping[str, Any]) -> bool:
        """Return whether all arguments and options are as expected."""
        return all(self._is(name, value) for name, value in expected.items())

    def _is(self, name: str, value: Any) -> bool:
        if name in self.arguments:
            return is_same(value, self.arguments[name])
        if name not in OPTIONS:
            return False
        if name == "function" and callable(value):
            value = functions.dotted_path(value)
        if name == "user":
            value = getattr(value, "pk", value)
        return bool(value == getattr(self, name))

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        told = f"{self.hook} → {self.function}" if self.hook else self.function
        options = [f"{name} {getattr(self, name)!r}" for name in OPTIONS[1:] if getattr(self, name)]
        return f"{told}({arguments}): {', '.join([self.state, *options])}"


class Gone:
    """Stands for an object that was deleted after the task was enqueued."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"<{self.reason}>"


def bound(
    function: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by their names in the function."""
    found = None if function is None else signatures.parameters(function)
    if function is not None and found is not None:
        fits = found.more_places or len(args) <= len(found.places)
        if fits:  # else the task will say so when it runs
            return signatures.named(function, args, kwargs)
    return {**{str(place): value for place, value in enumerate(args)}, **kwargs}


def is_same(expected: Any, actual: Any) -> bool:
    """Return whether an argument is what a test expects.

    Objects are the same if they are of the same row, a plain page and its own class included;
    requests, if user, method and address are.
    """
    if isinstance(expected, Model) and isinstance(actual, Model):
        kinds = type(expected), type(actual)
        related = issubclass(*kinds) or issubclass(*reversed(kinds))
        return expected.pk == actual.pk and (related or expected == actual)
    if isinstance(expected, HttpRequest) and isinstance(actual, HttpRequest):
        return _told(expected) == _told(actual)
    if isinstance(expected, list | tuple | QuerySet) and not isinstance(actual, str | bytes):
        items, others = list(expected), list(actual) if hasattr(actual, "__iter__") else None
        return others is not None and len(items) == len(others) and all(map(is_same, items, others))
    return bool(expected == actual)


def _told(request: HttpRequest) -> tuple[Any, ...]:
    user = getattr(request, "user", None)
    return getattr(user, "pk", None), request.method, request.get_full_path()


def _resolved(value: Any) -> Any:
    """Return an argument with the objects that it refers to, or with what stands for those."""
    try:
        return codecs.resolve(value)
    except TargetGone as error:
        return Gone(str(error))


def _function(path: str) -> Callable[..., Any] | None:
    module, _, name = path.rpartition(".")
    found = functions.loaded(module, name)
    if callable(found):
        function: Callable[..., Any] = getattr(found, "func", found)
        return function
    return background.function_of(path)  # the package's own tasks are not named after modules


def _result(row: BackgroundTask) -> Any:
    if row.result is None or row.state != "succeeded":
        return None
    return background.serializer.deserialize(bytes(row.result))
