"""Tests of ``@receiver(signal, background=True)``, with signals that Wagtail itself sends."""

from __future__ import annotations

import ast
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import django
import pytest
import wagtail
from django.contrib.auth import signals as auth_signals
from django.contrib.auth.models import Group
from django.core import checks
from django.core import signals as core_signals
from django.core.management import call_command
from django.db import models, transaction
from django.db.models import signals as model_signals
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import Signal
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail import signals as wagtail_signals
from wagtail.models import GroupApprovalTask, Locale, Page, Workflow, WorkflowTask
from wagtail.signals import page_published, page_slug_changed, page_unpublished

from tests.processes import Process
from tests.project import test_docs
from tests.site.blog.models import Advert, Author, BlogPage, HomePage, RelatedLink
from tests.site.editing import form_data
from wagtail_async_hooks import background, background_task, receiver
from wagtail_async_hooks.hooks import catalogue, registry
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.serialization.arguments import Snapshot
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.functions import label

HERE = sys.modules[__name__]

order_paid = Signal()
"""A signal of the site's own."""


class Shop:
    """A plain class that sends it."""

    paid = Signal()
    """A signal that no module has a name for."""

    refunded = Signal()
    """Another one."""


# What receivers have seen -------------------------------------------------------------------

at_once: list[dict[str, Any]] = []
"""What the synchronous receiver below was called with."""

later: list[dict[str, Any]] = []
"""What the background receivers below were called with."""

FIELDS = ("title", "slug", "live", "name", "text", "status", "username")


def told(value: Any) -> Any:
    """Return what an argument is, so that it can be compared with one of another time."""
    if isinstance(value, models.Model):
        model = value.specific_class if isinstance(value, Page) else value.__class__
        fields = {name: getattr(value, name) for name in FIELDS if hasattr(value, name)}
        return model, value.pk, fields
    if isinstance(value, HttpRequest):
        return value.method, value.path, getattr(getattr(value, "user", None), "pk", None)
    return value


def see_at_once(**kwargs: Any) -> None:
    """Keep what a synchronous receiver sees."""
    at_once.append({name: told(value) for name, value in kwargs.items()})


def see_later(**kwargs: Any) -> None:
    """Keep what a background receiver sees."""
    later.append({name: told(value) for name, value in kwargs.items()})


def see_whole(**kwargs: Any) -> None:
    """Keep the arguments themselves."""
    later.append(kwargs)


def see_revision(sender: Any, **kwargs: Any) -> None:
    """Keep what is known of the task."""
    later.append({"hook": background_task.hook, "revision": background_task.revision})


async def see_in_a_coroutine(**kwargs: Any) -> None:
    """Keep what a coroutine sees."""
    later.append({name: told(value) for name, value in kwargs.items() if name != "instance"})


def fail(**kwargs: Any) -> None:
    """Raise an error."""
    later.append(kwargs)
    raise ValueError("no luck")


def reads_the_session(sender: Any, request: Any, **kwargs: Any) -> None:
    """Ask for what a worker does not have."""
    later.append(dict(request.session))


def takes_no_more(sender: Any) -> None:
    """A function to which Django objects while DEBUG is on."""


def path_of(function: Any) -> str:
    """Return the path by which the package names a function of this module."""
    return f"{__name__}.{function.__qualname__}"


def place_of(function: Any) -> str:
    """Return how messages name a function of this module."""
    return f"{path_of(function)} ({__file__}:{function.__code__.co_firstlineno})"


def rows() -> list[BackgroundTask]:
    """Return the tasks of this module's receivers, oldest first."""
    ours = BackgroundTask.objects.filter(function__startswith=f"{__name__}.")
    return list(ours.order_by("pk"))


def drain() -> None:
    """Run the tasks of this module's receivers as a worker would; the demo site's are left out."""
    BackgroundTask.objects.exclude(pk__in=[row.pk for row in rows()]).delete()
    while (task := background.next()) is not None:
        background.execute(task)


def known_signals() -> list[Signal]:
    """Return all signals that a test may connect to."""
    tables: tuple[dict[str, tuple[Signal, Any]], ...] = (catalogue.SIGNALS, catalogue.UNSUITABLE)
    known = [signal for table in tables for signal, _ in table.values()]
    return [*known, order_paid, Shop.paid, Shop.refunded]


@pytest.fixture(autouse=True)
def nothing_stays(registries: None) -> Iterator[None]:
    """Disconnect afterwards what a test connects, and forget what was seen."""
    at_once.clear()
    later.clear()
    before = [(signal, list(signal.receivers)) for signal in known_signals()]
    yield
    for signal, receivers in before:
        signal.receivers[:] = receivers
        signal.sender_receivers_cache.clear()


