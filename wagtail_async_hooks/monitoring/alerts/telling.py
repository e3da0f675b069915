"""One check: what is wrong is told to those who are to know it, once, whoever notices it too."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.utils import translation

from wagtail_async_hooks import ledger
from wagtail_async_hooks.monitoring.alerts import sending
from wagtail_async_hooks.monitoring.alerts.conditions import Found
from wagtail_async_hooks.monitoring.alerts.due import Due, due, interval
from wagtail_async_hooks.monitoring.alerts.messages import message
from wagtail_async_hooks.types import Alert, AlertKind, AlertProblem
from wagtail_async_hooks.utils.catching import original
from wagtail_async_hooks.utils.database.outages import Outage, persist
from wagtail_async_hooks.utils.database.transactions import guarded
from wagtail_async_hooks.utils.errors import class_of, report
from wagtail_async_hooks.utils.redaction import without_secrets
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)


class Told(NamedTuple):
    """What became of a message to a target.

    :param error: why it could not be told; ``None`` if it was.
    """

    target: str
    alert: Alert
    error: Exception | None = None

    @property
    def problem(self) -> str:
        """Why it could not be told, as the end of a sentence; blank if it was."""
        if self.error is None:
            return ""
        name = class_of(self.error).rpartition(".")[2]
        return f"{name}: {without_secrets(one_line(original(self.error)))}"


def pending(found: Found, now: datetime.datetime) -> list[str]:
    """Return the targets that are to be told something; one query.

    What is over without a word is recorded.

    :param now: what the database's clock said before all that was found.
    """
    return [target for target, each in _due(sending.targets(), found, now) if each.problems]


def tell(target: str, found: Found, now: datetime.datetime) -> Told | None:
    """Tell a target what it is to be told, unless another process does so at this moment.

    :param now: what the database's clock said before all that was found.
    :returns: ``None`` if there is nothing to be told, or another process tells.
    :raises DatabaseError: if what it was told cannot be read, or recorded.
    """
    holder = ledger.hold_target(target)
    if not holder:
        return None
    # Read again: another process may have told it since.
    [(_, what)] = _due([target], found, now)
    if not what.problems:
        ledger.release_target(target, holder)
        return None
    told = send(target, what.problems)
    if told.error is not None:
        delay = _insist(partial(ledger.record_failure, target, holder, what.problems))
        _complain(told, delay)
    else:
        _insist(partial(ledger.record_told, target, holder, what.problems, interval()))
        logger.info("%s was told: %s", sending.names(target), told.alert.subject)
    return told


def _complain(told: Told, delay: float) -> None:
    """Log that a target could not be told; of a function, with the traceback."""
    assert told.error is not None
    template = "%s could not be told “%s”, which is tried again in %.0f s: %s"
    arguments = (sending.names(told.target), told.alert.subject, delay, told.problem)
    if told.target == sending.EMAIL:
        logger.error(template, *arguments)
    else:
        report(logger, told.error, template, *arguments)


def _insist(record: Callable[[], Any]) -> Any:
    """Record what became of a message, although the database may fail for a moment: else the
    message would be sent again.
    """
    return persist(record, Outage(), ledger.LEASE / 2)


def tell_all(found: Found, now: datetime.datetime) -> Iterator[Told]:
    """Tell all targets what they are to be told, one after the other.

    :raises DatabaseError: if what they were told cannot be read, or recorded.
    """
    for target in pending(found, now):
        if (told := tell(target, found, now)) is not None:
            yield told


def send(target: str, problems: Sequence[AlertProblem]) -> Told:
    """Send a message about some problems to a target, whatever it was told before."""
    with translation.override("en"):
        alert = message(problems)
    failed: list[Exception] = []
    with guarded(failed.append):  # a function of the site's, or its settings
        sending.send(target, alert)
    return Told(target, alert, failed[0] if failed else None)


def test(now: datetime.datetime) -> list[Told]:
    """Send a message to each target that says nothing but that it arrives."""
    problem = AlertProblem(
        key=AlertKind.TEST.value,
        kind=AlertKind.TEST,
        title="A test of alerts",
        text="Nothing is wrong: somebody wants to know whether alerts arrive here. They do.",
        remedy="",
        since=now,
    )
    return [send(target, [problem]) for target in sending.targets()]


def _due(targets: Iterable[str], found: Found, now: datetime.datetime) -> Iterator[tuple[str, Due]]:
    names = list(targets)
    records = ledger.alert_records(names)
    for target in names:
        what = due(found, [each for each in records if each.target == target], now)
        if what.over:
            ledger.record_over(target, what.over)
        yield target, what
