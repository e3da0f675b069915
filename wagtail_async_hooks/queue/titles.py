"""What people read of a task: what it does, and what the error means with which it has failed."""

from __future__ import annotations

import logging
import string
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from django.conf import settings
from django.db import connections
from django.db.models import Model
from django.utils import translation

from wagtail_async_hooks.conf.options import Explain, Text
from wagtail_async_hooks.queue.retries import classes
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.utils import placeholders, signatures
from wagtail_async_hooks.utils.catching import passes
from wagtail_async_hooks.utils.errors import class_of, report, text_of
from wagtail_async_hooks.utils.redaction import without_secrets
from wagtail_async_hooks.utils.text import one_line, shortened, visible

logger = logging.getLogger(__name__)

MAX_TITLE: Final = 255
"""Characters of a title."""

MAX_EXPLANATION: Final = 500
"""Characters of an explanation."""

UNKNOWN: Final = "…"
"""What stands in a title for what cannot be told, or is not to be."""

_formatter: Final = string.Formatter()
_told_of: Final[set[str]] = set()


class QueryRefused(Exception):
    """A title asked the database, and the editor would have to wait for that."""


def columns_of(task: QueuedTask) -> dict[str, str]:
    """Return what a task's row says for people, in the language that is active here."""
    options = task.options()
    told = {"side_effect": options.side_effect or ""}
    if options.title is not None:
        told["title"] = title(options.title, _arguments_of(task))
    return told


def _arguments_of(task: QueuedTask) -> Mapping[str, Any]:
    """Return a task's arguments by name."""
    if (known := task.submission.named) is not None:
        return known
    args = task.args if isinstance(task.args, tuple | list) else ()
    kwargs = task.kwargs if isinstance(task.kwargs, dict) else {}
    called = task.definition.called  # the worker will tell what does not fit
    return kwargs if called is None else signatures.named(called, args, kwargs, defaults=True)


def title(template: Text, arguments: Mapping[str, Any]) -> str:
    """Return a title; whatever goes wrong leaves a gap in it.

    :param template: with the names of arguments in braces.
    """
    with _without_queries():
        try:
            parts = list(_formatter.parse(str(template)))
        except BaseException as error:
            if passes(error):
                raise
            _log_once(template, error)
            return _fitting(str(template), MAX_TITLE)
        told = "".join(
            literal + ("" if name is None else _filled(template, name, spec, conversion, arguments))
            for literal, name, spec, conversion in parts
        )
    return _fitting(told, MAX_TITLE)


def _filled(
    template: Text, name: str, spec: str | None, conversion: str | None, arguments: Any
) -> str:
    """Return what stands in the place of a name."""
    try:
        return placeholders.filled(name, spec, conversion, arguments)
    except BaseException as error:
        if passes(error):
            raise
        _log_once(template, error)
        return UNKNOWN


@contextmanager
def _without_queries() -> Iterator[None]:
    """Refuse whatever would ask a database meanwhile."""

    def refuse(*args: Any) -> Any:
        raise QueryRefused("it would have to ask the database")

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(refuse))
        yield


def name_of_object(instance: Model | None) -> str:
    """Return what an object is called; blank if it cannot be told without asking a database."""
    if instance is None:
        return ""
    with _without_queries():
        try:
            return _fitting(without_secrets(str(instance)), MAX_TITLE)
        except BaseException as error:
            if passes(error):
                raise
            return ""


def _log_once(template: Text, error: BaseException) -> None:
    """Log, once in this process, what is wrong with a title."""
    if str(template) not in _told_of:
        _told_of.add(str(template))
        kind = type(error).__name__
        logger.warning(
            "The title %r has a gap: %s: %s.", str(template), kind, one_line(text_of(error))
        )


def explanation(explain: Explain | None, error: BaseException, language: str | None) -> str:
    """Return what an error means for an editor; blank if nothing is known.

    :param language: the editor's; ``None`` for the site's.
    """
    if explain is None:
        return ""
    try:
        with translation.override(language or settings.LANGUAGE_CODE):
            told = explain(error) if callable(explain) else _known(explain, error)
            return "" if told is None else _fitting(str(told), MAX_EXPLANATION)
    except BaseException as another:
        if passes(another):
            raise
        report(logger, another, "%s cannot be explained.", class_of(error))
        return ""


def _known(explain: Mapping[Any, Text], error: BaseException) -> Text | None:
    """Return the text of the nearest class of an error."""
    texts = {kind: text for named, text in explain.items() for kind in classes(named)}
    return next((texts[kind] for kind in type(error).__mro__ if kind in texts), None)


def _fitting(text: str, length: int) -> str:
    text = visible(" ".join(shortened(text, 4 * length).split()))
    return text if len(text) <= length else f"{text[: length - 1]}{UNKNOWN}"
