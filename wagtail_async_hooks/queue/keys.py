"""The keys of a call: what it is merged by, what it never runs beside, and what it waits for."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterable, Mapping
from string import Formatter
from typing import Any, Final

from django.db.models import Model
from huey.utils import utcnow

from wagtail_async_hooks.conf.options import KeyTemplate, TaskOptions
from wagtail_async_hooks.conf.validators import invalid
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.types import Subject
from wagtail_async_hooks.utils import signatures
from wagtail_async_hooks.utils.database.transactions import guarded
from wagtail_async_hooks.utils.errors import report
from wagtail_async_hooks.utils.placeholders import filled
from wagtail_async_hooks.utils.text import cut_key, storable

logger = logging.getLogger(__name__)

OPTIONS: Final[tuple[str, ...]] = ("coalesce", "debounce", "debounce_max", "exclusive")
"""The options that keys are made by."""

DEBOUNCE_MAX: Final = 10
"""A burst lasts at most so many times as long as ``debounce``, unless ``debounce_max`` is given."""


def give_keys(
    task: QueuedTask, options: TaskOptions, named: Mapping[str, Any], owner: object
) -> None:
    """Give a task its keys and, if it is debounced, the times between which it is to be begun.

    :param named: the arguments of the call, by name.
    :param owner: whose options they are, for the log.
    """
    submission = task.submission
    submission.coalesce_key = key_of(options.coalesce, named, "coalesce", owner)
    submission.exclusive_key = key_of(options.exclusive, named, "exclusive", owner)
    if not options.debounce:
        return
    if options.coalesce is None:
        submission.coalesce_key = _key_of_subject(named.values())
        if not submission.coalesce_key:
            logger.error(
                "debounce= of %s needs coalesce= as well, since no argument is a saved object that "
                "could be the key; the task is enqueued without.",
                owner,
            )
    if submission.coalesce_key:
        _debounce(task, options.debounce, options.debounce_max)


def _debounce(task: QueuedTask, quiet: float, longest: float | None) -> None:
    now = utcnow()
    due = now + datetime.timedelta(seconds=quiet)
    task.eta = due if task.eta is None else max(task.eta, due)
    longest = quiet * DEBOUNCE_MAX if longest is None else longest
    task.submission.latest_at = max(task.eta, now + datetime.timedelta(seconds=longest))
    # It counts from where the task might have been begun.
    if isinstance(task.expires, datetime.timedelta):
        task.expires += datetime.timedelta(seconds=quiet)
    elif isinstance(task.expires, int | float):
        task.expires += quiet


def key_of(
    template: KeyTemplate | None, named: Mapping[str, Any], option: str, owner: object
) -> str:
    """Return the key of a call; blank if there is none, or if it cannot be made.

    :param template: see :class:`~wagtail_async_hooks.conf.options.TaskOptions`.
    :param named: the arguments of the call, by name.
    :param option: its name, for the log.
    :param owner: whose option it is, for the log.
    """
    if template is None:
        return ""

    def complain(error: Exception) -> None:
        told = "The key %s= of %s cannot be made, so the task is enqueued without."
        report(logger, error, told, option, owner)

    key = None
    with guarded(complain):  # a function of the site's, or an attribute, that may ask the database
        key = template(**named) if callable(template) else _filled(template, named)
        key = "" if key in (None, "") else cut_key(storable(str(key)))
    return key or ""


def _filled(template: str, named: Mapping[str, Any]) -> str:
    parts = Formatter().parse(template)
    return "".join(
        literal + ("" if name is None else filled(name, spec, conversion, named, of_key=True))
        for literal, name, spec, conversion in parts
    )


def _key_of_subject(values: Iterable[Any]) -> str:
    """Return a key for the first of some values that is an object; blank if that is not saved."""
    for value in values:
        if isinstance(value, Model):
            return _key_of_object(type(value), value.pk)
        subject = getattr(value, "subject", None)
        if isinstance(subject, Subject):  # of a snapshot, or a draft
            return _key_of_object(subject.model, subject.key)
    return ""


def _key_of_object(model: type[Model], key: Any) -> str:
    """A page has the same key whether it was loaded as a plain one or as one of its own class."""
    options = model._meta
    while (link := options.pk.remote_field) is not None and getattr(link, "parent_link", False):
        options = link.model._meta
    return "" if key is None else cut_key(storable(f"{options.label_lower} {key}"))


# Of @background.task() ----------------------------------------------------------------------


class OwnKeys:
    """How the calls of a background task get their keys.

    :param function: whose parameters name the arguments.
    :param options: those of ``@background.task()`` that keys are made by.
    :raises TypeError: if one of them is of a wrong type, or contradicts another one.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        for name, expected in invalid(options).items():
            raise TypeError(
                f"@background.task({name}=…) of {function.__qualname__}() should be {expected}, "
                f"but is {options[name]!r}."
            )
        self._told = f"{function.__module__}.{function.__qualname__}"
        self._function = function
        self.options = TaskOptions(**options)

    def give_to(self, task: QueuedTask) -> None:
        """Give a task its keys before it is enqueued, unless whoever made it has done so."""
        if not task.submission.coalesce_key and not task.submission.exclusive_key:
            named = signatures.named(self._function, task.args, task.kwargs, defaults=True)
            give_keys(task, self.options, named, self._told)


def give_own_keys(task: QueuedTask) -> None:
    """Give a task the keys that the options of ``@background.task()`` make, if there are any."""
    own = task.definition.keys
    if own is not None:
        own.give_to(task)
