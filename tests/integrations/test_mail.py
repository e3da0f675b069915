"""Tests of e-mails in the background, with a real mail server that may be down or refuse."""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from smtplib import SMTPNotSupportedError, SMTPServerDisconnected
from typing import Any

import django
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core import mail as django_mail
from django.core.mail import EmailMessage
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail.models import GroupApprovalTask, Page, Workflow, WorkflowPage, WorkflowTask
from wagtail.models import Task as ApprovalTask

from tests.processes import Process, wait_until
from tests.serialization.test_emails import EMAILS, make, with_attributes
from tests.site.blog.models import BlogPage, HomePage
from tests.site.editing import form_data
from tests.smtp import MailServer
from wagtail_async_hooks import background
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.integrations.mail import BackgroundEmailBackend, send_now
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.serialization.codecs import resolve
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker import log

QUEUE = "wagtail_async_hooks.mail.BackgroundEmailBackend"
SMTP = "django.core.mail.backends.smtp.EmailBackend"
HAS_MAILERS = django.VERSION >= (6, 1)
BY_SETTINGS = [False, True] if HAS_MAILERS else [False]
"""Whether the site says in ``MAILERS`` how to send, or in ``EMAIL_BACKEND``."""

# How Django 6.1 tells that MAILERS replaces the other settings; what is tested is that both work.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A mail server that is down."""
    server = MailServer()
    yield server
    server.stop()


@pytest.fixture
def running(server: MailServer) -> MailServer:
    """A mail server that runs."""
    server.start()
    return server


@pytest.fixture
def configure(settings: Any, server: MailServer) -> Callable[..., None]:
    """Let the site queue its e-mails, and send them by the server."""

    def configure(backend: str = "database", *, mailers: bool = HAS_MAILERS, **email: Any) -> None:
        settings.WAGTAIL_TASKS = {"BACKEND": backend, "EMAIL": {"BACKEND": SMTP, **email}}
        if mailers:
            options = {"host": "127.0.0.1", "port": server.port, "timeout": 10}
            settings.MAILERS = {
                "default": {"BACKEND": QUEUE, "OPTIONS": {"using": "smtp"}},
                "smtp": {"BACKEND": SMTP, "OPTIONS": options},
            }
            return
        if HAS_MAILERS:
            del settings.MAILERS
        settings.EMAIL_BACKEND = QUEUE
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_TIMEOUT = 10

    configure()
    return configure


@pytest.fixture
def site(db: None, configure: Callable[..., None]) -> None:
    """A site that queues its e-mails."""


def rows() -> list[BackgroundTask]:
    """Return all tasks."""
    return list(BackgroundTask.objects.order_by("pk"))


def work() -> list[BackgroundTask]:
    """Run what waits or is scheduled, once, as a worker does when it is due; return all tasks."""
    BackgroundTask.objects.filter(state=State.SCHEDULED).update(state=State.WAITING)
    while (task := background.next()) is not None:
        background.execute(task)
    background.settle()
    return rows()


def contents(row: BackgroundTask) -> str:
    """Return all that a row holds, as text."""
    values = {field.attname: getattr(row, field.attname) for field in row._meta.fields}
    return repr({**values, "message": bytes(row.message)})


# Record -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("site")
def test_send__records_one_task_for_each() -> None:
    sent = django_mail.send_mail("Tides", "High", "a@example.com", ["b@example.com"])
    several = [("Tides", "Low", "a@example.com", [f"{name}@example.com"]) for name in "cd"]

    assert (sent, django_mail.send_mass_mail(several)) == (1, 2)

    tasks = rows()
    assert [task.state for task in tasks] == [State.WAITING] * 3
    assert {task.function for task in tasks} == {"wagtail_async_hooks.send_email"}


@pytest.mark.usefixtures("site")
def test_send__nobody_to_send_to() -> None:
    backend = django_mail.get_connection()

    assert backend.send_messages([make(to=[])]) == 0
    assert rows() == []


@pytest.mark.usefixtures("committed_db")
def test_send__rolls_back_with_the_caller(configure: Callable[..., None]) -> None:
    with transaction.atomic():
        make().send()
        assert len(rows()) == 1
        transaction.set_rollback(True)

    assert rows() == []