@dataclass
class Stage:
    """What the signals are about, and who sends them off."""

    home: HomePage
    page: BlogPage
    author: Author
    editor: Any
    client: Client

    @property
    def url(self) -> str:
        """Where the page is edited."""
        return reverse("wagtailadmin_pages:edit", args=[self.page.pk])

    def post(self, url: str, data: dict[str, str]) -> None:
        """Send a form of the admin's."""
        response = self.client.post(url, data)
        assert response.status_code == 302, response.content.decode()[:2000]

    def publish(self, **changes: Any) -> Any:
        """Publish the page by code, with changes to its fields; return the revision."""
        page = BlogPage.objects.get(pk=self.page.pk)
        for name, value in changes.items():
            setattr(page, name, value)
        revision = page.save_revision(user=self.editor)
        revision.publish(user=self.editor)
        return revision

    def start_workflow(self) -> Any:
        """Submit the page to a workflow of one task; return the workflow's state."""
        workflow = Workflow.objects.create(name="Two pairs of eyes")
        task = GroupApprovalTask.objects.create(name="The second pair")
        WorkflowTask.objects.create(workflow=workflow, task=task, sort_order=0)
        page = BlogPage.objects.get(pk=self.page.pk)
        page.save_revision(user=self.editor)
        return workflow.start(page, self.editor)


@pytest.fixture
def stage(db: None, client: Client, editor: Any) -> Stage:
    """A post with children below a front page, an author, and an editor who is logged in."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    page = BlogPage(title="Tides", slug="tides", introduction="High and low")
    page.related_links.add(RelatedLink(title="Tide tables", url="https://tides.example/"))
    page.tags.add("sea")
    home.add_child(instance=page)
    client.force_login(editor)
    author = Author.objects.create(name="Ada", live=True)
    return Stage(home, page, author, editor, client)


# The catalogue ------------------------------------------------------------------------------

SOURCES = [Path(wagtail.__file__).parent, Path(django.__file__).parent]


def sends(tree: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """Return the signals that a module sends, by name, and what it passes beside the sender."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in ("send", "asend", "send_robust", "asend_robust"):
            name = ast.unparse(node.func.value).rpartition(".")[2]
            yield name, {str(keyword.arg) for keyword in node.keywords} - {"sender"}


@cache
def sent() -> dict[str, set[str]]:
    """Return what Wagtail's and Django's own code passes with each signal."""
    found: dict[str, set[str]] = {}
    for folder in SOURCES:
        for path in folder.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "send" in text and not {"tests", "test"} & set(path.relative_to(folder).parts):
                for name, arguments in sends(ast.parse(text)):
                    found.setdefault(name, set()).update(arguments)
    return found


NEWER = {} if django.VERSION >= (6, 1) else {"m2m_changed": {"raw"}}
"""What is passed by later versions of Django only."""


@pytest.mark.parametrize("name", catalogue.SIGNALS)
def test_signals__arguments_are_those_of_the_sources(name: str) -> None:
    _, kind = catalogue.SIGNALS[name]

    assert sent()[name] == {*kind.arguments, *kind.left_out} - NEWER.get(name, set())


@pytest.mark.parametrize(
    "module", [wagtail_signals, model_signals, core_signals, auth_signals], ids=lambda m: m.__name__
)
def test_signals__each_is_suited_or_refused(module: ModuleType) -> None:
    defined = {name for name, value in vars(module).items() if isinstance(value, Signal)}

    assert defined <= {*catalogue.SIGNALS, *catalogue.UNSUITABLE}


def test_signals__none_is_both_suited_and_refused() -> None:
    assert not set(catalogue.SIGNALS) & set(catalogue.UNSUITABLE)


@pytest.mark.parametrize("name", [*catalogue.SIGNALS, *catalogue.UNSUITABLE])
def test_signals__are_called_what_they_are_called(name: str) -> None:
    signal, _ = {**catalogue.SIGNALS, **catalogue.UNSUITABLE}[name]

    assert catalogue.name_of(signal) == name


# Every suited signal, sent by Wagtail and Django --------------------------------------------


def publish_by_code(stage: Stage) -> None:
    stage.publish()


def publish_in_the_editor(stage: Stage) -> None:
    stage.post(stage.url, form_data(stage.page, publish=True, title="High tides"))


def publish_in_bulk(stage: Stage) -> None:
    stage.home.save_revision()
    for page in (stage.home, stage.page):
        page.unpublish()
    url = reverse("wagtail_bulk_action", args=["wagtailcore", "page", "publish"])
    stage.post(f"{url}?id={stage.home.pk}&id={stage.page.pk}&next=/admin/", {})


def publish_on_schedule(stage: Stage) -> None:
    stage.page.unpublish()
    revision = stage.page.save_revision()
    revision.approved_go_live_at = timezone.now() - timezone.timedelta(days=1)
    revision.save()
    call_command("publish_scheduled")


