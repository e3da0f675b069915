"""``wagtail_tasks doctor --alert`` and ``--test-alert``, from the line that is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import OperationalError

from tests.admin.making import make_task
from tests.management.conftest import Ask, Complaint
from tests.monitoring.alerts import receivers
from tests.monitoring.alerts.conftest import ago
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import AlertRecord, AlertTarget, Worker
from wagtail_async_hooks.monitoring.doctor import tasks as doctor_tasks
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity
from wagtail_async_hooks.types import Alert
from wagtail_async_hooks.worker import identity

OURS = {"default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}}

Complain = Callable[..., Complaint]


@pytest.fixture(autouse=True)
def site(settings: Any, sources_read_once: None) -> Iterator[Any]:
    """A site that tells a function, and somebody by e-mail."""
    tell(settings, receivers.PATH, "ops@example.com")
    settings.TASKS = OURS
    settings.DEBUG = True  # else a check says that the tests' e-mails go nowhere
    receivers.received.clear()
    yield settings
    receivers.received.clear()


def tell(settings: Any, *to: str, backend: str = "database") -> None:
    """Say who is told."""
    settings.WAGTAIL_TASKS = {"BACKEND": backend, "ALERTS": {"to": list(to)}}


def dead_worker() -> None:
    """Make a worker that has died."""
    Worker.objects.create(
        host="web-1",
        pid=7,
        threads=1,
        release="1",
        started_at=ago(hours=1),
        heartbeat_at=ago(hours=1),
    )


def subjects() -> list[str]:
    """Return what the function was told."""
    return [alert.subject for alert in receivers.received]


def test_alert__tells_what_is_wrong_once(db: None, complaint: Complain) -> None:
    dead_worker()
    said = complaint("doctor", "--alert")
    assert (said.error, said.exit_code) == ("1 critical problem.", 2)
    assert said.lines[-2:] == [
        "ops@example.com was told: [Saltmarsh Post] No worker is alive",
        f"{receivers.PATH} was told: [Saltmarsh Post] No worker is alive",
    ]
    said = complaint("doctor", "--alert", "--json")
    assert said.exit_code == 2
    assert said.json["alerts"] == []
    assert len(receivers.received) == len(mail.outbox) == 1
    identity.register(1, "", 0)
    Worker.objects.update(release=identity.release())
    call_command("wagtail_tasks", "doctor", "--alert")
    assert subjects()[1:] == ["[Saltmarsh Post] Over: No worker is alive"]


def test_alert__says_nothing_where_nothing_is_wrong(db: None, ask: Ask, ask_json: Ask) -> None:
    identity.register(1, "", 0)
    assert ask("doctor", "--alert") == []
    assert ask_json("doctor", "--alert") == {"alerts": [], "exit_code": 0, "findings": []}
    assert not AlertTarget.objects.exists()
    assert not receivers.received


def test_doctor__tells_nobody_by_itself(db: None, complaint: Complain) -> None:
    dead_worker()
    assert "alerts" not in complaint("doctor", "--json").json
    assert not receivers.received


def test_alert__what_is_critical_besides(
    db: None, complaint: Complain, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Iterator[Finding]:
        yield Finding(
            Severity.CRITICAL,
            Code.SECRET_KEY,
            "At least 3 tasks are signed otherwise. See redis://me:geheim@127.0.0.1:1/0.",
            "Start workers with that SECRET_KEY.",
        )

    def fails() -> Iterator[Finding]:
        raise RuntimeError("no luck")

    identity.register(1, "", 0)
    with monkeypatch.context() as patch:
        patch.setattr(doctor_tasks, "examine", broken)
        assert complaint("doctor", "--alert", "--json").json["alerts"][1]["keys"] == [
            "doctor:secret-key"
        ]
        patch.setattr(doctor_tasks, "examine", fails)
        complaint("doctor", "--alert")
    what = "At least 3 tasks are signed otherwise"
    assert subjects() == [f"[Saltmarsh Post] {what}"]  # nobody knows whether it is over
    assert "geheim" not in repr(receivers.received)
    ask("doctor", "--alert")
    assert subjects()[1:] == [f"[Saltmarsh Post] Over: {what}"]


def test_alert__that_cannot_be_sent(db: None, complaint: Complain, settings: Any) -> None:
    tell(settings, receivers.BROKEN, receivers.PATH)
    identity.register(1, "", 0)
    Worker.objects.update(queues="default")
    make_task(enqueued_at=ago(minutes=5, seconds=10), queue="mail", state="waiting")
    said = complaint("doctor", "--alert", "--ignore=unserved-queue", "--ignore=waiting", "--json")
    assert said.error == (
        f"{receivers.BROKEN} could not be told: RuntimeError: no luck at https://…@example.com/."
    )
    assert said.exit_code == said.json["exit_code"] == 1
    assert subjects() == ["[Saltmarsh Post] No worker serves the queue “mail”"]


@pytest.mark.parametrize("option", ["--alert", "--test-alert"])
@pytest.mark.parametrize(
    ("alerts", "beginning"),
    [
        ({}, ""),
        ({"to": []}, ""),
        ({"to": "ops@example.com"}, 'WAGTAIL_TASKS["ALERTS"]["to"] should be a list'),
    ],
)
def test_alert__to_nobody(
    db: None, complaint: Complain, settings: Any, option: str, alerts: Any, beginning: str
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "ALERTS": alerts}
    said = complaint("doctor", option)
    assert said.exit_code == 2
    assert said.lines == []
    expected = (
        f'{option} needs WAGTAIL_TASKS["ALERTS"]["to"], which says who is told, such as '
        '["ops@example.com"].'
    )
    assert said.error.startswith(f"{expected} {beginning}".strip())


def test_alert__and_a_test_at_once(db: None) -> None:
    with pytest.raises(CommandError, match="not allowed with argument"):
        call_command("wagtail_tasks", "doctor", "--alert", "--test-alert")


def test_alert__with_a_blank_backend(ask: Ask, settings: Any) -> None:
    tell(settings, receivers.PATH, backend="")
    settings.WAGTAIL_TASKS_SYNC_HOOKS = []
    with pytest.raises(CommandError, match="1 warning"):  # functions that ask for the background
        call_command("wagtail_tasks", "doctor", "--alert")
    assert not receivers.received


def test_alert__with_a_database_that_does_not_work(
    db: None, complaint: Complain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OperationalError("no such table: alerts")

    monkeypatch.setattr(ledger, "alert_records", refuse)
    identity.register(1, "", 0)
    said = complaint("doctor", "--alert")
    assert said.exit_code == 1
    assert said.error == (
        "Nobody was told, as the database does not work: OperationalError: no such table: alerts"
    )


def test_alert__without_tables(no_table: None, complaint: Complain) -> None:
    said = complaint("doctor", "--alert")
    assert said.exit_code == 2
    assert "Nobody was told, as the database does not work: " in said.error
    assert "\n" not in said.error


def test_test_alert__says_that_it_arrives(ask: Ask) -> None:
    assert ask("doctor", "--test-alert") == [
        "ops@example.com was told: [Saltmarsh Post] A test of alerts",
        f"{receivers.PATH} was told: [Saltmarsh Post] A test of alerts",
    ]
    [email] = mail.outbox
    assert email.body.startswith("A test of alerts\n  Nothing is wrong: ")
    [alert] = receivers.received
    assert isinstance(alert, Alert)
    ask("doctor", "--test-alert")
    assert len(receivers.received) == 2
    assert not AlertRecord.objects.exists()


def test_test_alert__that_does_not_arrive(complaint: Complain, settings: Any) -> None:
    tell(settings, receivers.BROKEN)
    said = complaint("doctor", "--test-alert")
    assert said.exit_code == 1
    assert said.error.startswith(f"{receivers.BROKEN} could not be told: RuntimeError: ")
