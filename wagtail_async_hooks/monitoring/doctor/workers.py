"""What is wrong with the workers: none lives, queues that none serves, old code, wrong clocks."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.monitoring import problems, registered, workers
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.monitoring.starting import start_worker
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.time import elapsed_text
from wagtail_async_hooks.worker import code, identity

_RESTART = (
    "Restart them as they were started, such as by systemctl or docker; after "
    '"kill -TERM" with the number of the process, running tasks finish first.'
)


def code_here() -> Mapping[str, str]:
    """Return the code of this process, to compare with that of the workers."""
    return code.hashes()


def examine(here: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with the workers.

    :param here: what :func:`code_here` has returned.
    """
    asked_at = time.monotonic()
    ahead = clock.measured(ledger.clock(), asked_at)
    if abs(ahead) > clock.TOLERANCE:
        yield _clock("this host", ahead)
    moment = Moment()
    if problems.nobody_works(moment):
        yield nobody(moment)
    living = list(ledger.alive().order_by("pk"))
    if living:
        yield from _unserved(living, moment)
        yield from _old(living, here)
    for host, ahead in {row.host: row.clock_ahead for row in living}.items():
        if abs(ahead) > clock.TOLERANCE:
            yield _clock(host, ahead)


def _clock(host: str, ahead: int) -> Finding:
    return Finding(
        Severity.WARNING,
        Code.CLOCK,
        f"The clock of {host} is {clock.described(ahead)}. Tasks keep the database's time, but "
        "Wagtail and the site's own code keep this one.",
        "timedatectl set-ntp true (on that host, or on the database's if that is the wrong one)",
    )


def nobody(moment: Moment) -> Finding:
    """Return that no worker is alive, and what waits for one."""
    waiting = " ".join(problem.text for problem in problems.problems(moment))
    said = f"No worker is alive; {_last(moment)}. {waiting}".rstrip()
    command = f"{start_worker()} (by systemd, docker or cron, so that it is started again)"
    if conf.current().worker.embedded:
        command = (
            "open any page of the site: WAGTAIL_TASKS asks for an embedded worker, which begins "
            "after a web process's first request, and whose log says why if it does not; or run "
            f"{start_worker()}"
        )
    return Finding(Severity.CRITICAL, Code.NO_WORKER, said, command)


def _last(moment: Moment) -> str:
    if not moment.workers:
        return "none has ever been started, or it was long ago"
    row = moment.workers[0]
    ago = f"{elapsed_text(row.heartbeat_at, moment.time)} ago"
    if workers.has_died(row, moment):
        return f"the last one, {row}, has died {ago}: its log says why, or the system's"
    return f"the last one, {row}, has stopped {ago}"


def _unserved(living: Sequence[Worker], moment: Moment) -> Iterator[Finding]:
    """Yield the queues that the code, the settings or waiting tasks name, and no worker serves."""
    waiting = {task.queue for task in moment.waiting}
    for queue in sorted(registered.queues() | waiting):
        if any(workers.serves(row.queues, queue) for row in living):
            continue
        why = "and tasks wait there" if queue in waiting else "so its tasks would wait for ever"
        yield Finding(
            Severity.CRITICAL if queue in waiting else Severity.WARNING,
            Code.UNSERVED_QUEUE,
            f'No worker serves the queue "{queue}", {why}.',
            f"manage.py wagtail_worker --queue {shlex.quote(queue)} (without --queue, for all)",
        )


def _old(living: Iterable[Worker], here: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the workers that run another release than this process, or other code."""
    release = identity.release()
    releases: dict[str, list[str]] = {}
    changed: dict[tuple[str, ...], list[str]] = {}
    for row in living:
        if row.release != release:
            releases.setdefault(row.release, []).append(str(row))
        elif isinstance(row.code, Mapping) and (modules := code.changed(row.code, here)):
            changed.setdefault(tuple(modules), []).append(str(row))
    for other, rows in sorted(releases.items()):
        yield Finding(
            Severity.WARNING,
            Code.OTHER_RELEASE,
            f"{_named(rows)} the release {other}, but this process is of {release}.",
            _RESTART,
        )
    for names, rows in sorted(changed.items()):
        yield Finding(
            Severity.WARNING,
            Code.OTHER_CODE,
            f"{_named(rows)} other code than is here: {', '.join(names)} was changed since.",
            _RESTART,
        )


def _named(rows: Sequence[str]) -> str:
    if len(rows) == 1:
        return f"The worker {rows[0]} runs"
    return f"The workers {', '.join(rows)} run"