def publish_by_approval(stage: Stage) -> None:
    stage.start_workflow().current_task_state.approve(user=stage.editor)


def publish_a_copy(stage: Stage) -> None:
    stage.page.copy(update_attrs={"slug": "neap-tides", "title": "Neap tides"}, user=stage.editor)


def publish_with_an_alias(stage: Stage) -> None:
    stage.page.create_alias(update_slug="the-same")
    stage.publish()


def publish_a_snippet(stage: Stage) -> None:
    url = reverse(Author.snippet_viewset.get_url_name("edit"), args=[stage.author.pk])
    stage.post(url, {"name": "Ada L.", "role": "", "biography": "", "action-publish": "1"})


def unpublish_in_the_admin(stage: Stage) -> None:
    stage.post(reverse("wagtailadmin_pages:unpublish", args=[stage.page.pk]), {})


def unpublish_on_schedule(stage: Stage) -> None:
    Page.objects.filter(pk=stage.page.pk).update(
        expire_at=timezone.now() - timezone.timedelta(days=1)
    )
    call_command("publish_scheduled")


def unpublish_a_snippet(stage: Stage) -> None:
    stage.author.unpublish()  # Wagtail 7.4 asks for permissions that snippets do not have


def change_the_slug(stage: Stage) -> None:
    page = BlogPage.objects.get(pk=stage.page.pk)
    page.slug = "ebb-and-flow"
    page.save()


def move(stage: Stage) -> None:
    other = Page.get_first_root_node().add_child(instance=HomePage(title="Old", slug="old"))
    # As in the admin, a plain page.
    Page.objects.get(pk=stage.page.pk).move(other, pos="last-child", user=stage.editor)


def translate(stage: Stage) -> None:
    french = Locale.objects.create(language_code="fr")
    stage.page.copy_for_translation(french, copy_parents=True)


def submit(stage: Stage) -> None:
    stage.start_workflow()


def reject(stage: Stage) -> None:
    stage.start_workflow().current_task_state.reject(user=stage.editor, comment="Too wet")


def cancel(stage: Stage) -> None:
    stage.start_workflow().cancel(user=stage.editor)


def save(stage: Stage) -> None:
    Advert.objects.create(text="Boats").save(update_fields=["text"])
    stage.page.save()


def delete(stage: Stage) -> None:
    Advert.objects.create(text="Boats").delete()


def join_a_group(stage: Stage) -> None:
    stage.editor.groups.add(Group.objects.create(name="Coast guard"))


def log_in(stage: Stage) -> None:
    form = {"username": "an-editor", "password": "demo", "next": "/admin/"}
    Client().post(reverse("wagtailadmin_login"), form)


def log_out(stage: Stage) -> None:
    stage.post(reverse("wagtailadmin_logout"), {})


def log_out_nobody(stage: Stage) -> None:
    Client().logout()


SCENES: dict[str, list[Callable[[Stage], None]]] = {
    "page_published": [
        publish_by_code,
        publish_in_the_editor,
        publish_in_bulk,
        publish_on_schedule,
        publish_by_approval,
        publish_a_copy,
        publish_with_an_alias,
    ],
    "page_unpublished": [unpublish_in_the_admin, unpublish_on_schedule],
    "published": [publish_a_snippet, publish_by_code],
    "unpublished": [unpublish_a_snippet, unpublish_in_the_admin],
    "page_slug_changed": [change_the_slug],
    "post_page_move": [move],
    "copy_for_translation_done": [translate],
    "workflow_submitted": [submit],
    "workflow_approved": [publish_by_approval],
    "workflow_rejected": [reject],
    "workflow_cancelled": [cancel],
    "task_submitted": [submit],
    "task_approved": [publish_by_approval],
    "task_rejected": [reject],
    "task_cancelled": [cancel],
    "post_save": [save],
    "post_delete": [delete],
    "m2m_changed": [join_a_group],
    "user_logged_in": [log_in],
    "user_logged_out": [log_out, log_out_nobody],
}
SENDERS: dict[str, tuple[Any, ...]] = {"post_save": (Advert, BlogPage), "post_delete": (Advert,)}
"""Which senders a receiver is connected to, of signals that are sent all the time."""


def test_scenes__there_is_one_for_each_signal() -> None:
    assert set(SCENES) == set(catalogue.SIGNALS)


