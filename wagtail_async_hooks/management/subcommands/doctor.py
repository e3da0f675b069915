"""``wagtail_tasks doctor``: says in words what is wrong, and what to type."""

from __future__ import annotations

import threading
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final, Self

from django.core.management.base import CommandError, OutputWrapper
from django.db import DatabaseError, InterfaceError
from django.utils import translation

from wagtail_async_hooks import conf
from wagtail_async_hooks.management.base import BaseSubcommand, counted
from wagtail_async_hooks.monitoring.alerts import conditions, sending, telling
from wagtail_async_hooks.monitoring.alerts.telling import Told
from wagtail_async_hooks.monitoring.doctor import examination
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.database.errors import in_one_line

PATIENCE: Final = 10.0
"""Seconds after which it is said what is waited for."""


class Subcommand(BaseSubcommand):
    """Examine how background tasks are set up, and how they do."""

    help = (
        "Says what is wrong with background tasks, and what to type; nothing if all is well. The "
        "exit code is 0 if nothing is wrong, 1 with warnings, and 2 if something is critical."
    )
    needs_ledger: ClassVar[bool] = False
    needs_site: ClassVar[bool] = False

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--ignore",
            action="append",
            choices=list(Code),
            default=[],
            metavar="CODE",
            help="leave out what has this code; may be given several times",
        )
        alerts = parser.add_mutually_exclusive_group()
        alerts.add_argument(
            "--alert",
            action="store_true",
            help=f'tell those of {conf.SETTING}["ALERTS"] what is wrong, if they do not know yet',
        )
        alerts.add_argument(
            "--test-alert",
            action="store_true",
            help="send them a message that says only that it arrives, and do nothing else",
        )

    def handle(self, options: dict[str, Any]) -> None:
        if options["alert"] or options["test_alert"]:
            _require_alerts("--alert" if options["alert"] else "--test-alert")
        if options["test_alert"]:
            self._test()
            return
        with _Patience(self.stderr) as patience:
            examined = examination.examine(patience.begins)
        found = [each for each in examined if each.code not in options["ignore"]]
        worst = max((each.severity for each in found), default=Severity.NOTE)
        data: dict[str, Any] = {
            "exit_code": int(worst),
            "findings": [_data(each) for each in found],
        }
        lines = list(_lines(found))
        untold = ""
        if options["alert"]:
            told, untold = _alert(found)
            data["alerts"] = [_data_of(each) for each in told]
            lines += _lines_of(told)
        if untold:
            worst = max(worst, Severity.WARNING)
            data["exit_code"] = int(worst)
        self.answer(data, lines)
        if worst is not Severity.NOTE:
            summary = _summary(found) if any(each.severity for each in found) else ""
            raise CommandError(f"{summary} {untold}".strip(), returncode=int(worst))

    def _test(self) -> None:
        told = telling.test(clock.now())
        self.answer({"alerts": [_data_of(each) for each in told]}, _lines_of(told))
        if problem := _failed(told):
            raise CommandError(problem)


def _require_alerts(option: str) -> None:
    """Make sure that the settings say who is told.

    :raises CommandError: if they do not; the exit code is that of a mistyped command line.
    """
    if conf.current().alerts.to:
        return
    problem = " ".join(conf.current().problems)
    setting = f'{conf.SETTING}["ALERTS"]["to"]'
    raise CommandError(
        f"{option} needs {setting}, which says who is told, such as "
        f'["ops@example.com"]. {problem}'.strip(),
        returncode=2,
    )


def _alert(findings: Sequence[Finding]) -> tuple[list[Told], str]:
    """Tell what is wrong to those who are to know it; return also why somebody could not be told.

    :param findings: of the doctor.
    """
    if not conf.current().backend:
        return [], ""  # nothing waits for a worker, and nothing is recorded
    told: list[Told] = []
    try:
        moment = Moment()
        with translation.override("en"):
            found = conditions.of_workers(moment).and_also(conditions.of_errors(moment.time))
            found = found.and_also(conditions.of_doctor(findings, moment.time))
        told.extend(telling.tell_all(found, moment.time))
    except (DatabaseError, InterfaceError) as error:
        return told, f"Nobody was told, as the database does not work: {in_one_line(error)}"
    return told, _failed(told)


def _failed(told: Iterable[Told]) -> str:
    return " ".join(
        f"{sending.names(each.target)} could not be told: {each.problem.rstrip('.')}."
        for each in told
        if each.problem
    )


def _data_of(told: Told) -> dict[str, Any]:
    return {
        "to": sending.names(told.target),
        "subject": told.alert.subject,
        "keys": [each.key for each in told.alert.problems],
        "problem": told.problem,
    }


def _lines_of(told: Iterable[Told]) -> Iterator[str]:
    for each in told:
        if not each.problem:
            yield f"{sending.names(each.target)} was told: {each.alert.subject}"


class _Patience:
    """Says what is waited for, if one part of the examination takes long.

    :param stderr: where to say so.
    """

    def __init__(self, stderr: OutputWrapper) -> None:
        self._stderr = stderr
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self._cancel()

    def begins(self, what: str) -> None:
        """Note which part is examined from now on."""
        self._cancel()
        self._timer = threading.Timer(PATIENCE, self._say, [what])
        self._timer.daemon = True
        self._timer.start()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()  # so that it writes nothing into the answer

    def _say(self, what: str) -> None:
        self._stderr.write(
            f"For {PATIENCE:g} s, {what} could not be examined to the end; press Ctrl-C if "
            "that is what does not answer."
        )


def _data(finding: Finding) -> dict[str, str]:
    return {
        "severity": finding.severity.name.lower(),
        "code": finding.code.value,
        "text": finding.text,
        "remedy": finding.remedy,
    }


def _lines(found: Iterable[Finding]) -> Iterator[str]:
    for finding in found:
        yield f"{finding.severity.name.lower()}: {finding.code}"
        yield f"  {finding.text}"
        yield f"  → {finding.remedy}"


def _summary(found: Sequence[Finding]) -> str:
    """Return how many findings there are, such as "1 critical problem, 2 warnings."."""
    nouns = {Severity.CRITICAL: "critical problem", Severity.WARNING: "warning"}
    numbers = {each: sum(f.severity is each for f in found) for each in nouns}
    return ", ".join(counted(numbers[each], nouns[each]) for each in nouns if numbers[each]) + "."
