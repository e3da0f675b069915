"""Tests of receipts: their steps, who sees them, what the editor says of them, and their price."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from wagtail import hooks as wagtail_hooks
from wagtail.models import Page, PageLogEntry

from tests.admin.editing import HTML, edit_url, page, publish, save, work
from tests.admin.making import log_in, make_task, make_user
from tests.site.blog.models import Advert, Author
from wagtail_async_hooks.admin import receipts as links
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State


def purge_cache(request: Any, page: Any) -> None:
    """Do nothing, in the background."""


def draw_image(request: Any, page: Any) -> None:
    """Fail."""
    raise ConnectionError("503")


@pytest.fixture(autouse=True)
def nothing_else(registries: None) -> None:
    """Leave out what the site itself does in the background."""
    for found in wagtail_hooks._hooks.values():
        found[:] = [each for each in found if not each[0].__module__.startswith("tests.site")]


@pytest.fixture
def published(admin: Client, spring: Page, on: Any) -> Page:
    """A page that was published, for which two tasks wait."""
    on("after_publish_page", purge_cache)
    on("after_publish_page", draw_image, explain={ConnectionError: "The painter is away."})
    BackgroundTask.objects.all().delete()
    publish(admin, spring)
    return spring


def cause_of(instance: Any) -> uuid.UUID:
    """Return the id of the request that published a page."""
    entry = PageLogEntry.objects.filter(page=instance.pk, action="wagtail.publish")
    return uuid.UUID(str(entry.latest("pk").uuid))


def receipt_of(browser: Client, instance: Any) -> str:
    """Return the receipt of the last publication of a page."""
    return page(browser, links.url_of(instance, cause_of(instance)))


# The page -----------------------------------------------------------------------------------


def test_receipt__of_what_waits(admin: Client, published: Page) -> None:
    html = receipt_of(admin, published)

    steps = ("Saved", "Live", "Purge cache: waiting for a worker", "Draw image: waiting for a")
    assert sorted(steps, key=html.index) == list(steps)
    assert "2 background tasks wait for “Spring &lt;menu&gt;”." in html
    assert "No worker is running at the moment." in html
    assert "data-background-live" in html


def test_receipt__of_what_has_ended(admin: Client, published: Page) -> None:
    page(admin)  # where the message after publishing is shown
    work()

    html = receipt_of(admin, published)

    assert "Purge cache: done" in html
    assert "Draw image failed: The painter is away." in html
    assert "1 of 2 background tasks failed for “Spring &lt;menu&gt;”." in html
    assert "No worker is running" not in html
    assert "data-background-live" not in html
    row = BackgroundTask.objects.get(function__endswith="draw_image")
    assert f"/task/{row.pk}/" in html


def test_receipt__follows_a_task_to_the_one_it_was_merged_into(
    admin: Client, spring: Page, on: Any
) -> None:
    on("after_publish_page", purge_cache, coalesce="{page.pk}")
    publish(admin, spring)
    first = cause_of(spring)
    publish(admin, spring)
    work()

    html = page(admin, links.url_of(spring, first))

    assert BackgroundTask.objects.filter(state=State.MERGED).count() == 1
    assert "Purge cache: done" in html
    assert "All background tasks for “Spring &lt;menu&gt;” are done (" in html


def test_receipt__says_what_wagtails_own_tasks_do(admin: Client, spring: Page) -> None:
    cause = uuid.uuid4()
    own = "modelsearch.tasks.insert_or_update_object_task"
    cache = "wagtail.contrib.frontend_cache.tasks.purge_urls_from_cache_task"
    make_task(spring, cause=cause, function=own, state=State.SUCCEEDED)
    make_task(cause=cause, function=cache)

    html = page(admin, links.url_of(spring, cause))

    assert "Search index updated" in html
    assert "Front-end cache: waiting for a worker" in html


def test_receipt__tells_once_of_what_reads_alike(admin: Client, spring: Page) -> None:
    cause = uuid.uuid4()
    own = "modelsearch.tasks.insert_or_update_object_task"
    for state in (State.WAITING, State.WAITING, State.SUCCEEDED):
        make_task(spring, cause=cause, function=own, state=state)

    html = page(admin, links.url_of(spring, cause))

    assert html.count("<strong>Search index: waiting for a worker</strong>") == 1
    assert "× 2" in html
    assert html.count("<strong>Search index updated</strong>") == 1
    assert "2 background tasks wait for" in html


def test_receipt__names_nothing_that_its_reader_may_not_edit(
    spring: Page, section: Page, editor_of: Callable[..., Client]
) -> None:
    cause = uuid.uuid4()
    make_task(spring, cause=cause, subject_title="Top secret", function="shop.purge")
    make_task(section, cause=cause, function="shop.index_it")
    make_task(cause=cause, title="Mail to a secret address", function="shop.send_mail")

    html = page(editor_of(section), links.url_of(section, cause))

    assert "Index it: waiting for a worker" in html
    assert "Send mail: waiting" in html
    assert "1 more task is about something that you may not edit." in html
    assert "secret" not in html


@pytest.fixture
def editor_of(committed_db: None) -> Iterator[Callable[..., Client]]:
    """Make editors who may edit one page, and what is below it."""
    made: list[Any] = []

    def make(section: Page) -> Client:
        made.append(make_user(f"editor-{len(made)}", section=section))
        return log_in(made[-1])

    yield make
    for user in made:
        user.groups.all().delete()
        user.delete()


@pytest.mark.parametrize("name", ["receipt", "receipt_state", "receipts"])
def test_receipt__is_refused_to_editors_of_other_sections(
    spring: Page, section: Page, editor_of: Callable[..., Client], name: str
) -> None:
    cause = uuid.uuid4()
    make_task(spring, cause=cause)
    names = ["wagtailcore.page", spring.pk, *([] if name == "receipts" else [cause])]
    browser = editor_of(section)

    response = browser.get(reverse(f"wagtail_async_hooks:{name}", args=names), headers=HTML)

    assert response.status_code == 302  # Wagtail's usual refusal
    assert "Spring" not in response.content.decode()


@pytest.mark.parametrize(
    "address", ["nothing.such/1/", "wagtailcore.page/0/", "wagtailcore.page/x/", "blog.advert/9/"]
)
def test_receipt__of_nothing(admin: Client, committed_db: None, address: str) -> None:
    assert admin.get(f"/admin/background-tasks/receipts/{address}").status_code == 404


def test_receipt__is_not_there_in_immediate_mode(
    admin: Client, spring: Page, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    assert admin.get(links.url_of(spring, uuid.uuid4())).status_code == 404
    assert "Receipts" not in page(admin, edit_url(spring))


def test_receipts__lists_changes(admin: Client, published: Page) -> None:
    html = page(admin, links.url_of_all(published))

    assert links.url_of(published, cause_of(published)) in html
    assert "Published" in html


def test_state__is_for_the_script(admin: Client, published: Page) -> None:
    address = links.url_of(published, cause_of(published)) + "state/?brief"

    before = admin.get(address).json()
    work()
    after = admin.get(address).json()

    assert not before["ended"]
    assert after["ended"]
    assert before["state"] != after["state"]
    assert after["html"].strip() == ("1 of 2 background tasks failed for “Spring &lt;menu&gt;”.")


# The editor ---------------------------------------------------------------------------------


def test_message__after_publishing_says_what_still_happens(admin: Client, published: Page) -> None:
    html = page(admin, f"/admin/pages/{published.get_parent().pk}/")

    assert "2 background tasks wait for “Spring &lt;menu&gt;”." in html
    assert links.url_of(published, cause_of(published)) in html
    assert html.count("data-background-live") == 1


def test_message__in_the_editor_while_something_is_unfinished(
    admin: Client, published: Page
) -> None:
    page(admin)  # where the message after publishing is shown

    html = page(admin, edit_url(published))

    assert "2 background tasks wait for “Spring &lt;menu&gt;”." in html
    assert "data-aside" in html


def test_message__in_the_editor_of_a_failure_until_it_is_made_good(
    admin: Client, published: Page
) -> None:
    work()
    page(admin)
    assert "1 of 2 background tasks failed" in page(admin, edit_url(published))
    failed = BackgroundTask.objects.get(state=State.FAILED)

    make_task(published, state=State.SUCCEEDED, function=failed.function)

    assert "background tasks failed" not in page(admin, edit_url(published))


def test_message__in_the_editor_of_a_cache_that_waits(admin: Client, spring: Page) -> None:
    cause = uuid.uuid4()
    make_task(spring, cause=cause, state=State.SUCCEEDED)
    make_task(cause=cause, function="shop.purge_urls")

    assert "1 background task waits for" in page(admin, edit_url(spring))


def test_message__in_the_editor_is_not_there_where_nothing_runs(
    admin: Client, spring: Page
) -> None:
    make_task(spring, cause=uuid.uuid4(), state=State.SUCCEEDED)

    html = page(admin, edit_url(spring))

    assert "data-background-live" not in html
    assert "live.js" not in html


def test_message__after_saving_a_draft_is_in_the_editor_once(
    admin: Client, spring: Page, on: Any
) -> None:
    on("after_edit_page", purge_cache)

    save(admin, spring)

    assert page(admin, edit_url(spring)).count("data-background-live") == 1


def test_message__is_not_for_autosave(admin: Client, spring: Page, on: Any) -> None:
    on("after_publish_page", purge_cache)
    data = {"title": "Spring", "slug": "spring-menu", "action-publish": "1"}
    data |= {"comments-TOTAL_FORMS": "0", "comments-INITIAL_FORMS": "0"}
    admin.post(edit_url(spring), data, headers={"Accept": "application/json"})

    assert "data-background-live" not in page(admin)


def test_message__of_a_snippet(admin: Client, committed_db: None, on: Any) -> None:
    advert = Advert.objects.create(text="Boats")
    on("after_edit_snippet", purge_snippet)

    admin.post(f"/admin/snippets/blog/advert/edit/{advert.pk}/", {"text": "Ships"}, headers=HTML)

    html = page(admin, "/admin/snippets/blog/advert/")
    assert "1 background task waits for “Ships”." in html
    row = BackgroundTask.objects.get()
    assert row.cause is not None
    receipt = page(admin, links.url_of(advert, row.cause))
    assert "Saved" in receipt
    assert "Purge snippet: waiting for a worker" in receipt
    assert "1 background task waits for" in page(
        admin, f"/admin/snippets/blog/advert/edit/{advert.pk}/"
    )
    advert.delete()


def purge_snippet(request: Any, instance: Any) -> None:
    """Do nothing, in the background."""


def test_message__of_a_published_snippet(admin: Client, committed_db: None, on: Any) -> None:
    author = Author.objects.create(name="Ada")
    on("after_publish", purge_snippet)

    admin.post(
        f"/admin/snippets/blog/author/edit/{author.pk}/",
        {"name": "Ada", "action-publish": "1"},
        headers=HTML,
    )

    assert "for “Ada”." in page(admin, "/admin/snippets/blog/author/")
    author.delete()


def test_menu__leads_to_receipts(
    admin: Client, spring: Page, section: Page, editor_of: Callable[..., Client]
) -> None:
    address = links.url_of_all(spring)

    assert address in page(admin, edit_url(spring))
    assert links.url_of_all(spring.get_parent()) in page(
        admin, f"/admin/pages/{spring.get_parent().pk}/"
    )
    assert address not in page(editor_of(section), f"/admin/pages/{spring.pk}/")


def test_history__leads_to_receipts(admin: Client, spring: Page) -> None:
    history = f"/admin/pages/{spring.pk}/history/"
    assert links.url_of_all(spring) not in page(admin, history)

    make_task(spring)

    assert links.url_of_all(spring) in page(admin, history)


def test_history__of_a_snippet_leads_to_receipts(admin: Client, committed_db: None) -> None:
    advert = Advert.objects.create(text="Boats")
    make_task(advert)

    html = page(admin, f"/admin/snippets/blog/advert/history/{advert.pk}/")

    assert links.url_of_all(advert) in html
    advert.delete()


def test_ledger__in_another_database(admin: Client, spring: Page, elsewhere: None, on: Any) -> None:
    on("after_publish_page", purge_cache)
    publish(admin, spring)

    assert "1 background task waits" in page(admin, edit_url(spring))
    assert "Purge cache: waiting" in receipt_of(admin, spring)


# The price ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 300])
def test_price__of_the_edit_view_is_two_queries(
    admin: Client, spring: Page, without_ours: Callable[[], None], number: int
) -> None:
    kind = ContentType.objects.get_for_model(type(spring))
    BackgroundTask.objects.bulk_create(
        BackgroundTask(
            task_id=f"{n}",
            message=b"",
            state=State.SUCCEEDED,
            enqueued_at=timezone.now(),
            finished_at=timezone.now(),
            subject_type=kind,
            subject_id=str(spring.pk),
            cause=uuid.UUID(int=1),
        )
        for n in range(number)
    )
    page(admin, edit_url(spring))
    with CaptureQueriesContext(connection) as with_ours:
        page(admin, edit_url(spring))
    without_ours()
    with CaptureQueriesContext(connection) as without:
        page(admin, edit_url(spring))

    assert len(with_ours) <= len(without) + 2