@pytest.mark.parametrize(
    ("name", "act"), [pytest.param(n, a, id=f"{n}-{a.__name__}") for n in SCENES for a in SCENES[n]]
)
def test_receiver__sees_in_the_worker_what_a_synchronous_one_sees(
    stage: Stage, django_capture_on_commit_callbacks: Any, name: str, act: Callable[[Stage], None]
) -> None:
    signal, kind = catalogue.SIGNALS[name]
    for sender in SENDERS.get(name, (None,)):
        receiver(signal, sender=sender)(see_at_once)
        receiver(signal, sender=sender, background=True)(see_later)

    with django_capture_on_commit_callbacks(execute=True):
        act(stage)

    assert later == []
    expected = [
        {name: value for name, value in call.items() if name not in kind.left_out}
        for call in at_once
    ]
    assert expected
    assert {(row.hook, row.function) for row in rows()} == {(name, path_of(see_later))}
    drain()
    assert [(row.state, row.error) for row in rows()] == [("succeeded", "")] * len(expected)
    assert later == expected


def test_receiver__the_scenes_are_what_their_names_say(
    stage: Stage, django_capture_on_commit_callbacks: Any
) -> None:
    for signal in (page_published, page_slug_changed):
        receiver(signal, background=True)(see_later)

    with django_capture_on_commit_callbacks(execute=True):
        publish_with_an_alias(stage)
        change_the_slug(stage)
    drain()

    published, of_alias, slug_changed = later
    revision = BlogPage.objects.get(pk=stage.page.pk).live_revision
    assert published["signal"] is of_alias["signal"] is page_published
    assert published["sender"] is of_alias["sender"] is BlogPage
    assert published["instance"][:2] == (BlogPage, stage.page.pk)
    assert published["revision"] == of_alias["revision"] == told(revision)
    assert of_alias["alias"] is True
    assert slug_changed["instance_before"][2]["slug"] == "tides"
    assert slug_changed["instance"][2]["slug"] == "ebb-and-flow"


def test_receiver__the_row_names_page_and_editor(stage: Stage) -> None:
    receiver(page_published, background=True)(see_later)

    publish_in_the_editor(stage)

    [row] = rows()
    assert (row.hook, row.name) == ("page_published", f"{__name__}.see_later@page_published")
    assert (row.subject_type.model_class(), row.subject_id) == (BlogPage, str(stage.page.pk))
    assert row.user == stage.editor


# The decorator ------------------------------------------------------------------------------


def test_receiver__without_background_is_djangos(stage: Stage) -> None:
    assert receiver(page_published)(see_at_once) is see_at_once

    stage.publish()

    assert len(at_once) == 1
    assert rows() == []
    assert page_published.disconnect(see_at_once)


def test_receiver__returns_the_function() -> None:
    assert receiver(page_published, background=True)(see_later) is see_later


def test_receiver__several_signals(stage: Stage) -> None:
    receiver([page_published, page_unpublished], background=True)(see_later)

    stage.publish()
    stage.page.unpublish()

    assert [row.hook for row in rows()] == ["page_published", "page_unpublished"]
    drain()
    assert [call["signal"] for call in later] == [page_published, page_unpublished]


def test_receiver__only_of_a_sender(stage: Stage) -> None:
    receiver(page_published, sender=HomePage, background=True)(see_later)

    stage.publish()
    assert rows() == []
    stage.home.save_revision().publish()
    assert [row.subject_id for row in rows()] == [str(stage.home.pk)]


def test_receiver__of_several_senders(stage: Stage) -> None:
    function = receiver(page_published, sender=HomePage, background=True)(see_later)
    receiver(page_published, sender=BlogPage, background=True)(function)

    stage.publish()
    stage.home.save_revision().publish()

    assert [row.subject_id for row in rows()] == [str(stage.page.pk), str(stage.home.pk)]


@pytest.mark.parametrize("signal", [post_save, post_delete])
def test_receiver__a_sender_by_its_label(db: None, signal: Signal) -> None:
    receiver(signal, sender="blog.Advert", background=True)(see_whole)

    advert = Advert.objects.create(text="Boats")
    drain()
    advert.delete()
    drain()

    [call] = later
    assert call["sender"] is Advert
    assert call["instance"].text == "Boats"


def test_receiver__the_same_twice_is_one(stage: Stage) -> None:
    for _ in range(2):
        receiver(page_published, background=True)(see_later)

    stage.publish()

    assert len(rows()) == 1


def test_receiver__one_identifier_is_one(stage: Stage) -> None:
    for function in (see_later, see_whole):
        receiver(page_published, background=True, dispatch_uid="one")(function)

    stage.publish()

    assert [row.function for row in rows()] == [path_of(see_later)]


@pytest.mark.parametrize(("options", "times"), [("", 2), (", dispatch_uid='tell'", 1)])
def test_receiver__in_a_module_that_is_imported_under_two_names(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, times: int
) -> None:
    path = tmp_path / "receivers.py"
    path.write_text(
        "from wagtail.signals import page_published\n"
        "from wagtail_async_hooks import receiver\n"
        f"@receiver(page_published, background=True{options})\n"
        "def tell(**kwargs): ...\n"
    )
    for name in ("site_receivers", "blog_receivers"):
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)

    stage.publish()

    assert BackgroundTask.objects.filter(function__endswith="_receivers.tell").count() == times