@pytest.mark.usefixtures("site")
def test_send__does_not_change_what_it_is_given() -> None:
    message = make(headers={"X-Number": "7"})

    message.send()

    assert message.extra_headers == {"X-Number": "7"}


@pytest.mark.usefixtures("site")
def test_send__has_a_number_and_a_date_from_then_on() -> None:
    make(headers={}).send()

    task = background.deserialize_task(bytes(rows()[0].message))
    recorded, _ = resolve(task.args)
    assert set(recorded.extra_headers) == {"Message-ID", "Date"}


@pytest.mark.usefixtures("site")
def test_send__is_ascribed_to_who_acts(editor: Any) -> None:
    from wagtail.log_actions import LogContext

    with LogContext(editor):
        make().send()

    assert rows()[0].user == editor


@pytest.mark.usefixtures("db")
def test_send__priority_and_retries_are_those_of_the_settings(
    configure: Callable[..., None],
) -> None:
    configure(priority=7, retries=3, retry_delay=60, retry_backoff=1.5)

    make().send()

    [row] = rows()
    task = background.deserialize_task(bytes(row.message))
    assert row.priority == 7
    assert (task.retries, task.retry_delay, task.retry_backoff) == (3, 60, 1.5)


# Send ---------------------------------------------------------------------------------------


def plain(content: bytes) -> bytes:
    """Return an e-mail whatever the names of its boundaries are."""
    for number, boundary in enumerate(re.findall(rb'boundary="(=+\d+=+)"', content)):
        content = content.replace(boundary, b"boundary-%d" % number)
    return content


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("message", EMAILS.values(), ids=EMAILS)
def test_worker__sends_what_would_have_been_sent(message: Any, running: MailServer) -> None:
    direct = django_mail.mailers["smtp"] if HAS_MAILERS else django_mail.get_connection(SMTP)
    direct.send_messages([message])

    assert django_mail.get_connection().send_messages([message]) == 1
    [task] = work()

    assert task.state == State.SUCCEEDED, task.traceback
    first, second = running.received
    assert (second.sender, second.recipients) == (first.sender, first.recipients)
    assert plain(second.content) == plain(first.content)


@pytest.mark.usefixtures("db", "running")
@pytest.mark.parametrize("mailers", BY_SETTINGS)
def test_worker__by_either_setting(
    configure: Callable[..., None], server: MailServer, mailers: bool
) -> None:
    configure(mailers=mailers)

    make().send()
    [task] = work()

    assert task.state == State.SUCCEEDED, task.traceback
    assert len(server.to("bo@example.com")) == 1


@pytest.mark.usefixtures("site")
def test_worker__sends_each_time_under_the_same_number(running: MailServer) -> None:
    running.answers["DATA"] = "451 Out of disk space"
    make(headers={}).send()
    recorded = timezone.now()
    work()
    del running.answers["DATA"]

    [task] = work()

    assert task.state == State.SUCCEEDED, task.traceback
    first, second = (mail.parsed for mail in running.received)
    assert first["Message-ID"] == second["Message-ID"] is not None
    assert first["Date"] == second["Date"]
    dated = first["Date"].datetime.replace(tzinfo=datetime.UTC)
    assert abs(dated - recorded) < datetime.timedelta(seconds=5)


@pytest.mark.usefixtures("site")
def test_worker__keeps_the_number_that_an_email_has(running: MailServer) -> None:
    make(headers={"message-id": "<mine@example.com>"}).send()

    work()

    [sent] = running.received
    assert sent.parsed.get_all("Message-ID") == ["<mine@example.com>"]


