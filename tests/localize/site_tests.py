"""Tests of wagtail-localize on a site in several languages, through its views and its command.

``tests/integrations/test_localize.py`` runs them, in a process and with a database of their own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from wagtail.models import Locale, Page
from wagtail_localize.components import TRANSLATION_COMPONENTS, register_translation_component
from wagtail_localize.models import LocaleSynchronization
from wagtail_localize.operations import translate_page_subtree
from wagtail_localize.tasks import background as their_queue

from tests.processes import Process, wait_until
from tests.site.blog.models import Advert, BlogPage, HomePage
from wagtail_async_hooks import background
from wagtail_async_hooks.integrations.localize import BackgroundJobBackend
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

SETTINGS = "tests.localize.settings"


def fill() -> None:
    """Fill the site: a home page in English with two posts."""
    call_command("seed", pages=2, verbosity=0)
    BackgroundTask.objects.all().delete()


@pytest.fixture
def site(db: None) -> None:
    """A site whose changes are undone after the test."""
    fill()


@pytest.fixture
def french(db: None) -> Locale:
    """A second language."""
    return Locale.objects.get_or_create(language_code="fr")[0]


@pytest.fixture
def component() -> Iterator[None]:
    """A form that the site adds to that for translations: an advert."""
    register_translation_component(heading="Advertise it", enable_text="Advertise")(Advert)
    yield
    TRANSLATION_COMPONENTS.clear()


def browser() -> Client:
    """Return the browser of somebody who may do everything."""
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


def translate(locale: Locale, **form: str) -> None:
    """Submit the home page and all below it for translation, as an editor does."""
    address = reverse(
        "wagtail_localize:submit_page_translation", args=[HomePage.objects.first().pk]
    )
    data = {"locales": [locale.pk], "include_subtree": "on", **form}
    response = browser().post(address, data)
    assert response.status_code == 302, response.content.decode()


def jobs() -> list[BackgroundTask]:
    """Return the tasks that wagtail-localize has caused."""
    return list(BackgroundTask.objects.filter(function__startswith="wagtail_localize."))


def run_all() -> None:
    """Run what is recorded as if its time had come, as a worker would."""
    BackgroundTask.objects.filter(state=State.SCHEDULED).update(state=State.WAITING)
    while (task := background.next()) is not None:
        background.execute(task)
    background.settle()


def pages_in(locale: Locale) -> dict[str, int]:
    """Return how many pages of each model there are in a language."""
    models = (HomePage, BlogPage)
    return {model.__name__: model.objects.filter(locale=locale).count() for model in models}


def test_backend__is_the_one_that_wagtail_localize_uses() -> None:
    assert type(their_queue) is BackgroundJobBackend


# Translations -------------------------------------------------------------------------------


@pytest.mark.usefixtures("site")
def test_subtree__is_recorded_as_a_task(french: Locale) -> None:
    translate(french)

    assert pages_in(french) == {"HomePage": 1, "BlogPage": 0}
    [task] = jobs()
    assert task.function == "wagtail_localize.operations.translate_page_subtree"
    assert task.priority == 5
    assert task.state == State.SCHEDULED
    assert task.user.username == "admin"
    home = HomePage.objects.get(locale__language_code="en")
    assert (task.subject_type.model, task.subject_id) == ("homepage", str(home.pk))


def test_subtree__is_translated_by_a_worker(
    committed_db: None, start: Callable[..., Process]
) -> None:
    fill()
    german = Locale.objects.create(language_code="de")
    worker = start("wagtail_worker", DJANGO_SETTINGS_MODULE=SETTINGS)
    worker.wait_for("Background hooks")

    translate(german)

    wait_until(lambda: jobs()[0].state == State.SUCCEEDED, f"it ends well:\n{worker.said()}")
    assert pages_in(german) == {"HomePage": 1, "BlogPage": 2}
    assert BlogPage.objects.filter(locale=german, live=True).count() == 2
    assert jobs()[0].worker.pid == worker.pid != os.getpid()
    # wagtail-localize saves this page after the request, with the children that it knows of.
    assert HomePage.objects.get(locale=german).numchild == 2


@pytest.mark.usefixtures("site")
def test_subtree__in_immediate_mode_it_is_translated_in_the_request(
    french: Locale, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    translate(french)

    assert pages_in(french) == {"HomePage": 1, "BlogPage": 2}
    assert jobs() == []


# Translation components ---------------------------------------------------------------------


@pytest.mark.usefixtures("site", "component")
def test_component__that_is_not_filled_in_does_not_matter(french: Locale) -> None:
    translate(french)

    [task] = jobs()
    assert task.function.endswith(translate_page_subtree.__name__)
    assert pages_in(french) == {"HomePage": 1, "BlogPage": 0}


@pytest.mark.usefixtures("site", "component")
def test_component__that_is_filled_in_is_done_in_the_request(
    french: Locale, caplog: pytest.LogCaptureFixture
) -> None:
    form = f"component-{Advert._meta.db_table}"

    translate(french, **{f"{form}-enabled": "on", f"{form}-text": "Now in French"})

    assert pages_in(french) == {"HomePage": 1, "BlogPage": 2}
    assert Advert.objects.filter(text="Now in French").exists()
    assert jobs() == []
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert re.match(
        r"wagtail_localize\.operations\.translate_page_subtree \(.+\) runs at once", line
    )
    assert "its argument components cannot be carried to a worker" in line


# Languages that follow another one ----------------------------------------------------------


@pytest.mark.usefixtures("site")
def test_locale__gets_its_pages_from_a_worker() -> None:
    english = Locale.objects.get(language_code="en")
    component = f"component-{LocaleSynchronization._meta.db_table}"
    form = {"language_code": "fr", f"{component}-enabled": "on", f"{component}-sync_from": "1"}
    response = browser().post(reverse("wagtaillocales:add"), form)
    assert response.status_code == 302, response.content.decode()

    french = Locale.objects.get(language_code="fr")
    assert pages_in(french) == {"HomePage": 0, "BlogPage": 0}
    [task] = jobs()
    assert task.function == "wagtail_localize.synctree.synchronize_tree"
    assert (task.subject_type.model, task.subject_id) == ("locale", str(english.pk))

    run_all()

    assert pages_in(french) == {"HomePage": 1, "BlogPage": 2}
    assert all(page.alias_of for page in Page.objects.filter(locale=french))


@pytest.mark.usefixtures("site")
def test_sync_locale_trees__records_a_task_for_each_language(french: Locale) -> None:
    english = Locale.objects.get(language_code="en")
    LocaleSynchronization.objects.create(locale=french, sync_from=english)
    BackgroundTask.objects.all().delete()

    call_command("sync_locale_trees")  # passes an index of all pages, which is not carried

    [task] = jobs()
    assert task.function == "wagtail_localize.synctree.synchronize_tree"
    run_all()
    assert pages_in(french) == {"HomePage": 1, "BlogPage": 2}
