"""Tests of bulk actions in a worker: through Wagtail's pages, each of Wagtail's own actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from taggit.models import Tag
from wagtail import hooks as wagtail_hooks
from wagtail.images import get_image_model
from wagtail.images.tests.utils import get_test_image_file
from wagtail.models import Collection, Page, PageLogEntry
from wagtail.signals import page_published

from tests.integrations.bulk_actions.conftest import Act, make_pages
from tests.site.blog.models import Advert, HomePage
from wagtail_async_hooks import hooks, ledger
from wagtail_async_hooks.integrations.bulk_actions.execution import run_bulk_action
from wagtail_async_hooks.integrations.bulk_actions.forms import encode_form
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.serialization.arguments import ModelSequence
from wagtail_async_hooks.types import ItemState, State

Work = Callable[[], BackgroundTask]


def items(task: BackgroundTask) -> list[tuple[str, str]]:
    """Return what a task's objects are called, and what became of each."""
    return [(item.label, item.state) for item in ledger.items(task.pk)]


def texts(task: BackgroundTask) -> list[str]:
    """Return what the editor is told."""
    return [message["text"].strip() for message in task.messages or ()]


def test_publish__is_done_by_the_worker_for_the_editor(
    home: HomePage, act: Act, work: Work, chief: Any
) -> None:
    keys = make_pages(home, 3)
    published: list[int] = []

    def receive(instance: Page, **kwargs: Any) -> None:
        published.append(instance.pk)

    response = act("wagtailcore.page.publish", keys)
    assert response.status_code == 302
    assert not Page.objects.filter(pk__in=keys, live=True).exists()
    page_published.connect(receive)
    try:
        task = work()
    finally:
        page_published.disconnect(receive)

    assert (task.state, task.user_id) == (State.SUCCEEDED, chief.pk)
    assert Page.objects.filter(pk__in=keys, live=True).count() == 3
    assert published == keys
    assert items(task) == [(f"Post {n}", ItemState.DONE) for n in range(3)]
    assert (task.progress_done, task.progress_total) == (3, 3)
    assert texts(task) == ["3 pages have been published"]
    log = PageLogEntry.objects.filter(page__in=keys, action="wagtail.publish")
    assert {entry.user_id for entry in log} == {chief.pk}
    assert log.count() == 3


def test_unpublish__with_descendants(home: HomePage, act: Act, work: Work) -> None:
    keys = make_pages(home, 3, live=True)
    below = make_pages(Page.objects.get(pk=keys[1]), 2, live=True)
    Page.objects.get(pk=below[0]).save()

    act("wagtailcore.page.unpublish", keys, include_descendants="on")
    task = work()

    assert task.state == State.SUCCEEDED
    assert not Page.objects.filter(pk__in=[*keys, *below], live=True).exists()
    assert texts(task) == ["3 pages and 2 child pages have been unpublished"]


def test_delete__takes_what_is_gone_already_for_done(home: HomePage, act: Act, work: Work) -> None:
    keys = make_pages(home, 4)

    act("wagtailcore.page.delete", keys)
    Page.objects.get(pk=keys[2]).delete()
    task = work()

    assert task.state == State.SUCCEEDED
    assert not Page.objects.filter(pk__in=keys).exists()
    home.refresh_from_db()
    assert home.numchild == 0
    # Wagtail's log knows what the page was called.
    assert items(task) == [(f"Post {n}", ItemState.DONE) for n in range(4)]
    assert texts(task) == ["3 pages have been deleted"]


def test_move__keeps_the_order_and_a_sound_tree(home: HomePage, act: Act, work: Work) -> None:
    keys = make_pages(home, 6)
    target = keys.pop(0)

    act("wagtailcore.page.move", keys, chooser=target)
    task = work()

    assert task.state == State.SUCCEEDED, task.traceback
    moved = Page.objects.child_of(Page.objects.get(pk=target))
    assert list(moved.order_by("path").values_list("pk", flat=True)) == keys
    assert not any(Page.find_problems())
    assert texts(task) == ["5 pages have been moved"]


