"""The desk of an editor: what there is to work on, the forms of it, and a client to post them."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils.http import urlencode
from taggit.models import Tag
from wagtail.images import get_image_model
from wagtail.images.tests.utils import get_test_image_file
from wagtail.models import ModelLogEntry, Page, PageLogEntry, Revision, Site
from wagtail.test.utils.form_data import inline_formset, nested_form_data, rich_text, streamfield
from wagtail.users.models import UserProfile

from tests.fidelity.models import Chapter, Dossier, Exhibit, Label, Note, Voucher
from tests.fidelity.observing import SCENARIO, SECRET
from tests.site.blog.models import Advert, Author

LANGUAGE: Final = "de"
"""The editor's, which is not the site's."""

TIME_ZONE: Final = "Asia/Tokyo"
"""The editor's, which is not the site's."""

TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""The trace that the editor's requests belong to."""

PREFIX: Final = "fidelity-"
"""What names of users begin with, so that they can be removed afterwards."""

BODY: Final[list[tuple[str, Any]]] = [
    ("heading", "At the water's edge"),
    ("paragraph", "<p>Low water is at <b>noon</b>.</p>"),
    (
        "step",
        {
            "day": datetime.date(2026, 5, 1),
            "minutes": Decimal("7.5"),
            "done": True,
            "remarks": ["wet", "cold – “very”"],
        },
    ),
]
"""A body, as Python values."""


@dataclass
class Desk:
    """What scenarios work with."""

    client: Client
    editor: Any
    folder: Page
    shelf: Page
    site: Site
    group: Group
    authors: list[Author]
    scenario: str = ""

    def post(self, view: str, *args: Any, form: dict[str, Any], **query: Any) -> None:
        """Post a form to one of the admin's views, and see that the view was content."""
        query = {SCENARIO: self.scenario, "umlaut": "ä & ö", **query, **SECRET}
        address = f"{reverse(view, args=args)}?{urlencode(query, doseq=True)}"
        response = self.client.post(address, nested_form_data(form))
        assert response.status_code == 302, _complaint(response)

    def act_on(self, action: str, objects: Iterable[models.Model], **form: Any) -> None:
        """Run a bulk action on objects of one model."""
        objects = list(objects)
        meta = (Page if isinstance(objects[0], Page) else type(objects[0]))._meta
        self.post(
            "wagtail_bulk_action",
            meta.app_label,
            meta.model_name,
            action,
            form=form,
            id=[str(item.pk) for item in objects],
        )

    def dossier(self, name: str = "", *, live: bool = True) -> Dossier:
        """Return a page that has everything, made without a view; with a draft of it."""
        title = f"{self.scenario} {name}".strip()
        page = Dossier(
            title=title,
            slug=title.replace("_", "-").replace(" ", "-"),
            due=datetime.datetime(2026, 6, 1, 12, 30, tzinfo=datetime.UTC),
            price=Decimal("9.90"),
            weight=0.1,
            options={"nested": [1, {"deep": None}]},
            summary="<p>All in all</p>",
            editor=self.authors[0],
            body=BODY,
            live=False,
        )
        page.authors = self.authors
        page.tags.add("salt", "marsh")
        page.chapters = [
            Chapter(title="One", sort_order=0, notes=[Note(text="a"), Note(text="b")]),
            Chapter(title="Two", sort_order=1),
        ]
        self.folder.add_child(instance=page)
        revision = page.save_revision(user=self.editor)
        if live:
            revision.publish(user=self.editor)
        return Dossier.objects.get(pk=page.pk)

    def exhibit(self, name: str = "", *, live: bool = True) -> Exhibit:
        """Return a snippet that has everything, made without a view."""
        exhibit = Exhibit(name=f"{self.scenario} {name}", body=BODY, live=False)
        exhibit.labels = [Label(text="left", sort_order=0), Label(text="right", sort_order=1)]
        exhibit.save()
        revision = exhibit.save_revision(user=self.editor)
        if live:
            revision.publish(user=self.editor)
        return Exhibit.objects.get(pk=exhibit.pk)

    def author(self, *, live: bool = True) -> Author:
        """Return a snippet with drafts but without children."""
        author = Author.objects.create(name=self.scenario, role="diver", live=False)
        revision = author.save_revision(user=self.editor)
        if live:
            revision.publish(user=self.editor)
        return Author.objects.get(pk=author.pk)

    def voucher(self) -> Voucher:
        """Return a snippet without drafts and children, whose fields are of many kinds."""
        voucher = Voucher.objects.create(
            value=Decimal("9.90"),
            share=0.1,
            starts=datetime.datetime(2026, 6, 1, 12, 30, 15, 250, tzinfo=datetime.UTC),
            ends=datetime.date(2026, 6, 2),
            at=datetime.time(7, 30),
            lasts=datetime.timedelta(days=1, microseconds=5),
            seal=b"\x00\xff",
            terms={"nested": [1, "ä", None]},
            body=BODY,
            holder=self.authors[0],
        )
        voucher.authors.set(self.authors)
        return voucher

    def user(self, name: str = "") -> Any:
        """Return another user, who belongs to a group."""
        user = get_user_model().objects.create_user(
            f"{PREFIX}{self.scenario}{name}", "other@example.com", "demo", first_name="Ada"
        )
        user.groups.add(self.group)
        return user

    def image(self, name: str) -> Any:
        """Return an image."""
        return get_image_model().objects.create(
            title=f"{self.scenario} {name}",
            file=get_test_image_file(),
            uploaded_by_user=self.editor,
        )


