"""Nothing secret is stored or logged, whatever passes through views whose hooks are in use.

Secrets go through Wagtail's real views: passwords and their hashes, tokens in headers and in the
address, cookies, sessions. Background functions for every hook, and for signals of all models, tell
whatever has reached them, in messages and in errors, and a real worker runs them. Then each column
of each table of the package, all of Redis and all that was logged is searched.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail import hooks
from wagtail.models import PageViewRestriction
from wagtail.test.utils.form_data import nested_form_data

from tests.fidelity.desk import PREFIX, Desk, desk, dossier_form, user_form
from tests.processes import Process
from tests.prying import functions
from wagtail_async_hooks.models import BackgroundTask, Counter, StoredValue, Worker
from wagtail_async_hooks.types import State

Places = dict[str, str]
"""What was found, by where it was."""

Secrets = dict[str, str]
"""Secrets, by what they are."""

Backend = dict[str, str]


# Searching ----------------------------------------------------------------------------------


def disguises(secret: str) -> set[str]:
    """Return a secret as it is, and as it looks in JSON, in addresses and in encoded bytes."""
    data = secret.encode()
    looks = {secret, data.hex(), json.dumps(secret)[1:-1], ascii(secret)[1:-1]}
    looks |= {quote(secret), quote(secret, safe="")}
    for offset in range(3):  # what stands before it moves it
        whole = base64.b64encode(b"\0" * offset + data).decode()
        looks.add(whole[offset + bool(offset) : -4])
    return looks


def leaks(secrets: Secrets, places: Places) -> list[str]:
    """Return which secrets are where."""
    looks = {name: disguises(secret) for name, secret in secrets.items()}
    return [
        f"{name} in {place}"
        for place, text in places.items()
        for name, disguised in looks.items()
        if any(look in text for look in disguised)
    ]


def as_text(value: Any) -> str:
    """Return what a database or Redis has returned as text to be searched."""
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode(errors="backslashreplace")
    return str(value)


def columns() -> Places:
    """Return all columns of all tables of the package, those without a model too."""
    places = {}
    models = apps.get_app_config("wagtail_async_hooks").get_models(include_auto_created=True)
    tables = {model._meta.db_table for model in models}
    with connection.cursor() as cursor:
        found = connection.introspection.table_names(cursor)
        tables |= {table for table in found if table.startswith("wagtail_async_hooks_")}
        for table in sorted(tables):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            names = [column[0] for column in cursor.description]
            rows = cursor.fetchall()
            for number, name in enumerate(names):
                places[f"{table}.{name}"] = "\n".join(as_text(row[number]) for row in rows)
    return places


def redis_values(options: dict[str, Any]) -> Places:
    """Return all keys and values of all types."""
    from redis import Redis

    readers: dict[bytes, Callable[[Any, bytes], Any]] = {
        b"string": lambda redis, key: redis.get(key),
        b"list": lambda redis, key: redis.lrange(key, 0, -1),
        b"set": lambda redis, key: redis.smembers(key),
        b"zset": lambda redis, key: redis.zrange(key, 0, -1, withscores=True),
        b"hash": lambda redis, key: redis.hgetall(key),
        b"stream": lambda redis, key: redis.xrange(key),
    }
    with Redis.from_url(options["url"]) as redis:
        return {
            f"Redis {key!r}": f"{as_text(key)} {readers[redis.type(key)](redis, key)}"
            for key in redis.scan_iter()
        }


def log_records(records: list[logging.LogRecord]) -> Places:
    """Return all that was logged, with what hangs on the records."""
    formatter = logging.Formatter()
    return {
        f"the log ({number}, {record.name})": f"{formatter.format(record)} {vars(record)}"
        for number, record in enumerate(records)
    }


def everywhere(backend: Backend, caplog: pytest.LogCaptureFixture) -> Places:
    """Return all that the package has written, apart from what a worker said."""
    options = json.loads(backend["SITE_BACKEND_OPTIONS"])
    stored = redis_values(options) if options else {}
    return {**columns(), **stored, **log_records(caplog.records)}


NEEDLE: Final = "needle/ß+0123456789"


@pytest.mark.django_db
def test_search__finds_a_secret_in_every_column() -> None:
    now = timezone.now()
    texts = dict.fromkeys(("name", "function", "coalesce_key", "error", "traceback"), NEEDLE)
    BackgroundTask.objects.create(
        task_id=NEEDLE,
        message=json.dumps([NEEDLE]).encode(),
        result=base64.b64encode(b"x" + NEEDLE.encode()),
        messages=[{"text": NEEDLE}],
        enqueued_at=now,
        **texts,
    )
    StoredValue.objects.create(storage="x", key=NEEDLE, value=NEEDLE.encode())
    Counter.objects.create(storage="x", key=quote(NEEDLE), value=1)
    Worker.objects.create(
        host=NEEDLE, pid=1, threads=1, release="x", started_at=now, heartbeat_at=now
    )

    task, value = "wagtail_async_hooks_backgroundtask", "wagtail_async_hooks_storedvalue"
    assert set(leaks({"it": NEEDLE}, columns())) == {
        *(f"it in {task}.{name}" for name in ("task_id", "message", "result", "messages", *texts)),
        f"it in {value}.key",
        f"it in {value}.value",
        "it in wagtail_async_hooks_counter.key",
        "it in wagtail_async_hooks_worker.host",
    }


def test_search__finds_a_secret_in_all_that_redis_holds(redis_options: dict[str, Any]) -> None:
    from redis import Redis

    needle = "needle/+0123456789"
    with Redis.from_url(redis_options["url"]) as redis:
        redis.set("string", f"x{needle}")
        redis.rpush("list", "x", base64.b64encode(b"yz" + needle.encode()))
        redis.sadd("set", needle.encode().hex())
        redis.zadd("sorted", {needle: 1})
        redis.hset("hash", "field", needle)
        redis.hset("hash of fields", needle, 1)
        redis.xadd("stream", {"field": needle})
        redis.set(f"key {needle}", 1)
        redis.set("nothing", "x")

    found = leaks({"it": needle}, redis_values(redis_options))
    redis_options_keys = {place.removeprefix("it in Redis ") for place in found}
    named = ("string", "list", "set", "sorted", "hash", "hash of fields", "stream", f"key {needle}")
    assert redis_options_keys == {repr(name.encode()) for name in named}


def test_search__finds_a_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("anything")
    logger.error("%s", NEEDLE)
    logger.error("x", extra={"more": {"a": NEEDLE}})
    try:
        raise ValueError(NEEDLE)
    except ValueError:
        logger.exception("x")
    logger.error("harmless")

    assert len(leaks({"it": NEEDLE}, log_records(caplog.records))) == 3


# Secrets ------------------------------------------------------------------------------------


class Visitor:
    """A browser that logs in and works, and knows all secrets that pass through its hands."""

    def __init__(self, at: Desk) -> None:
        self.at = at
        self.secrets: Secrets = {}
        self.token = ""
        self.client = Client(
            enforce_csrf_checks=True,
            headers={
                "authorization": f"Bearer {self.make('bearer token')}",
                "proxy-authorization": f"Digest {self.make('digest')}",
                "x-api-key": self.make("API key"),
                "referer": f"http://testserver/?key={self.make('token of the referrer')}",
            },
        )
        self.client.cookies["preference"] = self.make("cookie of the site")

    def make(self, name: str) -> str:
        """Return a secret; as text it looks otherwise in JSON, in addresses and in base 64."""
        # Headers are ASCII, and passwords need not be.
        self.secrets[name] = f"{name.replace(' ', '-')}/{'ß' if 'password' in name else 's'}+012345"
        return self.secrets[name]

    def get(self, address: str) -> None:
        """Fetch a page, and the token for its form."""
        response = self.client.get(address)
        assert response.status_code == 200, address
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', response.content.decode())
        assert found is not None, address
        self.token = found[1]
        self.learn()

    def post(self, view: str, *args: Any, form: dict[str, Any], query: str = "") -> None:
        """Send a form, with a secret in its address, and see that the view was content."""
        secret = {"access_token": self.make("access token of the address")}
        address = f"{reverse(view, args=args)}?{urlencode(secret)}&harmless=1&{query}"
        data = nested_form_data({**form, "csrfmiddlewaretoken": self.token})
        response = self.client.post(address, data)
        errors = getattr(response.context and response.context.get("form"), "errors", None)
        assert response.status_code in (200, 302), address
        assert not errors, (address, errors)
        self.learn()

    def learn(self) -> None:
        """Learn what the site has made secret."""
        found = {"token of the form": self.token}
        found |= {f"cookie {name}": morsel.value for name, morsel in self.client.cookies.items()}
        if "sessionid" in found:
            found["hash of the session"] = self.client.session.get("_auth_user_hash", "")
        for user in get_user_model().objects.all():
            found[f"hash of {user}"] = user.password
            found[f"digest of {user}"] = user.password.rpartition("$")[2]
        for name, secret in found.items():
            if secret and secret not in self.secrets.values():
                self.secrets[f"{name}, {len(self.secrets)}"] = secret

    # What it does

    def log_in(self) -> None:
        """Log in with a password."""
        password = self.make("password")
        self.at.editor.set_password(password)
        self.at.editor.save()
        self.get(reverse("wagtailadmin_login"))
        form = {"username": self.at.editor.get_username(), "password": password}
        self.post("wagtailadmin_login", form=form)
        self.get(reverse("wagtailadmin_account"))

    def change_its_password(self) -> None:
        """Change the password on the account's page."""
        old, new = self.secrets["password"], self.make("new password")
        form = {
            "password-old_password": old,
            **{f"password-new_password{number}": new for number in (1, 2)},
            **{f"name_email-{name}": "Ada" for name in ("first_name", "last_name")},
            "name_email-email": "e@example.com",
            **{"theme-theme": "dark", "theme-contrast": "system", "theme-density": "default"},
            **{"locale-preferred_language": "en", "locale-current_time_zone": "UTC"},
        }
        self.post("wagtailadmin_account", form=form)
        self.at.editor.refresh_from_db()
        assert self.at.editor.check_password(new)

    def look_after_users(self) -> None:
        """Create a user with a password, give them another one, and delete two others."""
        users = get_user_model().objects
        form = user_form(get_user_model()(username=f"{PREFIX}new"))
        self.post("wagtailusers_users:add", form=form | self._passwords("password of a user"))
        user = users.get(username=f"{PREFIX}new")
        form = user_form(user, groups=[self.at.group.pk])
        passwords = self._passwords("new password of a user")
        self.post("wagtailusers_users:edit", user.pk, form=form | passwords)
        user.refresh_from_db()
        assert user.check_password(passwords["password1"])
        one, other = self.at.user("one"), self.at.user("other")
        self.learn()
        form = {"mark_as_active": "False"}
        self._act_on_users("set_active_state", [user, one], form=form)
        self._act_on_users("delete", [one])
        self.post("wagtailusers_users:delete", other.pk, form={})
        assert not users.filter(pk__in=[one.pk, other.pk]).exists()

    def _passwords(self, name: str) -> dict[str, str]:
        return dict.fromkeys(("password1", "password2"), self.make(name))

    def _act_on_users(self, action: str, users: list[Any], **options: Any) -> None:
        meta = get_user_model()._meta
        query = urlencode({"id": [user.pk for user in users]}, doseq=True)
        where = (meta.app_label, meta.model_name, action)
        self.post("wagtail_bulk_action", *where, **{"form": {}, **options}, query=query)

    def edit_pages(self) -> None:
        """Publish a page; keep another one for those who know a password, and delete it."""
        page, private = self.at.dossier("public"), self.at.dossier("private")
        form = dossier_form(page, **{"action-publish": "on"})
        self.post("wagtailadmin_pages:edit", page.pk, form=form)
        password = self.make("password of a page")
        form = {"restriction_type": "password", "password": password}
        self.post("wagtailadmin_pages:set_privacy", private.pk, form=form)
        assert PageViewRestriction.objects.get(page=private).password == password
        self.post("wagtailadmin_pages:delete", private.pk, form={})
        assert not PageViewRestriction.objects.filter(page=private).exists()

    def log_out(self) -> None:
        """Log out."""
        self.post("wagtailadmin_logout", form={})