def test_move__a_slug_that_is_taken_meanwhile(home: HomePage, act: Act, work: Work) -> None:
    target, *keys = make_pages(home, 4)

    act("wagtailcore.page.move", keys, chooser=target)
    Page.objects.get(pk=target).add_child(instance=Page(title="Other", slug="post-2"))
    task = work()

    assert [str(item) for item in ledger.items(task.pk)][:1] == ["Post 2: failed"]
    assert "A page with its slug is there already." in texts(task)[1]


def test_move__ends_if_the_new_parent_is_deleted(home: HomePage, act: Act, work: Work) -> None:
    target, *keys = make_pages(home, 4)

    act("wagtailcore.page.move", keys, chooser=target)
    Page.objects.get(pk=target).delete()
    task = work()

    assert (task.state, task.error) == (State.CANCELLED, "its page was deleted")
    [told] = texts(task)
    assert told.startswith("“Move”: cancelled when 0 of 3 pages were done.")
    assert Page.objects.child_of(home).count() == 3


def test_tags__of_images(home: HomePage, act: Act, work: Work) -> None:
    images = [
        get_image_model().objects.create(title=f"Picture {n}", file=get_test_image_file())
        for n in range(3)
    ]
    try:
        act("wagtailimages.image.add_tags", [image.pk for image in images], tags="sea,salt")
        task = work()

        assert task.state == State.SUCCEEDED, task.traceback
        assert [sorted(image.tags.names()) for image in images] == 3 * [["salt", "sea"]]
        assert texts(task) == ["New tags have been added to 3 images"]
    finally:
        for image in images:
            image.delete()
        Tag.objects.all().delete()


def test_snippets__are_deleted_and_their_hook_is_told(home: HomePage, act: Act, work: Work) -> None:
    adverts = [Advert.objects.create(text=f"Buy {n}") for n in range(3)]
    told: list[Any] = []

    def after(request: Any, instances: Any) -> None:
        told.extend(instance.text for instance in instances)

    with wagtail_hooks.register_temporarily("after_delete_snippet", after):
        act("blog.advert.delete", [advert.pk for advert in adverts])
        assert told == []
        task = work()

    assert task.state == State.SUCCEEDED, task.traceback
    assert not Advert.objects.exists()
    assert told == ["Buy 0", "Buy 1", "Buy 2"]
    assert texts(task) == ["3 Adverts deleted."]


remembered: list[tuple[Any, str]] = []


def remember(request: Any, instances: Any) -> None:
    """Remember what was deleted, in the background."""
    remembered.extend((instance.pk, instance.text) for instance in instances)


def test_snippets__reach_a_background_hook_as_copies(
    home: HomePage, registries: None, act: Act, work: Work
) -> None:
    adverts = [Advert.objects.create(text=f"Buy {n}").pk for n in range(3)]

    with hooks.register_temporarily("after_delete_snippet", remember, background=True):
        act("blog.advert.delete", adverts)
        work()
        assert not Advert.objects.exists()
        remembered.clear()
        task = work()

    assert (task.hook, task.state) == ("after_delete_snippet", State.SUCCEEDED), task.error
    assert remembered == [(pk, f"Buy {n}") for n, pk in enumerate(adverts)]


@pytest.fixture
def run(home: HomePage, chief: Any, work: Work, rf: RequestFactory) -> Callable[..., Any]:
    """Run an action as if its form had been confirmed, whether it was moved or not."""

    def run(name: str, objects: list[Any], **cleaned_data: Any) -> BackgroundTask:
        request = rf.post("/admin/")
        request.user = chief
        keys = ModelSequence([(name.rpartition(".")[0], "default", [o.pk for o in objects])])
        form = SimpleNamespace(cleaned_data=cleaned_data)
        run_bulk_action(name, keys, encode_form(form), request)
        return work()

    return run


@pytest.fixture
def images(home: HomePage) -> Iterator[list[Any]]:
    """Three images."""
    model = get_image_model()
    yield [model.objects.create(title=f"No. {n}", file=get_test_image_file()) for n in range(3)]
    for image in model.objects.filter(title__startswith="No. "):
        image.delete()


