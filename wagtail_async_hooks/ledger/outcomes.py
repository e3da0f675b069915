"""The columns of an outcome, no larger than the database takes in one statement."""

from __future__ import annotations

import logging
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.types import Outcome, State
from wagtail_async_hooks.utils.database.values import SMALL, limit_of, size_of
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)

_FEW: Final = 50
"""So many messages for an editor are kept where all of them would be too much."""


def errors_of(outcome: Outcome) -> dict[str, str]:
    """Return the columns that tell what went wrong."""
    return {
        "error": outcome.error,
        "error_type": outcome.error_type,
        "traceback": outcome.traceback,
        "explanation": outcome.explanation,
    }


def lighten(outcome: Outcome, connection: BaseDatabaseWrapper) -> None:
    """Drop what is optional of an outcome that is larger than the database takes.

    The result goes first: a task that has succeeded stays so without it, and its row says why.
    """
    held = len(outcome.result or b"") + len(outcome.message or b"")
    if held < SMALL // 4 and len(outcome.messages) < _FEW:
        return  # of nearly every task; each microsecond counts here
    size = _size(outcome)
    if size < SMALL or size < (limit := limit_of(connection)):
        return
    if outcome.result is not None:
        told = (
            f"the result was not kept: {len(outcome.result)} bytes are more than the database takes"
        )
        outcome.result = None
        logger.warning("%s: %s.", str(outcome.claim), one_line(told))
        if outcome.state is State.SUCCEEDED:
            outcome.error = told
    if outcome.messages and _size(outcome) >= limit:
        logger.warning(
            "%s: %d messages were not kept.", str(outcome.claim), len(outcome.messages) - _FEW
        )
        outcome.messages = outcome.messages[:_FEW]


def _size(outcome: Outcome) -> int:
    texts = (outcome.error, outcome.traceback)
    # As JSON has it, an escape takes up to twelve characters.
    said = (3 * size_of(_text(message)) for message in outcome.messages)
    return sum(map(size_of, (outcome.result, outcome.message, *texts))) + sum(said)


def _text(message: dict[str, Any]) -> str:
    return f"{message.get('text', '')}{message.get('tags', '')}"
