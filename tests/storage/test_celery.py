"""Celery's broker as a notifier: which app is meant, what is sent, and what if nobody answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from tests.work import celery_app, tasks
from tests.worker.celery_processes import Broker
from wagtail_async_hooks import background, conf
from wagtail_async_hooks.checks.celery import check_celery
from wagtail_async_hooks.checks.settings import check_backend
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring.doctor import notifier as doctor
from wagtail_async_hooks.monitoring.doctor import workers
from wagtail_async_hooks.monitoring.starting import start_worker
from wagtail_async_hooks.storage.celery import REST, TASK, CeleryNotifier, CeleryStorage, find_app
from wagtail_async_hooks.storage.notifier import MAX_NOTIFICATIONS
from wagtail_async_hooks.storage.waiter import DatabaseWaiter


@pytest.fixture(params=["rabbitmq", "redis"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A queue of each broker."""
    found = Broker.answering(request.param)
    yield found
    found.delete()


def notifier(broker: Broker) -> CeleryNotifier:
    """Return what sends to a queue."""
    return CeleryNotifier("tested", getattr(celery_app, broker.name), broker.queue)


def messages(broker: Broker) -> list[tuple[str, Any]]:
    """Take all messages out of a queue; return the task and the arguments of each."""
    found = []
    with broker.connected() as channel:
        while (message := channel.basic_get(broker.queue, no_ack=True)) is not None:
            headers = message.headers or message.properties["application_headers"]
            body = message.body if isinstance(message.body, str) else bytes(message.body).decode()
            found.append((headers["task"], json.loads(body)[:2]))
    return found


# The app ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["tests.work.celery_app:redis", "tests.work.celery_app.redis"])
def test_find_app__as_celery_does(path: str) -> None:
    assert find_app(path) is celery_app.redis


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("no.such.module", "cannot be imported as"),
        ("tests.work.tasks", "cannot be imported as"),
        ("tests.work.celery_app:REDIS", "which is no Celery app, but str"),
        ("tests.work.celery_app:nothing", "cannot be imported as"),
    ],
)
def test_find_app__mistakes_are_sentences(path: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_app(path)
    assert told in str(caught.value)
    assert 'WAGTAIL_TASKS["BACKEND_OPTIONS"]["app"]' in str(caught.value)


def test_find_app__the_one_that_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("made", broker="memory://", set_as_current=False)
    monkeypatch.setattr("celery.app.app_or_default", lambda: app)
    assert find_app("") is app


def test_find_app__none_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    # As Celery makes it up itself, see celery._state.
    fallback = Celery("default", fixups=[], set_as_current=False)
    monkeypatch.setattr("celery.app.app_or_default", lambda: fallback)
    with pytest.raises(ConfigurationError, match="no Celery app was made while Django started"):
        find_app("")


def test_fallback__is_still_what_celery_makes_up() -> None:
    code = "from celery.app import app_or_default as a; print(a().main, a().set_as_current)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.split() == ["default", "False"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ap": "x"}, 'BACKEND_OPTIONS"] has an unknown key "ap"; did you mean "app"?'),
        ({"app": 1}, 'BACKEND_OPTIONS"]["app"] should be the Celery app as after'),
        ({"app": " "}, 'BACKEND_OPTIONS"]["app"] should be the Celery app as after'),
        ({"queue": b"q"}, "should be the name of one of Celery's queues"),
    ],
)
def test_options__mistakes_are_sentences(options: dict[str, Any], told: str) -> None:
    settings = conf.parse({"BACKEND": "celery", "BACKEND_OPTIONS": options})
    assert len(settings.problems) == 1
    assert told in settings.problems[0]


# Messages -----------------------------------------------------------------------------------