def test_receiver__options_need_background() -> None:
    with pytest.raises(TypeError, match="priority=…\\) needs background=True as well"):
        receiver(page_published, priority=5)


def test_receiver__an_unknown_option() -> None:
    with pytest.raises(TypeError, match="did you mean priority"):
        receiver(page_published, background=True, prioriti=5)  # type: ignore[call-arg]


@pytest.mark.parametrize("background", [False, True])
def test_receiver__django_objects_while_debug_is_on(settings: Any, background: bool) -> None:
    settings.DEBUG = True

    with pytest.raises(ValueError, match="must accept keyword arguments"):
        receiver(page_published, background=background)(takes_no_more)


def test_receiver__what_a_worker_cannot_find_is_connected_as_ever(stage: Stage) -> None:
    def nested(**kwargs: Any) -> None:
        """Nobody can import this."""
        at_once.append(kwargs)

    receiver(page_published, background=True)(nested)

    stage.publish()

    assert len(at_once) == 1
    [message] = said("W002")
    assert message.obj == label(nested)
    assert ', connected to the signal "page_published" with background=True, runs at once: ' in (
        message.msg
    )


# Running it ---------------------------------------------------------------------------------


def test_receiver__a_coroutine_function(stage: Stage) -> None:
    receiver(page_published, background=True)(see_in_a_coroutine)

    revision = stage.publish()
    assert later == []
    drain()

    assert later == [{"signal": page_published, "sender": BlogPage, "revision": told(revision)}]


def test_receiver__knows_its_task(stage: Stage) -> None:
    receiver(page_published, background=True)(see_revision)

    revision = stage.publish()
    drain()

    assert later == [{"hook": "page_published", "revision": revision.pk}]


def test_receiver__that_raises_breaks_nothing(stage: Stage) -> None:
    receiver(page_published, background=True)(fail)

    publish_in_the_editor(stage)
    drain()

    assert BlogPage.objects.get(pk=stage.page.pk).title == "High tides"
    [row] = rows()
    assert (row.state, row.error_type) == (State.FAILED, "builtins.ValueError")
    assert "no luck" in row.error


def test_receiver__a_rollback_undoes_the_task(stage: Stage) -> None:
    receiver(page_published, background=True)(see_later)

    with transaction.atomic():
        stage.publish()
        recorded = len(rows())
        transaction.set_rollback(True)

    assert recorded == 1
    assert rows() == []


def test_receiver__a_page_that_is_gone_meanwhile(stage: Stage) -> None:
    receiver(page_published, background=True)(see_later)

    stage.publish()
    stage.page.delete()
    drain()

    assert later == []
    [row] = rows()
    assert (row.state, row.error) == (State.CANCELLED, "its page was deleted")


@pytest.mark.usefixtures("immediate")
def test_receiver__in_immediate_mode(stage: Stage) -> None:
    receiver(page_published)(see_at_once)
    receiver(page_published, background=True)(see_later)

    stage.publish()

    assert later == at_once != []


@pytest.mark.slow
def test_receiver__in_a_real_worker(
    start: Callable[..., Process], trace_file: Path, tmp_path: Path
) -> None:
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.receiving.settings",
        "TEST_TRACE": str(trace_file),
    }
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    try:
        page = home.add_child(instance=BlogPage(title="A", slug="a", introduction="B", live=False))
        revision = page.save_revision()
        revision.approved_go_live_at = timezone.now() - timezone.timedelta(days=1)
        revision.save()

        assert start("publish_scheduled", **environment).wait() == 0
        row = BackgroundTask.objects.get(function="tests.receiving.wagtail_hooks.tell")
        assert (row.state, row.priority, row.subject_id) == (State.WAITING, 3, str(page.pk))
        worker = start("wagtail_worker", "--drain", **environment)
        assert worker.wait() == 0, worker.said()

        assert trace_file.read_text() == (
            f"BlogPage {page.pk} {revision.pk} True True {worker.pid}\n"
        )
        row.refresh_from_db()
        assert row.state == State.SUCCEEDED
    finally:
        Page.objects.get(pk=home.pk).delete()


# Options ------------------------------------------------------------------------------------


def test_options__priority(stage: Stage) -> None:
    receiver(page_published, background=True, priority=7)(see_later)

    stage.publish()

    assert rows()[0].priority == 7


def test_options__the_settings_overrule_the_code(stage: Stage, settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"page_published": {"priority": 50}, path_of(see_whole): {"priority": 60}},
    }
    for function in (see_later, see_whole):
        receiver(page_published, background=True, priority=7)(function)

    stage.publish()

    assert [row.priority for row in rows()] == [50, 60]