def _complaint(response: Any) -> str:
    """Say why a view has not done what it was asked for."""
    form = getattr(response.context and response.context.get("form"), "errors", "")
    formsets = [
        formset.errors
        for formset in getattr(
            response.context and response.context.get("form"), "formsets", {}
        ).values()
    ]
    return f"{response.status_code} {response.request['PATH_INFO']}: {form} {formsets}"


# Forms --------------------------------------------------------------------------------------


def dossier_form(page: Dossier, **changes: Any) -> dict[str, Any]:
    """Return the form of a page as it is, with changes to its fields."""
    chapters = [_chapter_form(chapter) for chapter in page.chapters.all()] if page.pk else []
    return {
        "title": page.title,
        "slug": page.slug,
        "reference": str(page.reference),
        "day": page.day.isoformat(),
        "due": "2026-06-01 21:30",
        "price": "9.9",
        "weight": "0.1",
        "options": '{"nested": [1, {"deep": null}]}',
        "summary": rich_text("<p>All in all</p>"),
        "editor": page.editor_id or "",
        "authors": [author.pk for author in page.authors.all()] if page.pk else [],
        "tags": ", ".join(tag.name for tag in page.tags.all()) if page.pk else "",
        "body": body_form(),
        "chapters": inline_formset(chapters, initial=len(chapters)),
        **changes,
    }


def _chapter_form(chapter: Chapter) -> dict[str, Any]:
    notes = [{"id": note.pk, "text": note.text} for note in chapter.notes.all()]
    return {
        "id": chapter.pk,
        "title": chapter.title,
        "notes": inline_formset(notes, initial=len(notes)),
    }


def new_chapter_form(title: str, *notes: str) -> dict[str, Any]:
    """Return what an editor fills in for a child that is not there yet."""
    return {
        "id": "",
        "title": title,
        "notes": inline_formset([{"id": "", "text": text} for text in notes]),
    }


def body_form(*more: tuple[str, Any]) -> dict[str, Any]:
    """Return the form of a body whose blocks are new, but for one that keeps its id."""
    step = {
        "day": "2026-05-02",
        "minutes": "8.25",
        "done": "on",
        "remarks": streamfield([("", "dry"), ("", "warm – “very”")]),
    }
    for remark in step["remarks"].values():
        if isinstance(remark, dict):
            remark.pop("type")
    form = streamfield(
        [
            ("heading", "Farther out"),
            ("paragraph", rich_text("<p>High water is at <b>six</b>.</p>")),
            ("step", step),
            *more,
        ]
    )
    form["0"]["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, "a block that stays"))
    return form


def exhibit_form(exhibit: Exhibit, **changes: Any) -> dict[str, Any]:
    """Return the form of a snippet as it is, with changes to its fields."""
    labels = [{"id": label.pk, "text": label.text} for label in exhibit.labels.all()]
    return {
        "name": exhibit.name,
        "body": body_form(),
        "labels": inline_formset(labels, initial=len(labels)),
        **changes,
    }


def user_form(user: Any, **changes: Any) -> dict[str, Any]:
    """Return the form of a user, with changes to its fields."""
    return {
        "username": user.username,
        "email": "ada@example.com",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "password1": "",
        "password2": "",
        "is_active": "on",
        **changes,
    }


# Making and clearing it ---------------------------------------------------------------------


@contextmanager
def desk() -> Iterator[Desk]:
    """Make a desk in the database; afterwards, all that was made on it is gone."""
    known = {model: set(model._base_manager.values_list("pk", flat=True)) for model in _TOUCHED}
    try:
        yield _make()
    finally:
        for model, keys in known.items():
            for row in model._base_manager.exclude(pk__in=keys):
                _delete(row)


_TOUCHED: Final[tuple[type[models.Model], ...]] = (
    Site,
    Dossier,
    Exhibit,
    Voucher,
    Author,
    Advert,
    get_image_model(),
    get_user_model(),
    Group,
    PageLogEntry,
    ModelLogEntry,
    Revision,
    Session,
    Tag,
)
"""Models whose rows scenarios make, those that refer to others first."""


def _delete(row: models.Model) -> None:
    """Delete a row, unless it has gone together with another one."""
    if type(row)._base_manager.filter(pk=row.pk).exists():
        row.delete()


def _make() -> Desk:
    editor = get_user_model().objects.create_superuser(f"{PREFIX}editor", "e@example.com", "demo")
    UserProfile.objects.create(
        user=editor, preferred_language=LANGUAGE, current_time_zone=TIME_ZONE
    )
    root = Page.objects.get(depth=1)
    folder, shelf = (Dossier(title=title, slug=f"{PREFIX}{title}") for title in ("folder", "shelf"))
    root.add_child(instance=folder)
    root.add_child(instance=shelf)
    client = Client(
        headers={"host": "testserver", "user-agent": "a browser", "traceparent": TRACEPARENT},
        REMOTE_ADDR="192.0.2.7",
    )
    client.force_login(editor)
    return Desk(
        client=client,
        editor=editor,
        folder=folder,
        shelf=shelf,
        site=Site.objects.create(hostname="testserver", port=80, root_page=folder),
        group=Group.objects.create(name=f"{PREFIX}group"),
        authors=[Author.objects.create(name=name) for name in ("Ada", "Bo")],
    )