SETTINGS: Final = "tests.prying.settings"
"""Of worker processes that know the prying functions."""

HOOKS: Final = ("after_create_user", "after_edit_user", "after_delete_user", "after_bulk_action")
PAGE_HOOKS: Final = ("after_edit_page", "after_publish_page", "after_delete_page")
SIGNALS: Final = (
    *("post_save", "post_delete", "m2m_changed", "page_published"),
    *("user_logged_in", "user_logged_out"),
)


SENT: Final = {
    *("bearer token", "digest", "API key", "token of the referrer", "access token of the address"),
    *("cookie of the site", "cookie sessionid", "cookie csrftoken", "token of the form"),
    *("password of a user", "new password of a user"),
}
"""Secrets that are in the requests of which the hooks of this test tell."""


@pytest.fixture
def prying(registries: None) -> Iterator[Places]:
    """Have everything told that happens, also to functions in the request: those see the secrets.

    What the latter have seen is returned.
    """
    seen: Places = {}

    def see(request: HttpRequest, *args: Any) -> None:
        parts = (request.META, request.POST, request.COOKIES, request.GET)
        key = request.session.session_key
        texts = [str(value) for part in parts for value in part.values()]
        seen[f"request {len(seen)}"] = " ".join([*texts, str(key)])

    before = [(signal, list(signal.receivers)) for signal in functions.SIGNALS]
    functions.register()
    for hook in (*HOOKS, *PAGE_HOOKS):
        hooks.register(hook, see)
    yield seen
    for signal, receivers in before:
        signal.receivers[:] = receivers
        signal.sender_receivers_cache.clear()