@pytest.mark.usefixtures("retried_at_once")
def test_options__retries(stage: Stage) -> None:
    receiver(page_published, background=True, retries=2, retry_delay=0)(fail)

    stage.publish()
    drain()

    assert len(later) == 3
    assert [(row.state, row.attempt) for row in rows()] == [(State.FAILED, 3)]


def test_options__delay(stage: Stage) -> None:
    receiver(page_published, background=True, delay=60)(see_later)

    before = timezone.now()
    stage.publish()

    [row] = rows()
    assert row.state == State.SCHEDULED
    assert 55 < (row.run_at - before).total_seconds() < 120


def test_options__expires(stage: Stage) -> None:
    receiver(page_published, background=True, expires=0.000001)(see_later)

    stage.publish()
    drain()

    assert later == []
    assert [row.state for row in rows()] == [State.EXPIRED]


def test_options__coalesce(stage: Stage) -> None:
    receiver(page_published, background=True, coalesce="{instance.pk}")(see_later)

    stage.publish()
    stage.home.save_revision().publish()
    stage.publish(title="High tides")
    drain()

    assert sorted(call["instance"][2]["title"] for call in later) == ["High tides", "News"]
    assert sorted(row.state for row in rows()) == ["merged", "succeeded", "succeeded"]


def test_options__supersede(stage: Stage) -> None:
    receiver(page_published, background=True, supersede=True)(see_later)

    stage.publish()
    newer = stage.publish(title="High tides")
    drain()

    assert [call["revision"][1] for call in later] == [newer.pk]
    assert [(row.state, row.error) for row in rows()] == [
        (State.CANCELLED, f"superseded by revision {newer.pk}"),
        (State.SUCCEEDED, ""),
    ]


@pytest.mark.parametrize(
    ("options", "title"), [({}, "Tides"), ({"live": True}, "Tides"), ({"draft": True}, "Low tides")]
)
def test_options__draft_or_live(stage: Stage, options: dict[str, bool], title: str) -> None:
    receiver(page_unpublished, background=True, **options)(see_later)
    stage.publish()
    stage.page.title = "Low tides"
    stage.page.save_revision()

    unpublish_in_the_admin(stage)
    drain()

    assert later[0]["instance"][2]["title"] == title


@pytest.mark.parametrize("name", ["page_published", path_of(see_whole)])
def test_options__forced_to_be_synchronous(stage: Stage, settings: Any, name: str) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [name]
    receiver(page_published, background=True)(see_whole)
    page = BlogPage.objects.get(pk=stage.page.pk)
    revision = page.save_revision()

    revision.publish()

    assert rows() == []
    [call] = later
    assert call["revision"] is revision
    assert call["signal"] is page_published


def test_options__forced_to_be_synchronous_it_raises_as_in_django(
    stage: Stage, settings: Any
) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [path_of(fail)]
    receiver(page_published, background=True)(fail)

    with pytest.raises(ValueError, match="no luck"):
        stage.publish()


# Saving and deleting ------------------------------------------------------------------------


def test_post_save__tells_what_was_saved(db: None) -> None:
    receiver(post_save, sender=Advert, background=True)(see_later)

    advert = Advert.objects.create(text="Boats")
    advert.save(update_fields=["text"])
    drain()

    created, updated = later
    assert (created["created"], created["update_fields"]) == (True, None)
    assert (updated["created"], updated["update_fields"]) == (False, frozenset(["text"]))
    assert (created["raw"], created["using"]) == (False, "default")


def test_post_save__of_all_models_is_not_about_the_tasks_themselves(db: None) -> None:
    receiver([post_save, post_delete], background=True)(see_later)

    advert = Advert.objects.create(text="Boats")
    assert [row.hook for row in rows()] == ["post_save"]
    BackgroundTask.objects.all().delete()
    assert rows() == []

    advert.delete()
    assert [row.hook for row in rows()] == ["post_delete"]


@pytest.mark.parametrize("sender", [BackgroundTask, "wagtail_async_hooks.BackgroundTask"])
def test_post_save__of_tasks_stays_synchronous(db: None, sender: Any) -> None:
    receiver(post_save, sender=sender, background=True)(see_at_once)

    background.task(name="nothing")(lambda: None)()

    assert len(at_once) == BackgroundTask.objects.count() == 1
    [message] = said("W003")
    assert "runs at once: each of its tasks would be the cause of the next one." in message.msg


def test_post_save__of_a_session_runs_at_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    receiver([post_save, post_delete], background=True)(see_later)
    key = stage.client.session.session_key

    stage.client.session.save()
    stage.client.session.delete()

    assert [call["signal"] for call in later] == [post_save, post_delete]
    assert {call["instance"][1] for call in later} == {key}
    assert rows() == []
    assert "a session cannot be carried to the worker: its key is a secret" in caplog.text


