"""Alerts that arrive in a real mail server, once, whoever notices and however many do."""

from __future__ import annotations

import datetime
import json
import re
import signal
from collections.abc import Callable
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import pytest
from django.db.models import F

from tests.monitoring.alerts.conftest import ago
from tests.processes import Process, wait_until
from tests.smtp import MailServer
from tests.work import tasks
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import AlertRecord, AlertTarget, BackgroundTask, Worker
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database.instants import FromNow

pytestmark = pytest.mark.slow

OPS = "ops@example.com"
FROM_THEN = datetime.timedelta(seconds=ledger.LEASE)
Start = Callable[..., Process]


def environment(server: MailServer, **options: object) -> dict[str, str]:
    """Return the environment of a site that sends alerts to that server.

    Its e-mails are queued for workers, as the demo's are, so that nobody would get them without.
    """
    return {
        "SITE_SMTP_PORT": str(server.port),
        "TEST_ALERTS": json.dumps({"to": [OPS], **options}),
    }


def mails(server: MailServer) -> list[EmailMessage]:
    """Return what has arrived."""
    return [mail.parsed for mail in server.to(OPS)]


def body(mail: EmailMessage) -> str:
    """Return the text of an e-mail."""
    return str(mail.get_content())


def is_free() -> bool:
    """Return whether nobody tells anybody anything just now, and something was told."""
    rows = list(AlertTarget.objects.all())
    return bool(rows) and not any(row.holder for row in rows)


def end(workers: list[Process]) -> None:
    """Let workers end calmly, once each is so far that it handles the signal to do so."""
    for worker in workers:
        wait_until(partial(handles_sigterm, worker), "it handles signals")
        worker.send(signal.SIGTERM)
    assert {worker.wait() for worker in workers} == {0}, [worker.said() for worker in workers]