def test_images__are_added_to_a_collection(run: Callable[..., Any], images: list[Any]) -> None:
    collection = Collection.get_first_root_node().add_child(name="Sea")

    task = run("wagtailimages.image.add_to_collection", images, collection=collection)

    assert texts(task) == ["3 images have been added to Sea"]
    assert all(get_image_model().objects.get(pk=i.pk).collection == collection for i in images)
    get_image_model().objects.update(collection=Collection.get_first_root_node())
    collection.delete()


def test_users__are_made_inactive_but_not_oneself(run: Callable[..., Any], chief: Any) -> None:
    users = get_user_model().objects
    others = [users.create(username=f"user-{n}") for n in range(2)]

    task = run("auth.user.set_active_state", [*others, chief], mark_as_active=False)

    assert [(item.label, item.error) for item in ledger.items(task.pk)] == [
        ("chief", "You cannot do this to your own account."),
        ("user-0", ""),
        ("user-1", ""),
    ]
    assert users.filter(username__startswith="user-", is_active=False).count() == 2
    assert users.get(pk=chief.pk).is_active
    users.filter(username__startswith="user-").delete()


def test_users__are_given_a_role(run: Callable[..., Any], chief: Any) -> None:
    role = Group.objects.get(name="Editors")

    task = run("auth.user.assign_role", [chief], role=role)

    assert task.state == State.SUCCEEDED
    assert role.user_set.get() == chief
    assert texts(task) == ["1 user has been assigned as Editors"]


def test_action__that_this_worker_does_not_know(run: Callable[..., Any], chief: Any) -> None:
    task = run("auth.user.praise", [chief])

    assert task.state == State.FAILED
    assert 'no bulk action "auth.user.praise" is registered' in task.error


def test_hooks__are_called_once_with_what_is_done(home: HomePage, act: Act, work: Work) -> None:
    keys = make_pages(home, 3)
    told: list[Any] = []

    def before(request: Any, action_type: str, objects: Any, action: Any) -> None:
        told.append(("before", action_type, [page.pk for page in objects]))

    def after(request: Any, action_type: str, objects: Any, action: Any) -> None:
        told.append(("after", action_type, [page.pk for page in objects]))
        assert request.user.username == "chief"
        assert action.cleaned_form.cleaned_data == {"include_descendants": False}

    pair = [("before_bulk_action", before), ("after_bulk_action", after)]
    with wagtail_hooks.register_temporarily(pair):
        act("wagtailcore.page.publish", keys)
        assert told == [("before", "publish", keys)]
        Page.objects.get(pk=keys[0]).delete()
        task = work()

    assert told[1:] == [("after", "publish", keys[1:])]
    assert task.state == State.FAILED


def test_hooks__one_that_answers_ends_the_others_and_the_message(
    home: HomePage, act: Act, work: Work
) -> None:
    keys = make_pages(home, 3)
    told: list[str] = []

    def first(*args: Any) -> HttpResponse:
        told.append("first")
        return HttpResponse()

    def second(*args: Any) -> None:
        told.append("second")

    with wagtail_hooks.register_temporarily(
        [("after_bulk_action", first), ("after_bulk_action", second)]
    ):
        act("wagtailcore.page.publish", keys)
        task = work()

    assert told == ["first"]
    assert (task.state, task.messages) == (State.SUCCEEDED, None)


