"""Tests of what people read of a task: its title, and what its error means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.translation import gettext_lazy
from wagtail.models import Page

from tests.site.blog.models import HomePage
from wagtail_async_hooks import background, hooks
from wagtail_async_hooks.exceptions import TimedOut
from wagtail_async_hooks.integrations.mail import send_email
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control, titles
from wagtail_async_hooks.queue.titles import explanation, title
from wagtail_async_hooks.types import State

HOOK = "after_create_page"


def publish_elsewhere(request: Any, page: Any) -> None:
    """Fail, as others do who are away."""
    raise ConnectionResetError("the other side hung up")


def purge(page: Any, depth: int = 1) -> None:
    """Do nothing."""


@pytest.fixture(autouse=True)
def nothing_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gap is logged once in a process."""
    monkeypatch.setattr(titles, "_told_of", set())


@pytest.fixture
def fire(registries: None, editor_request: HttpRequest) -> Callable[..., BackgroundTask]:
    """Register the hook above with some options, and call it; return its row."""

    def call(**options: Any) -> BackgroundTask:
        page = HomePage.objects.first() or Page.objects.get(depth=2)
        with hooks.register_temporarily(HOOK, publish_elsewhere, background=True, **options):
            for function in hooks.get_hooks(HOOK):
                function(editor_request, page)
            while (task := background.next()) is not None:
                background.execute(task)
        return BackgroundTask.objects.get(hook=HOOK)

    return call


# Titles -------------------------------------------------------------------------------------


class Named:
    """What a title may be about."""

    label = "the shop"
    api_key = "s3cret"

    def __init__(self, name: str = "Tea") -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


class Asking(Named):
    """What asks the database for its name, and would even write."""

    @property
    def stock(self) -> str:
        """What is there."""
        with transaction.atomic():
            return str(BackgroundTask.objects.count())


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("Tidy up", "Tidy up"),
        ("Purge {page.name}", "Purge Tea"),
        ("Purge {page}", "Purge …"),
        ("Purge {page.label}, {depth:03}", "Purge the shop, 007"),
        ("{page!r:.0}{list[0]}", "……"),
        ("a {{brace}}", "a {brace}"),
        ("Line\n  and line", "Line and line"),
        ("Purge {page.api_key} by {password}", "Purge … by …"),
        ("{page.META} {page.session} {page.COOKIES[a]}", "… … …"),
        ("Purge {nobody}", "Purge …"),
        ("Purge {}", "Purge …"),
        ("Purge {page.nothing} at {depth:x!}", "Purge … at …"),
        ("Purge {page", "Purge {page"),
        ("x" * 300, "x" * 254 + "…"),
        ("NUL \0", "NUL \\x00"),
    ],
)
def test_title__is_filled_and_never_fails(template: str, expected: str) -> None:
    arguments = {"page": Named(), "depth": 7, "list": ["first"], "password": "s3cret"}
    assert title(template, arguments) == expected


def test_title__a_huge_argument() -> None:
    assert len(title("{page}", {"page": "long " * 1_000_000})) == 255


@pytest.mark.django_db
def test_title__asks_no_database(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        arguments = {"page": Asking(), "what": "more"}
        assert title("Purge {page.stock} and {what}", arguments) == "Purge … and more"
    assert caplog.messages == [
        "The title 'Purge {page.stock} and {what}' has a gap: QueryRefused: it would have to ask "
        "the database."
    ]
    assert BackgroundTask.objects.count() == 0  # the transaction is as it was


@pytest.mark.django_db
def test_title__in_the_language_of_the_editor(fire: Any) -> None:
    with translation.override("de"):
        row = fire(title=gettext_lazy("Saturday"))
    assert row.title == "Samstag"


@pytest.mark.django_db
def test_title__of_a_hook(fire: Any) -> None:
    row = fire(title="Publish “{page}” elsewhere, for {request.user}")
    assert row.title == f"Publish “{row_page(row)}” elsewhere, for an-editor"


def row_page(row: BackgroundTask) -> Page:
    """Return the page that a task is about."""
    return Page.objects.get(pk=row.subject_id)


@pytest.mark.django_db
def test_title__of_a_hook_by_the_settings(fire: Any, settings: Any) -> None:
    hook = {HOOK: {"title": "By the settings", "side_effect": "post"}}
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": hook}
    row = fire(title="By the code")
    assert (row.title, row.side_effect) == ("By the settings", "post")


@pytest.mark.django_db
def test_title__takes_no_query(fire: Any, editor_request: HttpRequest) -> None:
    page = Page.objects.get(depth=2)

    def queries(**options: Any) -> int:
        with hooks.register_temporarily(HOOK, publish_elsewhere, background=True, **options):
            [function] = hooks.get_hooks(HOOK)
            function(editor_request, page)  # what is asked once in a process
            with CaptureQueriesContext(transaction.get_connection()) as captured:
                function(editor_request, page)
        return len(captured)

    assert queries(title="Publish {page} of {page.owner}") == queries() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (("Tea",), {}, "Purge Tea, 1"),
        ((), {"page": "Tea", "depth": 3}, "Purge Tea, 3"),
        (("Tea", 1, 2), {}, "Purge …, …"),
    ],
)
def test_title__of_a_task(registries: None, args: Any, kwargs: Any, expected: str) -> None:
    task = background.task(title="Purge {page}, {depth}")(purge)
    task(*args, **kwargs)
    assert BackgroundTask.objects.get().title == expected