@pytest.mark.usefixtures("site")
def test_worker__a_good_bye_that_fails_sends_nothing_twice(
    running: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    running.answers["QUIT"] = "221 " + "b" * 10_000  # longer than smtplib reads

    make().send()
    [task] = work()

    assert task.state == State.SUCCEEDED, task.traceback
    assert len(running.received) == 1
    assert "did not end properly" in caplog.text


@pytest.mark.skipif(not HAS_MAILERS, reason="Django has MAILERS since 6.1")
@pytest.mark.usefixtures("site")
def test_worker__sends_by_the_settings_of_its_time(running: MailServer, settings: Any) -> None:
    make().send()
    make().send()

    settings.MAILERS = {"default": settings.MAILERS["smtp"]}  # the queue is not used any more
    assert [task.state for task in work()] == [State.SUCCEEDED] * 2


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("mailers", BY_SETTINGS)
def test_send_now__is_not_queued(
    configure: Callable[..., None], running: MailServer, mailers: bool
) -> None:
    configure(mailers=mailers)
    send_now(make())
    assert not rows()
    assert len(running.to("bo@example.com")) == 1
    wait_until(lambda: not running.open_connections, "the connection is closed")


@pytest.mark.usefixtures("db")
def test_send_now__waits_for_no_server_without_end(
    configure: Callable[..., None],
    running: MailServer,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(mailers=False)
    settings.EMAIL_TIMEOUT = None
    running.silent = True
    monkeypatch.setattr("wagtail_async_hooks.integrations.mail.TIMEOUT", 0.1)
    with pytest.raises(SMTPServerDisconnected, match="timed out"):
        send_now(make())
    running.speak()


# Errors -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("site")
def test_errors__a_server_that_is_down(server: MailServer) -> None:
    make().send()

    [task] = work()

    assert (task.state, task.error_type) == (State.SCHEDULED, "builtins.ConnectionRefusedError")
    assert task.run_at - timezone.now() > datetime.timedelta(seconds=25)
    server.start()
    [task] = work()
    assert task.state == State.SUCCEEDED, task.traceback
    assert len(server.to("bo@example.com")) == 1


@pytest.mark.usefixtures("site")
def test_errors__retries_take_hours_and_then_end() -> None:
    make().send()
    waits = []

    for _ in range(11):
        [task] = work()
        if task.state == State.SCHEDULED:
            waits.append(round((task.run_at - timezone.now()).total_seconds()))

    assert task.state == State.FAILED
    expected = [30 * 2**n for n in range(10)]
    assert all(0.9 <= wait / told <= 1.11 for wait, told in zip(waits, expected, strict=True))
    assert sum(waits) > 8 * 3600


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    "answers",
    [
        {"MAIL": "451 Try again"},
        {"bo@example.com": "450 Try again"},
        {"bo@example.com": "421 Too many connections"},
        {"bo@example.com": "450 Try again", "ada@example.com": "550 Nobody here"},
        {"DATA": "452 Out of disk space"},
    ],
    ids=str,
)
def test_errors__that_may_pass_are_tried_again(
    running: MailServer, answers: dict[str, str]
) -> None:
    running.answers = answers
    make(bcc=[address for address in answers if address.startswith("ada")]).send()

    [task] = work()

    assert task.state == State.SCHEDULED, task.traceback
    running.answers = {}
    [task] = work()
    assert task.state == State.SUCCEEDED, task.traceback


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    "answers",
    [
        {"MAIL": "550 Nothing from you"},
        {"bo@example.com": "550 Nobody here"},
        {"DATA": "554 That is spam"},
    ],
    ids=str,
)
def test_errors__a_refusal_is_final(running: MailServer, answers: dict[str, str]) -> None:
    running.answers = answers
    make().send()

    [task] = work()

    assert (task.state, task.attempt) == (State.FAILED, 1)
    assert next(iter(answers.values()))[4:] in task.error


@pytest.mark.usefixtures("site")
def test_errors__an_address_that_is_none_is_final(running: MailServer) -> None:
    make(bcc=["@"]).send()

    [task] = work()

    assert (task.state, task.error_type) == (State.FAILED, "builtins.ValueError")


@pytest.mark.usefixtures("site")
def test_errors__who_got_it_does_not_get_it_again(running: MailServer) -> None:
    running.answers["bo@example.com"] = "450 Try again"
    make(cc=["ada@example.com"]).send()

    [task] = work()

    assert task.state == State.SUCCEEDED, task.traceback
    assert len(running.to("ada@example.com")) == 1