def test_hooks__one_that_fails_undoes_nothing_and_is_called_again(
    home: HomePage, act: Act, work: Work
) -> None:
    keys = make_pages(home, 3)
    told: list[list[int]] = []

    def after(request: Any, action_type: str, objects: Any, action: Any) -> None:
        told.append([page.pk for page in objects])
        if len(told) == 1:
            raise ValueError("no luck")

    with wagtail_hooks.register_temporarily("after_bulk_action", after):
        act("wagtailcore.page.publish", keys)
        failed = work()
        assert (failed.state, failed.error) == (State.FAILED, "no luck")
        assert texts(failed) == []
        assert Page.objects.filter(pk__in=keys, live=True).count() == 3
        assert control.retry([failed.pk]) == 1
        again = work()

    assert again.state == State.SUCCEEDED
    assert told == [keys, keys]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let pages of some titles refuse to be saved."""
    refused: set[str] = set()
    save = Page.save

    def refusing(self: Page, *args: Any, **kwargs: Any) -> Any:
        if self.title in refused:
            raise ValidationError({"title": "This title will not do."})
        return save(self, *args, **kwargs)

    monkeypatch.setattr(Page, "save", refusing)

    def refuse(*titles: str) -> None:
        refused.clear()
        refused.update(titles)

    return refuse


def test_failures__do_not_undo_the_rest_and_can_be_retried(
    home: HomePage, act: Act, work: Work, refuse: Callable[..., None]
) -> None:
    keys = make_pages(home, 5)
    act("wagtailcore.page.publish", keys)
    refuse("Post 1")
    Page.objects.get(pk=keys[3]).delete()
    failed = work()

    assert failed.state == State.FAILED
    assert failed.error == "2 of 5 pages failed."
    assert [(i.label, i.error) for i in ledger.items(failed.pk)[:2]] == [
        ("Post 1", "This title will not do."),
        ("Post 3", "It was deleted meanwhile."),
    ]
    assert Page.objects.filter(pk__in=keys, live=True).count() == 3
    success, failure = texts(failed)
    assert success == "3 pages have been published"
    assert "“Publish”: 2 of 5 pages failed." in failure
    assert "<li>Post 1: This title will not do.</li>" in failure

    refuse()
    before = dict(Page.objects.filter(pk__in=keys).values_list("pk", "last_published_at"))
    assert control.retry([failed.pk]) == 1
    again = work()

    assert (again.state, again.error) == (State.FAILED, "1 of 5 pages failed.")
    after = dict(Page.objects.filter(pk__in=keys).values_list("pk", "last_published_at"))
    assert {pk for pk in after if after[pk] != before[pk]} == {keys[1]}
    assert texts(again)[0] == "1 page has been published"


def test_permissions__are_asked_for_again_for_each_object(
    home: HomePage, client: Client, act: Act, work: Work, chief: Any
) -> None:
    keys = make_pages(home, 3)
    published: list[int] = []

    def receive(instance: Page, **kwargs: Any) -> None:
        published.append(instance.pk)
        chief.is_superuser = False
        chief.save()
        chief.groups.add(Group.objects.get(name="Editors"))

    act("wagtailcore.page.publish", keys)
    page_published.connect(receive)
    try:
        task = work()
    finally:
        page_published.disconnect(receive)

    assert published == keys[:1]
    assert [item.error for item in ledger.items(task.pk)] == [
        *2 * ["You don’t have the permission to do this."],
        "",
    ]


def test_permissions__of_a_user_who_is_gone(
    home: HomePage, act: Act, work: Work, chief: Any
) -> None:
    keys = make_pages(home, 3)

    act("wagtailcore.page.publish", keys)
    chief.delete()
    task = work()

    assert task.state == State.FAILED
    assert {item.error for item in ledger.items(task.pk)} == {
        "Whoever started this may not use the admin any more."
    }


def test_cancel__takes_effect_after_the_current_object(
    home: HomePage, act: Act, work: Work
) -> None:
    keys = make_pages(home, 4)
    act("wagtailcore.page.publish", keys)
    [task] = BackgroundTask.objects.all()

    def receive(instance: Page, **kwargs: Any) -> None:
        if instance.pk == keys[1]:
            assert control.cancel([task.pk]) == 1

    page_published.connect(receive)
    try:
        cancelled = work()
    finally:
        page_published.disconnect(receive)

    assert cancelled.state == State.CANCELLED
    assert items(cancelled) == [(f"Post {n}", ItemState.DONE) for n in (0, 1)]
    success, told = texts(cancelled)
    assert success == "2 pages have been published"
    assert told.startswith("“Publish”: cancelled when 2 of 4 pages were done.")

    assert control.retry([cancelled.pk]) == 1
    again = work()
    assert again.state == State.SUCCEEDED
    assert texts(again) == ["2 pages have been published"]
    assert Page.objects.filter(pk__in=keys, live=True).count() == 4