def test_enqueue__a_message_without_arguments(
    broker: Broker, committed_db: None, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = broker.setting
    assert type(background.storage) is CeleryStorage
    tasks.add(1, 2)
    assert messages(broker) == [(TASK, [[], {}])]


def test_enqueue_many__the_last_message_stands_for_the_rest(
    broker: Broker, committed_db: None, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = broker.setting
    background.enqueue_many([tasks.add.s(n, n) for n in range(MAX_NOTIFICATIONS + 50)])
    sent = messages(broker)
    assert len(sent) == MAX_NOTIFICATIONS + 1
    assert sent[-1] == (TASK, [[], {"rest": True}])
    assert BackgroundTask.objects.count() == MAX_NOTIFICATIONS + 50


def test_connection__is_made_anew_if_it_has_ended(broker: Broker) -> None:
    ringer = notifier(broker)
    ringer.enqueue(b"1")
    ringer._connection.collect(1)  # as if the broker had ended it
    ringer.enqueue(b"2")
    ringer._used_at = float("-inf")  # and as if it had been idle for long
    ringer.enqueue(REST)
    assert [body[1] for _, body in messages(broker)] == [{}, {}, {"rest": True}]
    ringer.close()


def test_fork__has_a_connection_of_its_own(broker: Broker) -> None:
    ringer = notifier(broker)
    ringer.enqueue(b"1")
    parents = ringer._connection
    if (pid := os.fork()) == 0:
        try:
            ringer.enqueue(b"2")
            code = 0 if ringer._connection is not parents else 1
        except BaseException:
            code = 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    ringer.enqueue(b"3")
    assert ringer._connection is parents
    assert len(messages(broker)) == 3
    ringer.close()


def test_threads__share_the_connection(broker: Broker) -> None:
    ringer = notifier(broker)
    threads = [threading.Thread(target=ringer.enqueue, args=(b"1",)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(messages(broker)) == 20
    ringer.close()


@pytest.fixture(params=["amqp://guest:guest@{}//", "redis://{}/0"])
def deaf(request: pytest.FixtureRequest) -> Iterator[CeleryNotifier]:
    """What sends to a broker that accepts connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
        yield CeleryNotifier("tested", celery_app.make(request.param.format(address)))


def test_broker_is_frozen__nobody_waits_for_long(deaf: CeleryNotifier) -> None:
    with pytest.raises(Exception, match=r"(?i)timed out|timeout"):
        deaf.enqueue(b"1")
    assert deaf._connection is None


def test_broker_is_frozen__other_threads_give_up(deaf: CeleryNotifier) -> None:
    with deaf._alone(), pytest.raises(TimeoutError, match="another thread"):
        deaf.enqueue(b"1")


@pytest.mark.parametrize("url", [celery_app.NOBODY, "redis://127.0.0.1:1/0"])
def test_broker_is_away__that_is_an_error_at_once(url: str) -> None:
    ringer = CeleryNotifier("tested", celery_app.make(url))
    with pytest.raises(Exception, match=r"(?i)refused"):
        ringer.enqueue(b"1")


def test_storage__a_wagtail_worker_watches_the_database(committed_db: None, settings: Any) -> None:
    settings.WAGTAIL_TASKS = Broker.of("nobody").setting
    waiter = background.storage.waiter()
    assert type(waiter) is DatabaseWaiter
    waiter.close()
    assert not background.storage.forget_notifications()


# What is told -------------------------------------------------------------------------------


def test_check__an_app_that_cannot_be_imported(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "celery", "BACKEND_OPTIONS": {"app": "no.such"}}
    [error] = check_backend()
    assert error.id == "wagtail_async_hooks.E002"
    assert "no.such" in error.msg
    assert list(check_celery()) == []


def test_check__celery_is_not_installed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celery", None)
    settings.WAGTAIL_TASKS = {"BACKEND": "celery"}
    [error] = check_backend()
    assert 'run "pip install wagtail-async-hooks[celery]"' in error.msg


@pytest.mark.parametrize(
    ("option", "told"),
    [({"task_always_eager": True}, "always_eager"), ({"accept_content": ["yaml"]}, "refuse JSON")],
)
def test_check__settings_with_which_nothing_runs(
    settings: Any, monkeypatch: pytest.MonkeyPatch, option: dict[str, Any], told: str
) -> None:
    settings.WAGTAIL_TASKS = Broker.of("nobody").setting
    assert list(check_celery()) == []
    monkeypatch.setattr(celery_app, "nobody", celery_app.make(celery_app.NOBODY, **option))
    [warning] = check_celery()
    assert warning.id == "wagtail_async_hooks.W048"
    assert told in warning.msg


def test_doctor__says_if_the_broker_does_not_answer(settings: Any) -> None:
    settings.WAGTAIL_TASKS = Broker.of("nobody").setting
    [finding] = doctor.examine()
    assert finding.code == "notifier"
    assert "Celery's broker does not answer" in finding.text
    assert "guest" not in finding.text


def test_doctor__is_silent_if_it_does(broker: Broker, settings: Any) -> None:
    settings.WAGTAIL_TASKS = broker.setting
    assert list(doctor.examine()) == []


def test_start_worker__is_what_to_type(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "celery",
        "BACKEND_OPTIONS": {"app": "mysite.celery", "queue": "wagtail"},
    }
    assert start_worker() == "celery -A mysite.celery worker -Q wagtail"
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    assert start_worker() == "manage.py wagtail_worker"


def test_doctor__says_how_to_start_celerys_workers(committed_db: None, settings: Any) -> None:
    settings.WAGTAIL_TASKS = Broker("nobody", "wagtail").setting
    [nobody] = [each for each in workers.examine({}) if each.code == "no-worker"]
    assert nobody.remedy.startswith("celery -A tests.work.celery_app:nobody worker -Q wagtail (by")