@pytest.mark.usefixtures("site")
def test_errors__a_setting_that_is_wrong_may_be_put_right(
    configure: Callable[..., None], running: MailServer, settings: Any
) -> None:
    make().send()
    configure(BACKEND="no.such.Backend", mailers=False)

    [task] = work()

    assert (task.state, task.error_type) == (State.SCHEDULED, "builtins.ModuleNotFoundError")
    configure()
    [task] = work()
    assert task.state == State.SUCCEEDED, task.traceback


# What is kept -------------------------------------------------------------------------------

SECRET = "https://example.com/reset/MQ/the-token/"


@pytest.mark.usefixtures("site")
def test_content__leaves_the_row_when_it_is_sent(
    running: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    make(body=SECRET).send()
    assert SECRET in contents(rows()[0])

    [task] = work()

    assert len(running.received) == 1
    logged = [r.getMessage() for r in caplog.records if r.name != "mail.log"]  # the server's own
    for part in (SECRET, "bo@example.com", "Ebbe"):
        assert part not in contents(task)
        assert part not in repr(logged)


@pytest.mark.usefixtures("site")
def test_content__is_kept_of_one_that_failed(running: MailServer) -> None:
    running.answers["MAIL"] = "550 Nothing from you"
    make().send()
    [task] = work()
    assert task.state == State.FAILED

    running.answers = {}
    BackgroundTask.objects.update(state=State.WAITING)
    work()

    assert len(running.to("bo@example.com")) == 1


@pytest.mark.usefixtures("site")
def test_content__what_was_sent_is_not_sent_again(running: MailServer) -> None:
    make().send()
    work()

    BackgroundTask.objects.update(state=State.WAITING)
    [task] = work()

    assert (task.state, task.error) == (State.CANCELLED, "its e-mail was sent, and is not kept")
    assert len(running.received) == 1


# At once ------------------------------------------------------------------------------------


class OwnEmail(EmailMessage):
    """A class of the site's."""


AT_ONCE = {
    "a class of the site's": make(OwnEmail),
    "something on it": with_attributes(make(), template=object()),
    "more than a message holds": make(attachments=[("a.bin", b"a" * 7_000_000, "x/y")]),
}


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("message", AT_ONCE.values(), ids=AT_ONCE)
def test_at_once__what_cannot_be_carried(
    message: EmailMessage, running: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert message.send() == 1

    assert len(running.to("bo@example.com")) == 1
    assert rows() == []
    assert "An e-mail is sent at once, since it cannot be carried: " in caplog.text
    assert "Ebbe" not in caplog.text


@pytest.mark.usefixtures("site")
def test_at_once__errors_are_those_of_the_server() -> None:
    with pytest.raises(ConnectionRefusedError):
        make(OwnEmail).send()


@pytest.mark.parametrize("mailers", BY_SETTINGS)
@pytest.mark.usefixtures("db")
def test_at_once__fails_silently_if_asked_to(configure: Callable[..., None], mailers: bool) -> None:
    configure(mailers=mailers)

    assert make(OwnEmail).send(fail_silently=True) == 0


@pytest.mark.usefixtures("site")
def test_at_once__a_header_that_is_wrong(running: MailServer) -> None:
    with pytest.raises(ValueError, match=r"newline|linefeed"):
        make(subject="Tides\nBcc: everybody@example.com").send()

    assert (rows(), running.received) == ([], [])


@pytest.mark.parametrize("mailers", BY_SETTINGS)
@pytest.mark.usefixtures("db")
def test_at_once__with_credentials(
    configure: Callable[..., None], running: MailServer, mailers: bool
) -> None:
    configure(mailers=mailers)

    with pytest.raises(SMTPNotSupportedError):  # the server knows no passwords
        django_mail.send_mail(
            "Tides", "High", None, ["b@example.com"], auth_user="ada", auth_password=SECRET
        )

    assert (running.connections, rows()) == (1, [])


def is_secret(email: EmailMessage) -> bool:
    """Return whether an e-mail is one that should not be in the database."""
    if "unclear" in email.body:
        raise LookupError
    return "/reset/" in email.body


@pytest.mark.usefixtures("db")
def test_at_once__what_the_site_says(
    configure: Callable[..., None], running: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    configure(at_once=f"{__name__}.is_secret")

    for body in (SECRET, "unclear", "High"):
        assert make(body=body).send() == 1

    assert len(running.received) == 2
    assert len(rows()) == 1
    assert "is_secret could not tell whether to send an e-mail at once, so it is." in caplog.text


@pytest.mark.usefixtures("no_table")
def test_at_once__what_cannot_be_recorded(
    configure: Callable[..., None], running: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic():
        group = Group.objects.create(name="Kept")
        assert make().send() == 1

    assert group.delete()[0] == 1  # the transaction was not broken
    assert len(running.received) == 1
    assert "could not be recorded as a task, so it is sent at once" in caplog.text


# Immediate mode -----------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "running")
def test_immediate__sends_in_the_request(
    configure: Callable[..., None], server: MailServer
) -> None:
    configure("")

    assert make().send() == 1

    assert len(server.to("bo@example.com")) == 1
    assert rows() == []


@pytest.mark.parametrize("mailers", BY_SETTINGS)
@pytest.mark.usefixtures("db")
def test_immediate__errors_are_those_of_the_server(
    configure: Callable[..., None], mailers: bool
) -> None:
    configure("", mailers=mailers)

    with pytest.raises(ConnectionRefusedError):
        make().send()
    assert make().send(fail_silently=True) == 0
    with django_mail.get_connection(fail_silently=True) as opened:
        assert opened.send_messages([make()]) == 0


@pytest.mark.usefixtures("db", "running")
def test_immediate__one_connection_for_several(
    configure: Callable[..., None], server: MailServer
) -> None:
    configure("")

    with django_mail.get_connection() as opened:
        assert opened.send_messages([make()]) == 1
        assert opened.send_messages([make(), make()]) == 2

    assert (len(server.received), server.connections) == (3, 1)


@pytest.mark.usefixtures("site")
def test_open__connects_to_nothing_where_a_worker_sends() -> None:
    with django_mail.get_connection() as opened:
        assert opened.send_messages([make()]) == 1

    assert len(rows()) == 1


# Loops --------------------------------------------------------------------------------------


class Reporter(logging.Handler):
    """Tells of errors by e-mail, as Django's AdminEmailHandler does."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send an e-mail."""
        EmailMessage("Error", record.getMessage(), None, ["admin@example.com"]).send()


@contextmanager
def errors_told_by_email() -> Iterator[None]:
    """Send each error by e-mail, also those that the worker logs."""
    reporter = Reporter(logging.WARNING)
    log.connect()
    logging.getLogger().addHandler(reporter)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(reporter)
        log.disconnect()


@pytest.mark.usefixtures("site")
def test_reports__of_an_email_that_failed_are_not_queued(running: MailServer) -> None:
    running.answers["bo@example.com"] = "550 Nobody here"
    make().send()

    with errors_told_by_email():
        tasks = work()

    assert [task.state for task in tasks] == [State.FAILED]
    told = [mail.content.decode() for mail in running.to("admin@example.com")]
    assert any("Unhandled exception in task" in text for text in told)
    assert any("send_email [task" in text for text in told)


@pytest.mark.usefixtures("site")
def test_reports__of_another_task_are_queued(running: MailServer) -> None:
    from tests.work.tasks import fail

    fail()

    with errors_told_by_email():
        background.execute(background.next())

    assert running.received == []
    assert {task.function for task in rows()[1:]} == {"wagtail_async_hooks.send_email"}
    assert len(rows()) > 1


@pytest.mark.usefixtures("no_table")
def test_reports__of_an_email_that_was_not_recorded(
    configure: Callable[..., None], running: MailServer
) -> None:
    with errors_told_by_email():
        make().send()

    assert len(running.to("bo@example.com")) == 1
    assert len(running.to("admin@example.com")) == 1


# Settings -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("db")
def test_real__is_not_the_queue(configure: Callable[..., None]) -> None:
    configure(BACKEND=QUEUE, mailers=False)

    with pytest.raises(ConfigurationError, match="leads back to the queue"):
        BackgroundEmailBackend().real()


@pytest.mark.skipif(not HAS_MAILERS, reason="Django has MAILERS since 6.1")
@pytest.mark.usefixtures("site")
def test_made_by_hand__sends_as_the_default_mailer_does(
    configure: Callable[..., None], running: MailServer
) -> None:
    assert BackgroundEmailBackend().send_messages([make(to=["bo@example.com"])]) == 1
    assert rows()[0].state == State.WAITING
    work()
    assert len(running.to("bo@example.com")) == 1

    configure("")
    assert BackgroundEmailBackend().send_messages([make(to=["cy@example.com"])]) == 1
    assert len(running.to("cy@example.com")) == 1


@pytest.mark.skipif(not HAS_MAILERS, reason="Django has MAILERS since 6.1")
def test_made_by_hand__by_whatever_the_default_mailer_is(settings: Any) -> None:
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.dummy.EmailBackend"}}
    assert type(BackgroundEmailBackend().real()).__module__.endswith("dummy")

    settings.MAILERS = {"default": {"BACKEND": QUEUE}}
    with pytest.raises(ConfigurationError, match=r'\["using"\] is missing'):
        BackgroundEmailBackend()


@pytest.mark.skipif(not HAS_MAILERS, reason="Django has MAILERS since 6.1")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, r'MAILERS\["default"\]\["OPTIONS"\]\["using"\] is missing'),
        ({"using": "default"}, "leads back to the queue"),
        ({"using": "smtp", "usin": "smtp"}, "Unknown options 'usin'"),
    ],
)
def test_mailers__options_that_are_wrong(settings: Any, options: Any, problem: str) -> None:
    settings.MAILERS = {"default": {"BACKEND": QUEUE, "OPTIONS": options}}

    with pytest.raises(django.core.exceptions.ImproperlyConfigured, match=problem):
        django_mail.mailers["default"]


# Wagtail ------------------------------------------------------------------------------------


@pytest.fixture
def post(committed_db: None) -> Iterator[BlogPage]:
    """A draft below a front page whose changes a moderator has to approve; deleted afterwards."""
    group = Group.objects.create(name="Second pairs of eyes")
    moderator = get_user_model().objects.create_user("moderator", "moderator@example.com", "demo")
    moderator.groups.add(group)
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    page = home.add_child(instance=BlogPage(title="Tides", slug="t", introduction="a", live=False))
    workflow = Workflow.objects.create(name="Two pairs of eyes")
    task = GroupApprovalTask.objects.create(name="The second pair")
    task.groups.add(group)
    WorkflowTask.objects.create(workflow=workflow, task=task, sort_order=0)
    WorkflowPage.objects.create(workflow=workflow, page=home)
    yield page
    home.delete()
    for made in (workflow, ApprovalTask.objects.get(pk=task.pk), moderator, group):
        made.delete()


@pytest.fixture
def author(post: BlogPage) -> Iterator[Any]:
    """A user who may edit everything."""
    user = get_user_model().objects.create_superuser("an-author", "author@example.com", "demo")
    yield user
    user.delete()


@pytest.mark.slow
def test_workflow__submitted_while_the_server_is_down(
    post: BlogPage,
    author: Any,
    client: Client,
    server: MailServer,
    configure: Callable[..., None],
    start: Callable[..., Process],
) -> None:
    configure(retry_delay=0.5, retry_backoff=1, retries=1000)
    client.force_login(author)
    edit = reverse("wagtailadmin_pages:edit", args=[post.pk])

    response = client.post(edit, form_data(post, **{"action-submit": "action-submit"}))

    assert response.status_code == 302, response.content.decode()[:2000]
    assert post.current_workflow_state is not None
    mails = BackgroundTask.objects.filter(function="wagtail_async_hooks.send_email")
    assert mails.exists()
    start("wagtail_worker", SITE_SMTP_PORT=str(server.port))
    tried = mails.filter(error_type="builtins.ConnectionRefusedError", attempt__gte=2)
    wait_until(tried.exists, "it is tried again while the server is down")
    assert not mails.filter(state=State.SUCCEEDED).exists()
    server.start()
    wait_until(lambda: server.to("moderator@example.com"), "the e-mail arrives")
    [sent] = server.to("moderator@example.com")
    assert "Tides" in sent.parsed["Subject"]
    assert sent.parsed["Auto-Submitted"] == "auto-generated"