# Explanations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("explain", "expected"),
    [
        (None, ""),
        ({ValueError: "Wrong."}, ""),
        ({OSError: "The network.", ConnectionError: "The other side is away."}, "The other side"),
        ({"builtins.OSError": "The network."}, "The network."),
        ({"shop.Gone": "Gone.", Exception: "Something."}, "Something."),
        (lambda error: f"It said: {error}", "It said: hung up"),
        (lambda error: None, ""),
        (lambda error: 1 / 0, ""),
        ({OSError: gettext_lazy("Saturday")}, "Samstag"),
        ({OSError: "x" * 1000}, "x" * 499 + "…"),
    ],
)
def test_explanation__of_the_nearest_class(explain: Any, expected: str) -> None:
    told = explanation(explain, ConnectionResetError("hung up"), "de")
    assert told.startswith(expected)
    assert bool(told) == bool(expected)


def test_explanation__one_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert explanation(lambda error: 1 / 0, TimedOut(5), None) == ""  # type: ignore[arg-type,return-value]
    assert "TimedOut cannot be explained." in caplog.text


@pytest.mark.django_db
def test_explain__is_kept_once_it_has_failed(fire: Any) -> None:
    row = fire(explain={ConnectionError: "The news site is away."})
    assert (row.state, row.explanation) == (State.FAILED, "The news site is away.")


@pytest.mark.django_db
def test_explain__not_while_it_is_tried_again(fire: Any) -> None:
    row = fire(explain={OSError: "Away."}, retries=1, retry_delay=60)
    assert (row.state, row.explanation) == (State.SCHEDULED, "")


@pytest.mark.django_db
def test_explain__of_what_was_discarded(fire: Any) -> None:
    row = fire(explain={OSError: "Away."}, discard_on=ConnectionError)
    assert (row.state, row.explanation) == (State.CANCELLED, "Away.")


# Side effects -------------------------------------------------------------------------------


def mark_failed(*rows: BackgroundTask, attempt: int = 1) -> list[int]:
    """Let tasks have failed; return their keys."""
    keys = [row.pk for row in rows]
    BackgroundTask.objects.filter(pk__in=keys).update(state=State.FAILED, attempt=attempt)
    return keys


@pytest.fixture
def letters(db: None, registries: None) -> list[BackgroundTask]:
    """Two tasks, of which a second run of the first would do something once more."""
    background.task(side_effect="letter")(purge)(1)
    background.task(name="tidy")(purge)(2)
    return list(BackgroundTask.objects.order_by("pk"))


def test_retry__leaves_out_what_has_side_effects(
    letters: list[BackgroundTask], caplog: pytest.LogCaptureFixture
) -> None:
    keys = mark_failed(*letters)
    with caplog.at_level("INFO", "wagtail_async_hooks.queue.control"):
        assert control.retry(keys) == 1
    states = BackgroundTask.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.FAILED, State.WAITING]
    [line] = [record.getMessage() for record in caplog.records if "not run again" in record.msg]
    assert line.endswith("is not run again, it may repeat its side effect: letter.")


def test_retry__with_side_effects_if_told(letters: list[BackgroundTask]) -> None:
    assert control.retry(mark_failed(*letters), repeat_side_effects=True) == 2


def test_retry__what_was_never_begun_repeats_nothing(letters: list[BackgroundTask]) -> None:
    assert control.retry(mark_failed(*letters, attempt=0)) == 2


def test_mail__is_a_side_effect() -> None:
    assert send_email.task_class().options().side_effect == "email"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"title": 5}, "title=… should be a text, but is 5."),
        ({"title": ""}, "title=… should be a text, but is ''."),
        ({"explain": {int: "x"}}, "explain=… should be a dict of texts by classes of exceptions"),
        ({"explain": {OSError: 5}}, "explain=… should be a dict of texts by classes of exceptions"),
        ({"side_effect": "x" * 65}, "side_effect=… should be a text of 1 to 64 characters"),
    ],
)
def test_task__options_of_a_wrong_type(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(TypeError, match=r"^background\.task\(…\) of ") as error:
        background.task(**options)(purge)
    assert expected in str(error.value)