@pytest.mark.slow
def test_secrets__are_neither_stored_nor_logged(
    start: Callable[..., Process],
    backend: Backend,
    prying: Places,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with desk() as at:
        visitor = Visitor(at)
        visitor.log_in()
        visitor.change_its_password()
        visitor.look_after_users()
        visitor.edit_pages()
        visitor.log_out()
        before = everywhere(backend, caplog)
        worker = start(
            *("wagtail_worker", "--drain", "--verbosity", "3"),
            DJANGO_SETTINGS_MODULE=SETTINGS,
            **backend,
        )
        assert worker.wait() == 0, worker.said()
        outcomes = set(BackgroundTask.objects.values_list("hook", "function", "state"))
        said = {"what the worker said": worker.said()}
        after = everywhere(backend, caplog)

    ours = {(hook, f.rpartition(".")[2], state) for hook, f, state in outcomes if "prying" in f}
    for hook in (*HOOKS, *PAGE_HOOKS, *SIGNALS):
        assert {(hook, "tell", State.SUCCEEDED), (hook, "complain", State.FAILED)} <= ours
    known = visitor.secrets
    were_there = {leak.partition(" in request ")[0] for leak in leaks(known, prying)}
    sent = {name.partition(", ")[0] for name in were_there}
    assert SENT - sent == set(), "functions in the request see them"
    assert leaks(known, {**before, **after, **said}) == []