def delete_by_code(stage: Stage) -> None:
    stage.page.delete()


def delete_as_a_plain_page(stage: Stage) -> None:
    Page.objects.get(pk=stage.page.pk).delete()


def delete_by_a_query(stage: Stage) -> None:
    Page.objects.filter(pk=stage.page.pk).delete()


def delete_in_the_admin(stage: Stage) -> None:
    stage.post(reverse("wagtailadmin_pages:delete", args=[stage.page.pk]), {})


def delete_with_the_parent(stage: Stage) -> None:
    stage.home.delete()


@pytest.mark.parametrize(
    "act",
    [
        delete_by_code,
        delete_as_a_plain_page,
        delete_by_a_query,
        delete_in_the_admin,
        delete_with_the_parent,
    ],
)
@pytest.mark.parametrize("sender", [BlogPage, Page])
def test_post_delete__the_copy_has_key_and_children(
    stage: Stage, sender: type[Page], act: Callable[[Stage], None]
) -> None:
    stage.post(stage.url, form_data(stage.page, publish=True))
    key = stage.page.pk
    receiver(post_delete, sender=sender, background=True)(see_whole)

    act(stage)
    drain()

    assert not Page.objects.filter(pk=key).exists()
    [call] = [call for call in later if call["instance"].pk == key]
    page = call["instance"]
    assert (type(page), page.title, call["sender"]) == (BlogPage, "Tides", sender)
    assert [link.title for link in page.related_links.all()] == ["Tide tables"]
    assert [tag.name for tag in page.tags.all()] == ["sea"]
    assert [block.block_type for block in page.body] == ["heading", "paragraph"]
    assert "origin" not in call
    assert (call["signal"], call["using"]) == (post_delete, "default")


def test_post_delete__of_a_model_without_children(stage: Stage) -> None:
    receiver(post_delete, sender=Author, background=True)(see_whole)
    key = stage.author.pk

    Author.objects.all().delete()
    drain()

    [call] = later
    assert (call["instance"].pk, call["instance"].name) == (key, "Ada")


