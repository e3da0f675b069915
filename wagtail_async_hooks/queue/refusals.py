"""What is recorded of an outcome that the database refuses: less of it, then only that it failed.

An outcome that is refused would be refused each time, and the thread that has it to record would
do nothing else. So what is optional is dropped first. If the rest is refused as well, the task has
failed, in plain words that every database takes. If not even that can be written, the outcome is
set aside, and tried again now and then, while the thread goes on with other tasks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections

from wagtail_async_hooks.types import Outcome, State
from wagtail_async_hooks.utils.database.errors import Verdict, in_one_line, is_lost, judge
from wagtail_async_hooks.utils.database.values import SMALL, size_of
from wagtail_async_hooks.utils.text import cut, one_line

logger = logging.getLogger(__name__)

NOT_RECORDED: Final = "could not be recorded"
"""What the error of a task begins with whose outcome was refused."""

PAUSE: Final = 0.5
"""Seconds before the same is tried once more: what refuses it may be gone by then."""

LESS: Final = 2
"""How often it is tried to record an outcome without what is optional."""

PLAIN: Final = 2
"""How often it is tried after that to record that the task failed."""

LOSSES: Final = 3
"""After how many connections that broke off on a large outcome the outcome is to blame."""

SET_ASIDE: Final = (5.0, 30.0, 120.0, 300.0)
"""Seconds after which what was set aside is tried again; the last one for ever."""


def is_refused(outcome: Outcome, error: Exception, database: str) -> bool:
    """Return whether an error is about an outcome, rather than about the database.

    A server that gets more than it takes may say so only by closing the connection.

    :param database: alias of the ledger's.
    """
    if judge(error) is Verdict.REFUSAL:
        return True
    if not is_lost(error) or _size(outcome) < SMALL or not _answers(database):
        return False
    outcome.losses += 1
    return outcome.losses >= LOSSES


def lessened(outcome: Outcome, error: Exception) -> Outcome | None:
    """Return what to record instead of an outcome that was refused; ``None`` to set it aside."""
    outcome.refusals += 1
    if outcome.refusals <= LESS:
        # Once at least without a pause, since it is something else.
        if outcome.refusals > 1:
            time.sleep(PAUSE)
        else:
            logger.error(
                "The database refuses what became of %s, so it is recorded without what is "
                "optional: %s",
                str(outcome.claim),
                in_one_line(error),
            )
        return _without_what_is_optional(outcome)
    if outcome.refusals <= LESS + PLAIN:
        if outcome.refusals > LESS + 1:
            time.sleep(PAUSE)
            return outcome
        logger.error(
            "What became of %s cannot be recorded, so it has failed: %s",
            str(outcome.claim),
            in_one_line(error),
        )
        return plain(outcome, error)
    logger.error(
        "Not even the failure of %s can be recorded. It is tried again now and then, and the task "
        "stays as it is until then: %s",
        str(outcome.claim),
        in_one_line(error),
    )
    return None


def plain(outcome: Outcome, error: Exception) -> Outcome:
    """Return that a task has failed, in words that every database takes."""
    how = f"it had {outcome.state.value}" if outcome.state.is_final else "it was to run again"
    if outcome.error:
        how = f"{how}: {_ascii(outcome.error, 200)}"
    why = _ascii(in_one_line(error), 200)
    return replace(
        _without_what_is_optional(outcome),
        state=State.FAILED,
        error=f"{NOT_RECORDED}: {why} ({how})",
        error_type=_ascii(f"{type(error).__module__}.{type(error).__qualname__}", 200),
        message=None,
        run_at=None,
        is_snoozed=False,
    )


def _without_what_is_optional(outcome: Outcome) -> Outcome:
    return replace(
        outcome,
        result=None,
        messages=[],
        progress=None,
        error_place="",
        traceback="",
        explanation="",
        error=_ascii(outcome.error, 500),
        error_type=_ascii(outcome.error_type, 200),
    )


def _ascii(text: str, length: int) -> str:
    """Return a text in which nothing is left that a database might not take."""
    said = text[: 4 * length].encode("ascii", "backslashreplace").decode()
    return cut("".join(c if c.isprintable() else " " for c in said), length)


def _size(outcome: Outcome) -> int:
    texts = (outcome.error, outcome.traceback, outcome.explanation)
    said = (str(message.get("text", "")) for message in outcome.messages)
    return sum(map(size_of, (outcome.result, outcome.message, *texts, *said)))


def _answers(database: str) -> bool:
    """Return whether a database can be reached that has just closed a connection."""
    connection = connections[database]
    try:
        connection.close()
        connection.ensure_connection()
        return connection.is_usable()
    except (DatabaseError, InterfaceError):
        return False


class SetAside:
    """Outcomes that could not be recorded at all, for all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: list[tuple[float, int, Outcome]] = []

    def __len__(self) -> int:
        return len(self._outcomes)

    def add(self, outcome: Outcome, tries: int = 0) -> None:
        """Keep an outcome for later."""
        pause = SET_ASIDE[min(tries, len(SET_ASIDE) - 1)]
        with self._lock:
            self._outcomes.append((time.monotonic() + pause, tries, outcome))

    def retry(self, record: Callable[[Outcome], Any], *, all_of_them: bool = False) -> None:
        """Try to record those for which it is time; the others, and what is refused, stay.

        :param record: raises an error if it cannot record an outcome.
        :param all_of_them: also those for which it is not time yet: the process ends.
        """
        now = time.monotonic()
        with self._lock:
            due = [kept for kept in self._outcomes if all_of_them or kept[0] <= now]
            self._outcomes = [kept for kept in self._outcomes if kept not in due]
        for number, (_, tries, outcome) in enumerate(due):
            try:
                record(outcome)
            except Exception as error:
                self.add(outcome, tries + 1)
                if judge(error) is not Verdict.REFUSAL:
                    for _, left_tries, left in due[number + 1 :]:
                        self.add(left, left_tries)
                    raise
                logger.debug("%s cannot be recorded yet: %s", str(outcome.claim), one_line(error))