def handles_sigterm(process: Process) -> bool:
    """Return whether a process handles SIGTERM, as the system knows."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = re.search(r"^SigCgt:\s+(\w+)$", status, re.MULTILINE)
    assert caught is not None
    return bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def make_waiting(queue: str, minutes: float) -> None:
    """Make a task that waits for longer."""
    tasks.add(1, 2)
    BackgroundTask.objects.update(queue=queue, enqueued_at=ago(minutes=minutes))


def silence(worker: Worker, seconds: float) -> None:
    """Have a worker be dead for longer."""
    Worker.objects.filter(pk=worker.pk).update(heartbeat_at=FromNow(-seconds))


def test_failing_task__is_told_once_by_several_workers(start: Start, server: MailServer) -> None:
    # How many fail is another thing to tell, which is known only a moment later.
    environ = environment(server, failure_rate=None)
    environ["TEST_WORKER"] = '{"threads": 1}'
    commands: tuple[list[str], ...] = (["--processes=2"], [], [])
    workers = [start("wagtail_worker", *options, **environ) for options in commands]
    wait_until(lambda: ledger.alive().count() == 4, "four worker processes live")
    for _ in range(30):  # so that each of them fails some
        tasks.fail("geheim")
    failed = BackgroundTask.objects.filter(state=State.FAILED)
    wait_until(lambda: failed.count() == 30, "all have failed")

    wait_until(lambda: mails(server), "an e-mail arrives")

    end(workers)  # each looks once more, before it ends
    assert len({row.worker_id for row in failed}) > 1
    [mail] = mails(server)
    assert mail["Subject"].startswith("[Saltmarsh Post] ")
    assert "New error: ValueError in Fail" in body(mail)
    assert "tests.work.tasks.fail" in body(mail)
    assert "http://127.0.0.1:8000/admin/" in body(mail)
    assert "geheim" not in str(mail)
    assert mail["Auto-Submitted"] == "auto-generated"


def test_dead_worker__is_told_once_by_several_processes(start: Start, server: MailServer) -> None:
    environ = environment(server, no_worker=60)
    worker = start("wagtail_worker", **environ)
    wait_until(ledger.is_served, "a worker lives")
    worker.send(signal.SIGKILL)
    worker.wait()
    silence(Worker.objects.get(), 90)

    doctors = [start("wagtail_tasks", "doctor", "--alert", **environ) for _ in range(3)]
    assert [doctor.wait() for doctor in doctors] == [2, 2, 2], doctors[0].said()

    [mail] = mails(server)
    assert mail["Subject"] == "[Saltmarsh Post] No worker is alive"
    assert "has died" in body(mail)
    assert "manage.py wagtail_worker" in body(mail)
    assert sum(f"{OPS} was told" in doctor.said() for doctor in doctors) == 1
    start("wagtail_tasks", "doctor", "--alert", **environ).wait()
    assert len(mails(server)) == 1

    start("wagtail_worker", **environ)
    wait_until(lambda: len(mails(server)) == 2, "it is told to be over")
    assert mails(server)[1]["Subject"] == "[Saltmarsh Post] Over: No worker is alive"


def test_dead_worker__is_noticed_by_the_workers_of_other_queues(
    start: Start, server: MailServer
) -> None:
    environ = environment(server, no_worker=60)
    of_mail = start("wagtail_worker", "--queue=mail", **environ)
    wait_until(ledger.is_served, "a worker lives")
    of_mail.send(signal.SIGKILL)
    of_mail.wait()
    silence(Worker.objects.get(), 90)
    make_waiting("mail", minutes=5)

    others = [start("wagtail_worker", "--queue=default", **environ) for _ in range(2)]

    wait_until(lambda: mails(server), "an e-mail arrives")
    wait_until(is_free, "it is recorded")
    end(others)
    [mail] = mails(server)
    assert "No worker serves the queue “mail”" in str(mail["Subject"])
    assert "--queue mail" in body(mail)


def test_drain__tells_before_it_ends(start: Start, server: MailServer) -> None:
    tasks.fail()
    worker = start("wagtail_worker", "--drain", **environment(server))
    assert worker.wait() == 0, worker.said()
    [mail] = mails(server)
    assert "New error: ValueError in Fail" in body(mail)


def test_server_that_is_down__is_tried_again(start: Start, server: MailServer) -> None:
    environ = environment(server)
    server.stop()
    tasks.fail()
    worker = start("wagtail_worker", "--drain", **environ)
    assert worker.wait() == 0
    worker.wait_for("could not be told “.*New error.*”, which is tried again in 60 s: Connection")
    server.start()

    start("wagtail_tasks", "doctor", "--alert", **environ).wait()
    assert not mails(server)  # it is too soon
    AlertTarget.objects.update(held_until=F("held_until") - FROM_THEN)
    start("wagtail_tasks", "doctor", "--alert", **environ).wait()

    assert len(mails(server)) == 1
    assert AlertTarget.objects.get().failures == 0


def test_killed_while_it_tells__is_told_by_another_process(
    start: Start, server: MailServer
) -> None:
    environ = environment(server)
    server.silent = True
    tasks.fail()
    worker = start("wagtail_worker", **environ)
    wait_until(lambda: server.open_connections, "the worker tells it")
    worker.send(signal.SIGKILL)
    worker.wait()
    server.speak()
    held = AlertTarget.objects.get()
    assert held.holder
    assert not AlertRecord.objects.exists()

    start("wagtail_worker", "--drain", **environ).wait()
    assert not mails(server)  # for all that is known, somebody tells it
    AlertTarget.objects.update(held_until=F("held_until") - FROM_THEN)
    start("wagtail_tasks", "doctor", "--alert", **environ).wait()

    [mail] = mails(server)
    assert "New error: ValueError in Fail" in body(mail)


def test_server_that_does_not_answer__holds_up_no_heartbeat(
    start: Start, server: MailServer
) -> None:
    server.silent = True
    tasks.fail()
    start("wagtail_worker", **environment(server))
    wait_until(lambda: server.open_connections, "the worker tells it")
    before = Worker.objects.get().heartbeat_at
    wait_until(
        lambda: (Worker.objects.get().heartbeat_at - before).total_seconds() > 9,
        "it goes on to say that it lives",
    )
    tasks.add(1, 2)
    wait_until(
        BackgroundTask.objects.filter(state=State.SUCCEEDED).exists, "it goes on to run tasks"
    )
    server.speak()


def test_function_that_hangs__does_not_keep_a_worker_from_ending(
    start: Start, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    environ = {
        "TEST_ALERTS": json.dumps({"to": ["tests.work.tasks.hang_on_alert"]}),
        "TEST_TOLD": str(told),
    }
    tasks.fail()
    worker = start("wagtail_worker", **environ)
    wait_until(told.exists, "it is called")
    end([worker])


def test_refused_address__is_told_to_others(start: Start, server: MailServer) -> None:
    server.answers["gone@example.com"] = "550 No such user"
    tasks.fail()
    worker = start("wagtail_worker", "--drain", **environment(server, to=["gone@example.com", OPS]))
    assert worker.wait() == 0
    assert len(mails(server)) == 1
    assert not AlertTarget.objects.get().failures