def test_post_delete__no_copy_unless_wanted(
    stage: Stage, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["post_delete"]
    receiver(post_delete, sender=BlogPage, background=True)(see_whole)
    monkeypatch.setattr(Snapshot, "of", None)

    stage.page.delete()

    [call] = later
    assert call["origin"] is not None
    assert rows() == []


def test_post_delete__what_cannot_be_copied_is_deleted_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    receiver(post_delete, sender=Advert, background=True)(see_later)
    advert = Advert.objects.create(text="Boats")
    monkeypatch.setattr(Snapshot, "of", None)

    advert.delete()

    assert not Advert.objects.exists()
    assert len(later) == 1
    assert rows() == []
    assert "cannot be copied before it is deleted" in caplog.text


# Signals of a site's own --------------------------------------------------------------------


def test_own_signal__with_a_plain_class_as_sender(db: None) -> None:
    receiver(order_paid, sender=Shop, background=True)(see_later)

    advert = Advert.objects.create(text="Boats")
    order_paid.send(Shop, order={"adverts": [advert], "sum": 5}, function="f", entry=1, hook=None)
    drain()

    [row] = rows()
    assert (row.hook, row.state, row.error) == ("order_paid", State.SUCCEEDED, "")
    order = {"adverts": [advert], "sum": 5}
    assert later[0].pop("order")["sum"] == order["sum"]
    assert later == [
        {"signal": order_paid, "sender": Shop, "function": "f", "entry": 1, "hook": None}
    ]


def test_own_signal__with_an_object_as_sender(stage: Stage) -> None:
    receiver(order_paid, background=True)(see_later)

    order_paid.send(stage.author)
    drain()

    assert rows()[0].subject_id == str(stage.author.pk)
    assert later == [{"signal": order_paid, "sender": told(stage.author)}]


def test_own_signal__what_cannot_be_carried_runs_at_once_and_is_told(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    receiver(order_paid, background=True)(see_whole)
    lines = {"lines": ["a", object()]}

    for _ in range(2):
        order_paid.send(Shop, order=lines)

    assert rows() == []
    assert [call["order"] is lines for call in later] == [True, True]
    assert later[0]["signal"] is order_paid
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage().startswith(
        f"order_paid {place_of(see_whole)} runs in the request, because an argument cannot be "
        "carried to a worker: order['lines'][1] (dict) → "
    )


def test_own_signal__what_runs_at_once_and_raises_is_logged(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    receiver(order_paid, background=True)(fail)

    order_paid.send(Shop, order=object())

    assert f"order_paid {place_of(fail)} failed in the request." in caplog.text


def test_own_signal__is_called_what_another_module_calls_it(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = ModuleType("shop_signals")
    shop.basket_left = signal = Signal()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_signals", shop)

    receiver(signal, background=True)(see_later)
    signal.send(Shop)

    assert [row.hook for row in rows()] == ["basket_left"]


def test_own_signal__an_imported_module_comes_before_others(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal = Signal()
    for name, called in (("aaa_signals", "first"), ("zzz_signals", "imported")):
        module = ModuleType(name)
        setattr(module, called, signal)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(HERE, "zzz", sys.modules["zzz_signals"], raising=False)

    receiver(signal, background=True)(see_later)
    signal.send(Shop)

    assert [row.hook for row in rows()] == ["imported"]


def test_own_signal__two_without_a_name_are_not_mixed_up(db: None) -> None:
    receiver([Shop.paid, Shop.refunded], background=True)(see_later)

    Shop.paid.send(Shop, sum=5)
    assert later == []
    Shop.refunded.send(Shop, sum=-5)
    assert later == [{"signal": Shop.refunded, "sender": Shop, "sum": -5}]
    drain()

    assert later[1:] == [{"signal": Shop.paid, "sender": Shop, "sum": 5}]
    [message] = said("W002")
    assert "a worker could not tell its signal from another one" in message.msg


# Refused signals, and checks ----------------------------------------------------------------


def said(number: str) -> list[checks.CheckMessage]:
    """Return what Django's ``check`` command says under one of our numbers."""
    found = checks.run_checks(tags=[checks.Tags.compatibility])
    return [message for message in found if message.id == f"wagtail_async_hooks.{number}"]


HINTS = {
    "pre_save": 'Remove background=True, or did you mean the signal "post_save"?',
    "pre_delete": 'Remove background=True, or did you mean the signal "post_delete"?',
    "pre_page_move": 'Remove background=True, or did you mean the signal "post_page_move"?',
}


@pytest.mark.parametrize("name", catalogue.UNSUITABLE)
def test_unsuitable__is_connected_as_ever_and_a_check_says_so(name: str) -> None:
    signal, reason = catalogue.UNSUITABLE[name]
    receiver(signal, background=True)(see_at_once)

    assert any(entry[1] is see_at_once for entry in signal.receivers)
    [message] = said("W003")
    assert message.level == checks.WARNING
    assert message.obj == label(see_at_once)
    assert message.msg == (
        f'{place_of(see_at_once)}, connected to the signal "{name}" with background=True, runs at '
        f"once: the signal is not background-safe: {reason}."
    )
    assert message.hint == HINTS.get(name, "Remove background=True.")
    assert said("W002") == []


def test_unsuitable__runs_before_what_follows(db: None) -> None:
    receiver(pre_save, sender=Advert, background=True)(see_at_once)

    Advert.objects.create(text="Boats")

    assert at_once[0]["instance"][1] is None
    assert rows() == []


def test_unsuitable__a_new_page_is_filled_in(stage: Stage) -> None:
    receiver(wagtail_signals.init_new_page, background=True)(see_at_once)

    url = reverse("wagtailadmin_pages:add", args=["blog", "blogpage", stage.home.pk])
    assert stage.client.get(url).status_code == 200

    assert at_once[0]["parent"][1] == stage.home.pk
    assert rows() == []


def test_checks__a_suited_signal_is_none_of_their_business() -> None:
    receiver(page_published, background=True)(see_later)

    assert said("W002") == said("W003") == said("W006") == said("W007") == []


def test_checks__a_receiver_that_asks_for_what_is_not_carried() -> None:
    receiver(auth_signals.user_logged_in, background=True)(reads_the_session)

    [message] = said("W006")
    assert message.msg.startswith(
        f'{path_of(reads_the_session)}, which runs in the background for "user_logged_in", reads '
        "request.session ("
    )


def test_checks__settings_may_name_a_signal(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"page_published": {"priority": 1}, "page_publishd": {}},
    }
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["workflow_submitted"]

    [message] = said("W004")
    assert '"page_publishd"' in message.msg
    assert message.hint == 'Did you mean "page_published"?'


# The documentation --------------------------------------------------------------------------


@pytest.mark.django_db
def test_docs__the_examples_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("docs_receivers")
    monkeypatch.setitem(sys.modules, "docs_receivers", module)
    known = set(registry.entries)

    for block in test_docs.blocks_of(test_docs.page_named("receivers")):
        if block.language == "python" and "WAGTAIL_TASKS" not in block.code:
            exec(compile(block.code, str(block.page), "exec"), vars(module))

    registered = {hook for hook, _ in set(registry.entries) - known}
    assert {"page_published", "post_delete", "order_paid"} <= registered
    assert said("W002") == said("W003") == []
